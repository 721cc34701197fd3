package coordinator_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/chroniklog/chronik/server/coordinator"
	"github.com/chroniklog/chronik/server/group"
	"github.com/chroniklog/chronik/server/servertest"
)

// protocolWorld drives one group, "g", whose coordinator is replaced.
type protocolWorld struct {
	*testing.T
	ctx context.Context
	n   *servertest.Node
	c   *coordinator.Coordinator
}

// reopen has a new coordinator, which has only the log.
func (w *protocolWorld) reopen() {
	w.Helper()
	if w.c != nil {
		w.c.Close()
	}
	w.c = coordinator.New(coordinator.Options{
		Topics: w.n.Broker, Logs: w.n.Broker.LedLogs(), Node: 1, Now: time.Now, Partitions: 1,
		Group: group.Config{InitialDelay: -1},
	})
	w.Cleanup(w.c.Close)
	if _, err := w.c.Find(w.ctx, "g"); err != nil {
		w.Fatal(err)
	}
}

func (w *protocolWorld) commit(member string, generation int32, offset int64) {
	w.Helper()
	err := w.c.Commit(w.ctx, coordinator.Committer{Group: "g", MemberID: member, Generation: generation},
		map[group.TopicPartition]group.Commit{{Topic: "t"}: {Offset: offset, LeaderEpoch: -1, Metadata: "kept"}})
	if err != nil {
		w.Fatal(err)
	}
}

func (w *protocolWorld) kept(want int64) {
	w.Helper()
	all, err := w.c.Offsets(w.ctx, "g")
	if got := all[group.TopicPartition{Topic: "t"}]; err != nil || got.Offset != want || got.Metadata != "kept" {
		w.Fatalf("%+v %v, want offset %d", got, err, want)
	}
}

// join has a classic member join, with its id or without.
func (w *protocolWorld) join(id string) (group.Reply, error) {
	return w.c.Join(w.ctx, "g", group.Join{
		MemberID: id, NewID: "old", ProtocolType: "consumer", Session: 20 * time.Second, Rebalance: 20 * time.Second,
		Protocols: []group.Protocol{{Name: "range"}},
	})
}

// classic has a classic member reach its generation.
func (w *protocolWorld) classic() int32 {
	w.Helper()
	r, err := w.join("")
	if err != nil {
		w.Fatal(err)
	}
	if _, err := w.c.Sync(w.ctx, "g", group.Sync{MemberID: r.MemberID, Generation: r.Generation}); err != nil {
		w.Fatal(err)
	}
	return r.Generation
}

// A group changes its protocol while it is empty, there and back, and keeps its
// offsets over it and over new coordinators. A classic member that comes back
// with its old id when nobody is left is sent to join anew: clients that are
// told of another protocol give up.
func TestProtocolChangesKeepOffsets(t *testing.T) {
	w := &protocolWorld{T: t, ctx: within(t, 60*time.Second), n: servertest.Start(t, servertest.Unchecked())}
	w.reopen()
	w.commit("old", w.classic(), 5)
	_, err := w.c.ConsumerHeartbeat(w.ctx, "g", consumerJoin("new", "t"))
	if !errors.Is(err, group.ErrInconsistentProtocol) {
		t.Fatalf("a consumer beside a classic member: %v", err)
	}
	if _, err := w.c.Leave(w.ctx, "g", group.Leave{MemberID: "old"}); err != nil {
		t.Fatal(err)
	}
	r, err := w.c.ConsumerHeartbeat(w.ctx, "g", consumerJoin("new", "t"))
	if err != nil {
		t.Fatal(err)
	}
	w.kept(5)
	w.reopen()
	w.kept(5)
	w.commit("new", r.Generation, 7)
	if _, err := w.join("old"); !errors.Is(err, group.ErrInconsistentProtocol) {
		t.Fatalf("a classic member beside a consumer: %v", err)
	}
	leave := group.ConsumerHeartbeat{MemberID: "new", Epoch: group.LeaveEpoch, Rebalance: -1}
	if _, err := w.c.ConsumerHeartbeat(w.ctx, "g", leave); err != nil {
		t.Fatal(err)
	}
	if _, err := w.join("old"); !errors.Is(err, group.ErrUnknownMember) {
		t.Fatalf("a classic member that comes back to an empty group: %v", err)
	}
	w.kept(7)
	w.commit("old", w.classic(), 9)
	w.reopen()
	w.kept(9)
}
