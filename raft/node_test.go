package raft

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chroniklog/chronik/raft/meta"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"))
}

// testLog shows what a node says when a test is run with -v and fails.
type testLog struct{ t testing.TB }

func (w testLog) Write(b []byte) (int, error) {
	w.t.Log(string(b))
	return len(b), nil
}

func soleOptions(t testing.TB, dir string) Options {
	return Options{
		Dir: dir, NodeID: 1, Logger: slog.New(slog.NewTextHandler(testLog{t}, nil)),
		Fatal:   func(err error) { t.Errorf("fatal: %v", err) },
		Ballast: -1,
	}
}

func openSole(t testing.TB, o Options) *Node {
	t.Helper()
	n, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	waitReady(t, n)
	return n
}

func waitReady(t testing.TB, n *Node) {
	t.Helper()
	select {
	case <-n.Ready():
	case <-time.After(10 * time.Second):
		t.Fatalf("not ready: %+v", n.Status())
	}
}

func closeNode(t testing.TB, n *Node) {
	t.Helper()
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

func propose(t testing.TB, n *Node, c meta.Command) meta.Result {
	t.Helper()
	r, err := n.Propose(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func topicID(i int) (id meta.ID) {
	binary.BigEndian.PutUint64(id[8:], uint64(i)+1)
	return id
}

func topic(i, partitions int, replicas ...NodeID) *meta.CreateTopic {
	c := &meta.CreateTopic{ID: topicID(i), Name: fmt.Sprintf("topic-%05d", i)}
	for range partitions {
		c.Assignments = append(c.Assignments, replicas)
	}
	return c
}

func register(id NodeID) *meta.RegisterBroker {
	return &meta.RegisterBroker{ID: id, Incarnation: meta.ID{1, byte(id)}, Directory: meta.ID{2, byte(id)}}
}

func TestSoleVoter(t *testing.T) {
	dir := t.TempDir()
	begin := time.Now()
	n := openSole(t, soleOptions(t, dir))
	t.Logf("first start: %v", time.Since(begin))
	if r := propose(t, n, register(1)); r.Value == 0 || r.More {
		t.Errorf("register: %+v", r)
	}
	propose(t, n, topic(1, 3, 1))
	if _, err := n.Propose(t.Context(), topic(1, 3, 1)); err == nil {
		t.Error("a second topic of that name was created")
	}
	applied := n.Status().Applied
	closeNode(t, n)

	begin = time.Now()
	n = openSole(t, soleOptions(t, dir))
	t.Logf("restart: %v", time.Since(begin))
	n.View(func(m *meta.Image) {
		if tp, ok := m.Topic("topic-00001"); !ok || len(tp.Partitions) != 3 || tp.Partitions[2].Leader != 1 {
			t.Errorf("topic after restart: %+v", tp)
		}
	})
	if s := n.Status(); s.Applied <= applied || s.Leader != 1 || !s.Controller() {
		t.Errorf("status after restart: %+v, applied %d before", s, applied)
	}
	closeNode(t, n)
}

func BenchmarkPropose(b *testing.B) {
	n := openSole(b, soleOptions(b, b.TempDir()))
	defer closeNode(b, n)
	propose(b, n, register(1))
	b.Run("serial", func(b *testing.B) {
		for b.Loop() {
			propose(b, n, &meta.AllocateProducerIDs{Count: 1})
		}
	})
	var mu sync.Mutex
	next := 0
	b.Run("topics-64", func(b *testing.B) {
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				mu.Lock()
				next++
				i := next
				mu.Unlock()
				propose(b, n, topic(i, 1, 1))
			}
		})
	})
	b.Run("partitions-1000", func(b *testing.B) {
		for b.Loop() {
			next++
			propose(b, n, topic(next, 1000, 1))
		}
	})
}
