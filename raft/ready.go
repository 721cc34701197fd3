package raft

import (
	"fmt"
	"log/slog"

	etcd "go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/chroniklog/chronik/raft/meta"
)

// HasReady tells whether Process has something to do.
func (c *Core) HasReady() bool { return c.err == nil && (c.lost != nil || c.rn.HasReady()) }

// Process does one round of work, in the order that keeps promises: the log
// is durable, and the fence says so, before any message that depends on it
// leaves; committed entries are applied and durable before raft counts them as
// applied. Any error is final: what is on disk is not known, and the process
// must end.
func (c *Core) Process() error {
	switch {
	case c.err != nil:
	case c.lost != nil:
		c.err = c.lost
	default:
		c.err = c.process()
	}
	return c.err
}

func (c *Core) process() error {
	rd := c.rn.Ready()
	if rd.SoftState != nil {
		c.soft = *rd.SoftState
	}
	if err := c.save(&rd); err != nil {
		return err
	}
	if err := c.hook(StageSend); err != nil {
		return err
	}
	if len(rd.Messages) > 0 {
		c.cfg.Send(rd.Messages)
	}
	if err := c.apply(rd.CommittedEntries); err != nil {
		return err
	}
	if err := c.hook(StageAdvance); err != nil {
		return err
	}
	c.rn.Advance(rd)
	return c.compact()
}

func (c *Core) hook(s Stage) error {
	if c.cfg.Hook == nil {
		return nil
	}
	return c.cfg.Hook(s)
}

// save makes snapshot, entries and hard state durable. A hard state that only
// commits more is left for the next time: what was applied is known to be
// committed, and the rest is learned again from the leader.
func (c *Core) save(rd *etcd.Ready) error {
	snap := !etcd.IsEmptySnap(rd.Snapshot)
	if !snap && !rd.MustSync {
		return nil
	}
	if snap {
		if err := c.install(rd); err != nil {
			return err
		}
	}
	if len(rd.Entries) > 0 || !snap {
		if err := c.hook(StageSave); err != nil {
			return err
		}
		if err := c.cfg.Storage.Save(rd.Entries, rd.HardState); err != nil {
			return fmt.Errorf("save log: %w", err)
		}
	}
	if err := c.hook(StageFence); err != nil {
		return err
	}
	return c.cfg.Fence.Write(c.cfg.Storage.Mark())
}

// install replaces state and image by a received snapshot.
func (c *Core) install(rd *etcd.Ready) error {
	if err := c.hook(StageInstall); err != nil {
		return err
	}
	image, err := c.cfg.Storage.Install(rd.Snapshot, rd.HardState)
	if err != nil {
		return fmt.Errorf("install snapshot: %w", err)
	}
	m := rd.Snapshot.GetMetadata()
	c.cfg.Lock.Lock()
	*c.image = *image
	c.cfg.Lock.Unlock()
	c.applied = Position{Index: m.GetIndex(), Term: m.GetTerm()}
	c.conf = proto.Clone(pb.EnsureConfState(m.ConfState)).(*pb.ConfState)
	c.cfg.Logger.Info("installed metadata snapshot", "index", c.applied.Index, "term", c.applied.Term)
	c.emit([]meta.Event{meta.ImageReplaced{}})
	return nil
}

func (c *Core) emit(events []meta.Event) {
	if c.cfg.OnApply != nil && len(events) > 0 {
		c.cfg.OnApply(c.applied.Index, events)
	}
}

// compact drops old entries when there are many. The slowest follower that is
// alive is spared a snapshot, within bounds.
func (c *Core) compact() error {
	first := c.cfg.Storage.FirstIndex()
	if c.applied.Index < first+c.cfg.CompactEvery+c.cfg.CompactKeep {
		return nil
	}
	to := c.applied.Index - c.cfg.CompactKeep
	if c.soft.RaftState == etcd.StateLeader && c.applied.Index < first+4*(c.cfg.CompactEvery+c.cfg.CompactKeep) {
		for _, pr := range c.rn.Status().Progress {
			if pr.RecentActive && pr.Match > 0 {
				to = min(to, pr.Match)
			}
		}
	}
	if to < first+c.cfg.CompactEvery/2 {
		return nil
	}
	if err := c.hook(StageCompact); err != nil {
		return err
	}
	if err := c.cfg.Storage.Compact(to); err != nil {
		return fmt.Errorf("compact log: %w", err)
	}
	c.cfg.Logger.Debug("compacted metadata log", "first", c.cfg.Storage.FirstIndex(), "applied", c.applied.Index)
	return nil
}

// appliedLog logs applied entries: the first ones at once, then what has come
// together in about a second.
type appliedLog struct {
	n     int
	index uint64
	wait  int // ticks until the next line
}

const appliedLogTicks = 20

func (a *appliedLog) add(l *slog.Logger, n int, index uint64) {
	a.n += n
	a.index = index
	if a.wait == 0 {
		a.flush(l)
	}
}

func (a *appliedLog) tick(l *slog.Logger) {
	if a.wait > 0 {
		a.wait--
	}
	if a.wait == 0 && a.n > 0 {
		a.flush(l)
	}
}

func (a *appliedLog) flush(l *slog.Logger) {
	l.Info("applied committed entries", "n", a.n, "index", a.index)
	a.n, a.wait = 0, appliedLogTicks
}
