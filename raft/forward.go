package raft

import (
	"context"
	"io"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/chroniklog/chronik/raft/meta"
)

// forward has the controller propose.
func (n *Node) forward(ctx context.Context, leader uint64, raw []byte) (meta.Result, error) {
	return meta.Result{}, errNotLeader
}

func (n *Node) Message(m *pb.Message)                                      {}
func (n *Node) Snapshot(m *pb.Message, r io.Reader) error                  { return nil }
func (n *Node) Answer(ctx context.Context, request []byte) ([]byte, error) { return nil, nil }
func (n *Node) Unreachable(id uint64)                                      {}
func (s *snapshotSource) stream(w io.Writer) error {
	sw := newSnapshotWriter(w, s.meta)
	err := s.snap.Scan(prefixState, nil, func(k, v []byte) error {
		sw.pair(k[1:], v)
		return sw.err
	})
	if err != nil {
		return asCorrupt(err)
	}
	return sw.finish()
}
