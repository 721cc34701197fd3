package server

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/server/forward"
	"github.com/chroniklog/chronik/server/replication"
	"github.com/chroniklog/chronik/server/telemetry"
	"github.com/chroniklog/chronik/storage/plog"
	"github.com/chroniklog/chronik/storage/vfs"
)

// lonely are peers that are not there.
type lonely struct{ follows atomic.Int32 }

func (*lonely) Leader(NodeID) *forward.Client { return nil }
func (l *lonely) Follow(plog.ID, NodeID, replication.Followed) {
	l.follows.Add(1)
}
func (*lonely) Unfollow(plog.ID) {}

// reluctant is metadata that does not take the first admissions of damage.
type reluctant struct {
	*soleMeta
	refusals atomic.Int32
}

var errNotNow = errors.New("no controller")

func (m *reluctant) Propose(ctx context.Context, c meta.Command) (meta.Result, error) {
	if _, ok := c.(*meta.LeaveISR); ok && m.refusals.Add(-1) >= 0 {
		return meta.Result{}, errNotNow
	}
	return m.soleMeta.Propose(ctx, c)
}

// A corrupt replica is replaced though the first attempts fail, and nothing but
// time passes between them; it follows its leader then.
func TestReplacingACorruptReplicaIsRepeated(t *testing.T) {
	store, err := plog.Open(t.Context(), plog.Options{
		FS: vfs.NewMem(), Dir: "logs", JournalFileBytes: 1 << 20, MaintenanceInterval: -1, ReserveBytes: -1,
		Fatal: func(err error) { t.Errorf("store: %v", err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	b := New(Options{
		Node: 1, Incarnation: [16]byte{1}, Directory: [16]byte{2}, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		Metrics:    telemetry.NewMetrics(telemetry.NewRegistry("test")),
		Partitions: 1, MaxPartitions: 100, MaxBatchRecords: 100, MaxDecompressed: 1 << 20,
	})
	peers := &lonely{}
	b.Join(peers)
	m := &reluctant{soleMeta: &soleMeta{image: meta.NewImage(), applied: b.Applied, now: time.Now}}
	m.refusals.Store(2)
	if err := b.Start(t.Context(), m, store); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(b.Close(context.Background()), store.Close(context.Background())); err != nil {
			t.Error(err)
		}
	}()
	command(t, b, &meta.RegisterBroker{ID: 2, Incarnation: meta.ID{2}, Directory: meta.ID{2}, Peer: "peer:2"})
	id := meta.ID{7}
	command(t, b, &meta.CreateTopic{ID: id, Name: "t", Assignments: [][]NodeID{{2, 1}}})
	within := func(what string, cond func() bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); !cond(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("never: ", what)
			}
		}
	}
	within("the replica follows", func() bool { return peers.follows.Load() == 1 })
	log, _ := store.Log(plog.ID{Topic: id})
	before := log.Incarnation()
	b.Corrupt(plog.ID{Topic: id}, plog.ErrCorrupt)
	within("it follows again, in another log", func() bool {
		log, ok := store.Log(plog.ID{Topic: id})
		return ok && log.Incarnation() > before && peers.follows.Load() == 2
	})
	if n := m.refusals.Load(); n != -1 {
		t.Errorf("%d attempts", 2-n)
	}
}
