package raft

import (
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/chroniklog/chronik/raft/meta"
)

// Bounds of the changes that go into one transaction of the state, beside
// those of the command that exceeds them.
const (
	applyBytes = 256 << 10
	applyKeys  = 2_000
)

// application collects the effects of committed entries for one transaction.
type application struct {
	changes []meta.Change
	bytes   int
	events  []meta.Event
	results []outcome
}

type outcome struct {
	id     meta.ID
	result meta.Result
}

// apply applies committed entries, in order, each exactly once.
func (c *Core) apply(entries []*pb.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	if err := c.hook(StageApply); err != nil {
		return err
	}
	var a application
	for _, e := range entries {
		if e.GetIndex() <= c.applied.Index {
			return fmt.Errorf("%w: entry %d was applied before (%d)", ErrCorrupt, e.GetIndex(), c.applied.Index)
		}
		if err := c.applyEntry(e, &a); err != nil {
			return err
		}
		c.applied = Position{Index: e.GetIndex(), Term: e.GetTerm()}
		if a.bytes >= applyBytes || len(a.changes) >= applyKeys {
			if err := c.flush(&a); err != nil {
				return err
			}
			a = application{}
		}
	}
	c.logged.add(c.cfg.Logger, len(entries), c.applied.Index)
	return c.flush(&a)
}

func (c *Core) applyEntry(e *pb.Entry, a *application) error {
	if e.GetType() != pb.EntryNormal {
		return c.applyConf(e, a)
	}
	if len(e.GetData()) == 0 {
		return nil // a leader's first entry
	}
	c.cfg.Lock.Lock()
	r, changes, events, err := c.image.Apply(e.GetIndex(), e.GetData())
	c.cfg.Lock.Unlock()
	if err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	a.add(changes, events)
	a.results = append(a.results, outcome{id: meta.RequestID(e.GetData()), result: r})
	return nil
}

func (a *application) add(changes []meta.Change, events []meta.Event) {
	a.changes = append(a.changes, changes...)
	for _, ch := range changes {
		a.bytes += len(ch.Key) + len(ch.Value)
	}
	a.events = append(a.events, events...)
}

// applyConf applies a change of the members. Its context says who they are.
func (c *Core) applyConf(e *pb.Entry, a *application) error {
	cc := &pb.ConfChangeV2{}
	if e.GetType() == pb.EntryConfChange {
		v1 := &pb.ConfChange{}
		if err := proto.Unmarshal(e.GetData(), v1); err != nil {
			return fmt.Errorf("%w: configuration change %d: %w", ErrCorrupt, e.GetIndex(), err)
		}
		cc = v1.AsV2()
	} else if err := proto.Unmarshal(e.GetData(), cc); err != nil {
		return fmt.Errorf("%w: configuration change %d: %w", ErrCorrupt, e.GetIndex(), err)
	}
	members, err := decodeMembers(cc.GetContext())
	if err != nil {
		return fmt.Errorf("configuration change %d: %w", e.GetIndex(), err)
	}
	c.conf = c.rn.ApplyConfChange(cc)
	c.cfg.Lock.Lock()
	defer c.cfg.Lock.Unlock()
	for _, m := range members {
		a.add(c.image.SetMember(m))
	}
	for _, s := range cc.GetChanges() {
		if s.GetType() == pb.ConfChangeRemoveNode {
			a.add(c.image.SetMember(meta.Member{RaftID: s.GetNodeId()}))
		}
	}
	c.cfg.Logger.Info("changed metadata members", "voters", c.conf.GetVoters(), "learners", c.conf.GetLearners(),
		"outgoing", c.conf.GetVotersOutgoing(), "index", e.GetIndex())
	return nil
}

// flush makes what was applied durable, and only then tells about it.
func (c *Core) flush(a *application) error {
	if err := c.cfg.Storage.Apply(Applied{Position: c.applied, Conf: c.conf, Changes: a.changes}); err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	c.emit(a.events)
	if c.cfg.OnResult != nil {
		for _, o := range a.results {
			c.cfg.OnResult(o.id, o.result)
		}
	}
	return nil
}
