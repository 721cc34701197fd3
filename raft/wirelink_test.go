package raft

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/raft/wire"
)

// nobody is a handler of a node that is sent nothing.
type nobody struct {
	Handler
	lost chan uint64
}

func (n nobody) Unreachable(id uint64) { n.lost <- id }
func (n nobody) Gone(uint64)           {}

// A member that can't be reached is one warning that says which node, where and
// why, however many messages are lost until it can.
func TestUnreachableMemberIsOneWarning(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&out, nil))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ep := wire.New(wire.Options{Listener: listener, Dial: func(context.Context, string) (net.Conn, error) {
		return nil, errors.New("no route")
	}})
	tr := NewWireTransport(ep, logger)
	lost := make(chan uint64, 16)
	if err := tr.Start(Self{RaftID: 1, Node: 1}, nobody{lost: lost}); err != nil {
		t.Fatal(err)
	}
	tr.SetMembers("c", []meta.Member{{RaftID: 1, Node: 1}, {RaftID: 2, Node: 7, Addr: "far:7071"}})
	beat := &pb.Message{}
	beat.Type, beat.To, beat.From = pb.MsgHeartbeat.Enum(), new(uint64(2)), new(uint64(1))
	for range 3 {
		tr.Send(beat)
		if id := <-lost; id != 2 {
			t.Errorf("member %d was lost", id)
		}
	}
	if err := errors.Join(tr.Close(), ep.Close()); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if n := strings.Count(text, "can't reach a node of the metadata group"); n != 1 {
		t.Errorf("%d lines:\n%s", n, text)
	}
	for _, want := range []string{"level=WARN", "node=7", "addr=far:7071", "no route"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %s", want, text)
		}
	}
}
