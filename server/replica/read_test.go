package replica

import (
	"errors"
	"testing"

	"github.com/chroniklog/chronik/server/partition"
)

func TestReadersSeeTheWatermark(t *testing.T) {
	b := openBench(t, &fakeLog{}, nil)
	b.r.BecomeLeader(1, 1, []int32{1, 2}, []int32{1, 2})
	signal := make(chan struct{}, 1)
	cancel := b.r.Subscribe(signal)
	staged := 0
	unwatch := b.r.Watch(func() { staged++ })
	b.begin(rec("v"))
	b.log.cycle()
	if data, offs, err := b.r.Read(0, 1, partition.ReadUncommitted); err != nil || len(data) != 0 ||
		offs.HighWatermark != 0 || offs.LogEnd != 1 {
		t.Errorf("below the watermark of 0: %d bytes, %+v, %v", len(data), offs, err)
	}
	if len(signal) != 0 || staged != 1 {
		t.Errorf("%d signals to readers, %d to followers", len(signal), staged)
	}
	data, answer, err := b.r.Staged(1, 0, 1)
	if err != nil || len(data) == 0 || answer.HighWatermark != 0 {
		t.Errorf("a follower reads what is staged: %d bytes, %+v, %v", len(data), answer, err)
	}
	if _, _, err := b.r.Staged(0, 0, 1); !errors.Is(err, partition.ErrNotLeader) {
		t.Errorf("of another epoch: %v", err)
	}
	a, err := b.r.Fetched(partition.Fetch{Node: 2, LeaderEpoch: 1, Offset: 1, Flushed: 1}, 1)
	if err != nil || a.HighWatermark != 1 {
		t.Fatalf("fetch: %+v, %v", a, err)
	}
	<-signal
	if got := b.stored(0); len(got) != 1 {
		t.Errorf("stored %+v", got)
	}
	var beyond *partition.OffsetBeyondEndError
	if _, _, err := b.r.Read(2, 1, partition.ReadUncommitted); !errors.As(err, &beyond) || beyond.HighWatermark != 1 {
		t.Errorf("read beyond the end: %v", err)
	}
	if at, ts, ok, err := b.r.OffsetForTime(900); err != nil || !ok || at != 0 || ts != 1_000 {
		t.Errorf("offset for time: %d %d %v %v", at, ts, ok, err)
	}
	if _, _, ok, err := b.r.OffsetForTime(1_001); err != nil || ok {
		t.Errorf("offset for a time to come: %v %v", ok, err)
	}
	b.r.BecomeFollower(2, 2)
	<-signal
	cancel()
	cancel()
	unwatch()
	b.r.BecomeFollower(3, 2)
	if len(signal) != 0 || b.r.subs.list != nil || b.r.watchers.list != nil {
		t.Error("signalled after cancel")
	}
}

func TestNewLeaderDoesNotKnowItsTail(t *testing.T) {
	b := openBench(t, &fakeLog{}, nil)
	b.r.BecomeLeader(1, 1, []int32{1, 2}, []int32{1, 2})
	b.begin(rec("v"))
	b.log.cycle()
	b.r.BecomeLeader(2, 2, []int32{1, 2}, []int32{1, 2})
	if err := b.r.TailKnown(); !errors.Is(err, partition.ErrOffsetNotAvailable) {
		t.Errorf("tail: %v", err)
	}
	if _, _, err := b.r.Read(1, 1, partition.ReadUncommitted); !errors.Is(err, partition.ErrOffsetNotAvailable) {
		t.Errorf("read above the watermark: %v", err)
	}
	// A refusal would tell a watermark that is lower than what was acknowledged.
	if _, _, err := b.r.Read(5, 1, partition.ReadUncommitted); !errors.Is(err, partition.ErrOffsetNotAvailable) {
		t.Errorf("read beyond the end: %v", err)
	}
	if _, _, _, err := b.r.OffsetForTime(0); !errors.Is(err, partition.ErrOffsetNotAvailable) {
		t.Errorf("offset for time: %v", err)
	}
	if _, err := b.r.Fetched(partition.Fetch{Node: 2, LeaderEpoch: 2, Offset: 1, Flushed: 1}, 1); err != nil {
		t.Fatal(err)
	}
	if err := b.r.TailKnown(); err != nil {
		t.Errorf("tail: %v", err)
	}
}

func TestListenersComeAndGo(t *testing.T) {
	var l listeners
	var heard [5]int
	var cancels [5]func()
	for i := range heard {
		cancels[i] = l.add(func() { heard[i]++ })
	}
	cancels[0]()
	cancels[3]()
	cancels[0]()
	l.notify()
	cancels[4]()
	l.notify()
	if heard != [5]int{0, 2, 2, 0, 1} {
		t.Errorf("heard %v", heard)
	}
}

// Followers are told of whatever a cycle takes, whoever closed the batch, and
// not of the sync, which is this node's only.
func TestFollowersAreToldOfEveryBatch(t *testing.T) {
	b := openBench(t, &fakeLog{}, nil)
	b.r.BecomeLeader(1, 1, []int32{1, 2}, []int32{1, 2})
	told := 0
	defer b.r.Watch(func() { told++ })()
	for name, stage := range map[string]func(){
		"record":            func() { b.begin(rec("v")) },
		"record, then seal": func() { b.begin(rec("v")); b.r.SetConfig(b.r.Config()) },
		"fence": func() {
			if _, err := b.r.beginFence("f", nil); err != nil {
				t.Fatal(err)
			}
		},
	} {
		told = 0
		stage()
		b.log.cycle()
		if told != 1 {
			t.Errorf("%s: told %d times", name, told)
		}
	}
}
