package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/coordinator"
	"github.com/chroniklog/chronik/server/group"
	"github.com/chroniklog/chronik/server/servertest"
)

func hosted(n int) string { return fmt.Sprintf("http.00000000-0000-4000-8000-%012d", n) }

// bench is a coordinator with a clock of its own over a node's logs.
type bench struct {
	t   *testing.T
	n   *servertest.Node
	c   *coordinator.Coordinator
	now atomic.Int64
}

func newBench(t *testing.T, partitions int32) *bench {
	t.Helper()
	b := &bench{t: t, n: servertest.Start(t, servertest.Unchecked())}
	b.now.Store(time.Now().UnixMilli())
	b.make(partitions)
	b.open()
	return b
}

func (b *bench) make(partitions int32) {
	b.t.Helper()
	_, err := b.n.Broker.CreateTopic(b.t.Context(), server.TopicSpec{Name: "t", Partitions: partitions})
	if err != nil {
		b.t.Fatal(err)
	}
}

// open replaces the coordinator by one that has only the log.
func (b *bench) open() {
	b.t.Helper()
	if b.c != nil {
		b.c.Close()
	}
	b.c = coordinator.New(coordinator.Options{
		Topics: b.n.Broker, Logs: b.n.Broker.LedLogs(), Node: 1, Partitions: 1,
		Now: func() time.Time { return time.UnixMilli(b.now.Load()) },
	})
	b.t.Cleanup(b.c.Close)
	if _, err := b.c.Find(b.t.Context(), "g"); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) pass(d time.Duration) { b.now.Add(d.Milliseconds()) }

// attend polls as member n, waiting for the seat.
func (b *bench) attend(n int, wait time.Duration, acks ...coordinator.Acked) (coordinator.Seat, error) {
	return b.ack(n, 0, wait, acks...)
}

// ack is attend with acks of a generation.
func (b *bench) ack(n int, generation int32, wait time.Duration, acks ...coordinator.Acked) (coordinator.Seat, error) {
	return b.c.Attend(b.t.Context(), coordinator.Attendance{
		Group: "g", Acks: acks, Generation: generation, Wait: wait,
		Attend: group.Attend{MemberID: hosted(n), Session: 10 * time.Second, Topics: []string{"t"}},
	})
}

// seat is an attendance that must lead to a seat.
func (b *bench) seat(n int, partitions int) coordinator.Seat {
	b.t.Helper()
	s, err := b.attend(n, 10*time.Second)
	if err != nil || s.Generation == 0 || len(s.Assigned) != partitions {
		b.t.Fatalf("member %d: %+v, %v; want %d partitions", n, s, err, partitions)
	}
	return s
}

// both has two members poll until they are seated with so many partitions.
func (b *bench) both(partitions int) {
	b.t.Helper()
	var wg sync.WaitGroup
	for n := range 2 {
		wg.Go(func() {
			for end := time.Now().Add(20 * time.Second); ; {
				// The first may find its old seat before the other has come.
				s, err := b.attend(n+1, 200*time.Millisecond)
				if err == nil && len(s.Assigned) == partitions {
					return
				}
				if err != nil || time.Now().After(end) {
					b.t.Errorf("member %d: %+v, %v; want %d partitions", n+1, s, err, partitions)
					return
				}
			}
		})
	}
	wg.Wait()
}

func acked(p int32, from, to int64) coordinator.Acked {
	return coordinator.Acked{TopicPartition: group.TopicPartition{Topic: "t", Partition: p}, From: from, Offset: to}
}

// A member that is silent for its session loses its partitions to the other,
// which gets them with what was acknowledged; until then it keeps them.
func TestSilentMember(t *testing.T) {
	b := newBench(t, 4)
	first := b.seat(1, 4)
	if _, err := b.ack(1, first.Generation, 0, acked(0, -1, 5), acked(3, -1, 7)); err != nil {
		t.Fatal(err)
	}
	b.both(2)
	b.pass(9 * time.Second)
	b.seat(2, 2)
	b.pass(2 * time.Second) // member 1 was heard of 11 s ago
	s := b.seat(2, 4)
	for p, want := range []int64{5, -1, -1, 7} {
		if s.Assigned[p].Offset != want {
			t.Errorf("partition %d goes on at %d, want %d", p, s.Assigned[p].Offset, want)
		}
	}
	if _, err := b.ack(1, s.Generation, 0, acked(0, 5, 9)); !errors.Is(err, group.ErrUnknownMember) {
		t.Errorf("the silent member's ack: %v", err)
	}
	if _, err := b.ack(2, s.Generation-1, 0, acked(0, 5, 9)); !errors.Is(err, group.ErrIllegalGeneration) {
		t.Errorf("an ack of the generation before: %v", err)
	}
}

