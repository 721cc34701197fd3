package raft

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/chroniklog/chronik/raft/meta"
)

// identify reads or makes the identity of the directory.
func (n *Node) identify() error {
	id, err := loadIdentity(n.opts.FS, n.opts.Dir)
	if err == nil && id.node != n.opts.NodeID {
		return fmt.Errorf("%s belongs to node %d, not %d", n.opts.Dir, id.node, n.opts.NodeID)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if fenced, err := fenceExists(n.opts.FS, n.opts.Dir); err != nil || fenced {
			return errors.Join(err, fmt.Errorf("%w: %s has a log but no %s", ErrCorrupt, n.opts.Dir, identityName))
		}
		id, err = n.newIdentity()
	}
	n.id = id
	return err
}

func (n *Node) newIdentity() (identity, error) {
	raftID, err := newRaftID()
	if err != nil {
		return identity{}, err
	}
	id := identity{raftID: raftID, node: n.opts.NodeID}
	return id, id.save(n.opts.FS, n.opts.Dir)
}

// boot opens the log, or founds or finds the cluster.
func (n *Node) boot(ctx context.Context) error {
	d, err := openDisk(n.opts.disk())
	switch {
	case err == nil:
		return n.launch(d)
	case !errors.Is(err, errFresh):
		return err
	}
	return n.found(Seed{Members: []meta.Member{n.self()}})
}

// self is this node as a member.
func (n *Node) self() meta.Member {
	return meta.Member{RaftID: n.id.raftID, Node: n.opts.NodeID, Addr: n.opts.Addr}
}

// found makes the log that begins with a seed.
func (n *Node) found(seed Seed) error {
	n.opts.Logger.Info("creating metadata log", "dir", n.opts.Dir, "raft_id", n.id.raftID, "voters", len(seed.Members))
	d, err := createDisk(n.opts.disk(), seed)
	if err != nil {
		return err
	}
	return n.launch(d)
}
