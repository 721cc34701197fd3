package raft

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/storage/vfs"
)

// damage flips a byte in the middle of the log's tables or memtable.
func damage(t *testing.T, dir string) {
	t.Helper()
	for _, ext := range []string{"*.sst", "*.mem"} {
		files, err := filepath.Glob(filepath.Join(dir, logDir, ext))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			used := len(strings.TrimRight(string(b), "\x00"))
			if used < 200 {
				continue
			}
			b[used/2] ^= 0x20
			if err := os.WriteFile(name, b, 0o640); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("nothing to damage")
}

// names lists what is in a directory, without what a start may leave.
func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && e.Name() != "LOCK" {
			out = append(out, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestCorruptSoleVoter: it refuses to start, names the directory and deletes
// nothing.
func TestCorruptSoleVoter(t *testing.T) {
	dir := t.TempDir()
	n := openSole(t, soleOptions(t, dir))
	propose(t, n, register(1))
	for i := range 20 {
		propose(t, n, topic(i, 1, 1))
	}
	closeNode(t, n)
	damage(t, dir)
	before := names(t, dir)
	for range 2 {
		_, err := Open(t.Context(), soleOptions(t, dir))
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), filepath.Join(dir, logDir)) {
			t.Errorf("open: %v", err)
		}
	}
	for _, name := range before {
		if _, err := os.Stat(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCorruptMember: with a healthy majority it enters anew, under another
// raft id; without one it refuses.
func TestCorruptMember(t *testing.T) {
	c := newTestCluster(t, 1, 2, 3)
	c.static(1, 2, 3)
	propose(t, c.nodes[1].Node, register(1))
	for i := range 20 {
		propose(t, c.nodes[1].Node, topic(i, 1, 1))
	}
	c.converged()
	old := c.nodes[3].Status().RaftID
	c.stop(3)
	damage(t, c.nodeDir(3))

	n := c.mustStart(3, nil, "")
	waitReady(t, n.Node)
	eventually(t, func() bool {
		s := n.Status()
		return slices.Equal(sorted(s.Voters), []NodeID{1, 2, 3}) && len(s.Learners) == 0
	})
	if got := n.Status().RaftID; got == old {
		t.Error("it kept its raft id")
	}
	if _, err := os.Stat(filepath.Join(c.nodeDir(3), corruptDir, logDir)); err != nil {
		t.Errorf("the corrupt log was not kept: %v", err)
	}
	c.converged()

	// Now two are gone: the third must not forget what it promised.
	c.stop(3)
	c.stop(2)
	damage(t, c.nodeDir(3))
	if _, err := c.start(3, nil, ""); !errors.Is(err, ErrCorrupt) {
		t.Errorf("without a majority: %v", err)
	}
	// With the majority back, it may.
	c.mustStart(2, nil, "")
	c.leader()
	n = c.mustStart(3, nil, "")
	waitReady(t, n.Node)
}

// TestFenceErrorIsFatal: after a failed sync nothing is acknowledged and the
// process is told to end.
func TestFenceErrorIsFatal(t *testing.T) {
	fault := vfs.NewFault(vfs.OS())
	o := soleOptions(t, t.TempDir())
	o.FS = fault
	fatal := make(chan error, 1)
	o.Fatal = func(err error) { fatal <- err }
	n := openSole(t, o)
	propose(t, n, register(1))
	fault.Add(vfs.Rule{Op: vfs.OpSync, Glob: fenceName, Err: syscall.EIO})
	_, err := n.Propose(t.Context(), topic(1, 1, 1))
	if !errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("propose over a failing disk: %v", err)
	}
	select {
	case err := <-fatal:
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("fatal: %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("Fatal was not called")
	}
	if _, err := n.Propose(t.Context(), topic(2, 1, 1)); !errors.Is(err, ErrClosed) {
		t.Errorf("propose after the failure: %v", err)
	}
	closeNode(t, n)
}

// smallDisk tells how much is free.
type smallDisk struct {
	vfs.FS
	free atomic.Int64
}

func (s *smallDisk) Free(string) (free, total int64, err error) { return s.free.Load(), 1 << 40, nil }

func TestDiskFull(t *testing.T) {
	d := &smallDisk{FS: vfs.OS()}
	d.free.Store(1 << 30)
	o := soleOptions(t, t.TempDir())
	o.FS = d
	n := openSole(t, o)
	propose(t, n, register(1))

	d.free.Store(2*DefaultMinFree - 1)
	if _, err := n.Propose(t.Context(), topic(1, 1, 1)); !errors.Is(err, ErrDiskFull) {
		t.Errorf("propose on a full disk: %v", err)
	}
	n.View(func(m *meta.Image) { // reads go on
		if _, ok := m.Broker(1); !ok {
			t.Error("the image is gone")
		}
	})
	d.free.Store(1 << 30)
	propose(t, n, topic(1, 1, 1))
	closeNode(t, n)

	d.free.Store(DefaultMinFree - 1)
	if _, err := Open(t.Context(), o); !errors.Is(err, ErrDiskFull) || !strings.Contains(err.Error(), "ballast") {
		t.Errorf("open on a full disk: %v", err)
	}
}

// TestDiskFullMember: a follower on a full disk drops entries, and the others
// go on; it catches up afterwards.
func TestDiskFullMember(t *testing.T) {
	c := newTestCluster(t, 1, 2, 3)
	disks := map[NodeID]*smallDisk{}
	c.tune = func(o *Options) {
		d := &smallDisk{FS: vfs.OS()}
		d.free.Store(1 << 30)
		disks[o.NodeID] = d
		o.FS = d
	}
	c.static(1, 2, 3)
	lead := c.leader()
	full := lead%3 + 1
	disks[full].free.Store(2*DefaultMinFree - 1)
	propose(t, c.nodes[lead].Node, register(1))
	for i := range 20 {
		propose(t, c.nodes[full].Node, topic(i, 1, 1)) // forwarded
	}
	if c.hasTopic(full, 19) {
		t.Error("entries were taken on a full disk")
	}
	disks[full].free.Store(1 << 30)
	c.converged()
}

// TestProposalsAreBounded: a queue that is full refuses, and says so.
func TestProposalsAreBounded(t *testing.T) {
	fault := vfs.NewFault(vfs.OS())
	o := soleOptions(t, t.TempDir())
	o.FS = fault
	n := openSole(t, o)
	stall := fault.Add(vfs.Rule{Op: vfs.OpSync, Glob: fenceName, Block: true})
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	var busy, applied atomic.Int64
	begin := func() {
		group.Go(func() {
			_, err := n.Propose(ctx, &meta.AllocateProducerIDs{Count: 1})
			switch {
			case err == nil:
				applied.Add(1)
			case errors.Is(err, ErrBusy):
				busy.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	begin()
	<-stall.Entered() // the loop is in the sync
	for range maxProposals + 100 {
		begin()
	}
	eventually(t, func() bool { return busy.Load() >= 100 })
	stall.Remove()
	group.Wait()
	cancel()
	if busy.Load()+applied.Load() != maxProposals+101 || busy.Load() > 101 {
		t.Errorf("%d refused, %d applied", busy.Load(), applied.Load())
	}
	closeNode(t, n)
}

// TestMemberDiesMidProposals: proposers on all nodes, the controller is
// stopped; each command is applied exactly once whatever its proposer heard.
func TestMemberDiesMidProposals(t *testing.T) {
	c := newTestCluster(t, 1, 2, 3)
	c.tune = func(o *Options) { o.CompactEvery, o.CompactKeep = 200, 50 }
	c.static(1, 2, 3)
	propose(t, c.nodes[1].Node, register(1))
	lead := c.leader()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var group sync.WaitGroup
	var mu sync.Mutex
	created := map[int]bool{}
	for id, n := range c.nodes {
		if id == lead {
			continue
		}
		for w := range 4 {
			group.Go(func() {
				for i := range 40 {
					k := int(id)*10_000 + w*1000 + i
					// An error that says "exists" would mean applied twice.
					if _, err := n.Propose(ctx, topic(k, 1, 1)); err != nil {
						t.Errorf("propose %d: %v", k, err)
						return
					}
					mu.Lock()
					created[k] = true
					mu.Unlock()
				}
			})
		}
	}
	eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(created) > 60
	})
	c.stop(lead)
	group.Wait()
	c.mustStart(lead, nil, "")
	c.converged()
	for k := range created {
		if !c.hasTopic(lead, k) {
			t.Fatalf("topic %d is lost", k)
		}
	}
}