// A coordinator that takes over seats members where they sat, and finds out
// that there is something else to share out since.
func TestSeatsSurvive(t *testing.T) {
	b := newBench(t, 2)
	b.seat(1, 2)
	b.both(1)
	before := b.seat(1, 1)
	b.open()
	if after := b.seat(1, 1); after.Generation != before.Generation || after.Assigned[0] != before.Assigned[0] {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if _, err := b.n.Broker.AddPartitions(t.Context(), "t", server.Growth{Total: 4}); err != nil {
		t.Fatal(err)
	}
	b.open()
	b.both(2)
}

// While a member waits for records it hears of a rebalance at once, and it is
// alive as long as it waits.
func TestWatch(t *testing.T) {
	b := newBench(t, 2)
	s := b.seat(1, 2)
	h := group.Heartbeat{MemberID: hosted(1), Generation: s.Generation}
	if err := b.c.Watch(t.Context(), "g", h, time.Millisecond); err != nil {
		t.Errorf("nothing has happened: %v", err)
	}
	for range 3 {
		b.pass(9 * time.Second)
		if err := b.c.Watch(t.Context(), "g", h, time.Millisecond); err != nil {
			t.Fatalf("a member that waits: %v", err)
		}
	}
	got := make(chan error, 1)
	go func() { got <- b.c.Watch(t.Context(), "g", h, time.Minute) }()
	if _, err := b.attend(2, 0); err != nil {
		t.Fatal(err)
	}
	if err := <-got; !errors.Is(err, group.ErrRebalance) {
		t.Errorf("a rebalance: %v", err)
	}
	b.both(1)
	if err := b.c.Watch(t.Context(), "g", h, time.Minute); !errors.Is(err, group.ErrIllegalGeneration) {
		t.Errorf("of the generation before: %v", err)
	}
	h.MemberID = hosted(3)
	if err := b.c.Watch(t.Context(), "g", h, time.Minute); !errors.Is(err, group.ErrUnknownMember) {
		t.Errorf("no member: %v", err)
	}
	if err := b.c.Watch(t.Context(), "none", h, time.Minute); !errors.Is(err, group.ErrUnknownMember) {
		t.Errorf("no group: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h = group.Heartbeat{MemberID: hosted(1), Generation: s.Generation + 1}
	if err := b.c.Watch(ctx, "g", h, time.Minute); err == nil {
		t.Error("a watch goes on without its request")
	}
}

// Everything that can cross a hop has a number of its own.
func TestForwardedErrors(t *testing.T) {
	own, broker := coordinator.ForwardedErrors(), server.ForwardedErrors()
	numbers := make(map[error]uint8)
	for n, err := range own {
		if broker[n] != nil {
			t.Errorf("%d is %v and %v", n, err, broker[n])
		}
		if other, twice := numbers[err]; twice {
			t.Errorf("%v is %d and %d", err, n, other)
		}
		numbers[err] = n
	}
	for _, err := range []error{
		coordinator.ErrNotCoordinator, coordinator.ErrLoading, coordinator.ErrUnavailable, group.ErrUnknownMember,
		group.ErrMemberIDRequired, group.ErrIllegalGeneration, group.ErrRebalance, group.ErrInconsistentProtocol,
		group.ErrFencedInstance, group.ErrInvalidSession, group.ErrFull, group.ErrNotEmpty, group.ErrSubscribed,
		group.ErrUnknownGroup, group.ErrInvalidGroup, group.ErrMetadataTooLarge, group.ErrCorrupt,
	} {
		if numbers[err] == 0 {
			t.Errorf("%v has no number", err)
		}
	}
}

// What other nodes send is held to be anything.
func FuzzServe(f *testing.F) {
	f.Add([]byte(`{"Op":"attend","Group":"g","Attend":{"Group":"g"}}`))
	f.Add([]byte(`{"Op":"list"}`))
	f.Add([]byte(`{"Op":"reset","Offsets":[{"Topic":"t","Offset":1}]}`))
	c := coordinator.New(coordinator.Options{Topics: nowhere{}, Now: time.Now})
	f.Cleanup(c.Close)
	f.Fuzz(func(t *testing.T, b []byte) {
		if answer, err := c.Serve(t.Context(), b); err == nil && string(answer) != "{}" {
			t.Errorf("%s: %s", b, answer)
		}
	})
}

// nowhere has no topics.
type nowhere struct{ topics }

// topics are what a test does not ask for.
type topics = coordinator.Topics

func (nowhere) EnsureInternalTopic(context.Context, server.TopicSpec) (server.Topic, error) {
	return server.Topic{}, server.ErrUnavailable
}
func (nowhere) Topic(string) (server.Topic, error) { return server.Topic{}, server.ErrUnknownTopic }
func (nowhere) PartitionState(string, int32) (server.PartitionInfo, error) {
	return server.PartitionInfo{}, server.ErrUnknownTopic
}
