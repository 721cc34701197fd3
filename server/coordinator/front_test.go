package coordinator_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/coordinator"
	"github.com/chroniklog/chronik/server/forward"
	"github.com/chroniklog/chronik/server/group"
	"github.com/chroniklog/chronik/server/partition"
)

// away is a cluster in which other nodes coordinate: answer plays them.
type away struct {
	topics
	leader server.NodeID
	asked  []string // "node op", in order
	answer func(ctx context.Context, node server.NodeID, q map[string]any) (string, error)
}

func (a *away) Topic(string) (server.Topic, error) {
	return server.Topic{Name: coordinator.Topic, Partitions: 1}, nil
}

func (a *away) EnsureInternalTopic(context.Context, server.TopicSpec) (server.Topic, error) {
	return a.Topic("")
}

func (a *away) PartitionState(string, int32) (server.PartitionInfo, error) {
	return server.PartitionInfo{Leader: a.leader}, nil
}

func (a *away) AwaitLeader(ctx context.Context) bool {
	select {
	case <-time.After(50 * time.Millisecond):
		return true
	case <-ctx.Done():
		return false
	}
}

func (a *away) Secret() []byte { return nil }

// peer is one of the other nodes.
type peer struct {
	a    *away
	node server.NodeID
}

func (p peer) Groups(ctx context.Context, request []byte) ([]byte, error) {
	var q map[string]any
	if err := json.Unmarshal(request, &q); err != nil {
		return nil, err
	}
	p.a.asked = append(p.a.asked, q["Op"].(string))
	text, err := p.a.answer(ctx, p.node, q)
	return []byte(text), err
}

func (a *away) front() *coordinator.Front {
	return &coordinator.Front{
		Coordinator: coordinator.New(coordinator.Options{Topics: a, Node: 9, Now: time.Now}), Cluster: a,
		Peer: func(n server.NodeID) coordinator.Peer { return peer{a, n} },
	}
}

const seatJSON = `{"Seat":{"Generation":3}}`

// A coordinator that hangs is given up, and its successor is asked, for the
// time that the request still may wait.
func TestFrontHangingCoordinator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &away{leader: 1}
		var waits []time.Duration
		a.answer = func(ctx context.Context, node server.NodeID, q map[string]any) (string, error) {
			waits = append(waits, time.Duration(q["Attend"].(map[string]any)["Wait"].(float64)))
			if node == 1 {
				<-ctx.Done()
				a.leader = 2
				return "", ctx.Err()
			}
			return seatJSON, nil
		}
		began := time.Now()
		seat, err := a.front().Attend(t.Context(), coordinator.Attendance{Group: "g", Wait: 2 * time.Second})
		if err != nil || seat.Generation != 3 {
			t.Fatalf("%+v, %v", seat, err)
		}
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("it took %s", took)
		}
		if len(waits) != 2 || waits[0] != 2*time.Second || waits[1] != 0 {
			t.Errorf("the nodes were to wait %v", waits)
		}
	})
}

// What an error is when no coordinator is found in time, and what is tried
// again.
func TestFrontErrors(t *testing.T) {
	lost := forward.ErrUnreachable
	for _, tt := range []struct {
		name  string
		errs  []error // of the attempts; the last one's stays
		do    func(*coordinator.Front) error
		want  error
		asked int // attempts, 0: as many as there is time for
	}{
		{"nothing is known of the group", []error{group.ErrUnknownGroup}, describe, group.ErrUnknownGroup, 1},
		{"it loads", []error{coordinator.ErrLoading, coordinator.ErrLoading, nil}, watch, nil, 3},
		{"it moves", []error{coordinator.ErrNotCoordinator, nil}, watch, nil, 2},
		{"it never comes", []error{coordinator.ErrNotCoordinator}, describe, coordinator.ErrUnavailable, 0},
		{"a deletion that is lost", []error{lost}, remove, partition.ErrOutcomeUnknown, 0},
		{"a deletion that was done", []error{lost, group.ErrUnknownGroup}, remove, nil, 2},
		{"a deletion elsewhere", []error{coordinator.ErrNotCoordinator, group.ErrUnknownGroup}, remove,
			group.ErrUnknownGroup, 2},
		{"a farewell that was heard", []error{partition.ErrOutcomeUnknown, group.ErrUnknownMember}, leave, nil, 2},
		{"a member that was none", []error{group.ErrUnknownMember}, leave, group.ErrUnknownMember, 1},
		{"a group without a name", nil, func(f *coordinator.Front) error {
			return f.Leave(context.Background(), "", "m")
		}, group.ErrInvalidGroup, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, n := &away{leader: 1}, 0
				a.answer = func(context.Context, server.NodeID, map[string]any) (string, error) {
					err := tt.errs[min(n, len(tt.errs)-1)]
					n++
					return "{}", err
				}
				began := time.Now()
				if err := tt.do(a.front()); !errors.Is(err, tt.want) || tt.want == nil && err != nil {
					t.Errorf("%v, want %v", err, tt.want)
				}
				if tt.asked > 0 && len(a.asked) != tt.asked || tt.asked == 0 && len(a.asked) < 10 {
					t.Errorf("%d attempts", len(a.asked))
				}
				if took := time.Since(began); took > server.FailoverTime+time.Second {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}

func describe(f *coordinator.Front) error {
	_, err := f.Describe(context.Background(), "g")
	return err
}

func watch(f *coordinator.Front) error {
	return f.Watch(context.Background(), "g", group.Heartbeat{}, time.Second)
}

func remove(f *coordinator.Front) error { return f.Delete(context.Background(), "g") }

func leave(f *coordinator.Front) error { return f.Leave(context.Background(), "g", "m") }
