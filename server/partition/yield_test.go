package partition

import (
	"errors"
	"testing"
)

func TestYield(t *testing.T) {
	s := New(1, DefaultConfig(), Limits{})
	lead := func(epoch int32) {
		s.Apply(Leadership{Leader: 1, LeaderEpoch: epoch, Replicas: []int32{1, 2}, ISR: []int32{1, 2}})
	}
	check := func(now int64, refused bool) {
		t.Helper()
		record := s.CheckRecord(now, &RecordAppend{Value: []byte("x"), Timestamp: -1, Cond: NoConditions}, nil)
		batch := s.CheckBatch(now, &BatchAppend{Cond: NoConditions})
		var to *NotLeaderError
		if got := errors.As(record.Err, &to); got != refused || refused && to.Leader != 0 {
			t.Errorf("a record at %d: %v", now, record.Err)
		}
		if got := errors.Is(batch.Err, ErrNotLeader); got != refused {
			t.Errorf("a batch at %d: %v", now, batch.Err)
		}
	}
	lead(1)
	check(100, false)
	s.Yield(100, 200)
	check(100, true)
	check(199, true)
	check(200, false) // nobody replaced it
	check(50, false)  // the clock was set back
	s.Yield(200, 300)
	lead(2)
	check(250, false) // another epoch
	s.Yield(200, 300)
	s.Apply(Leadership{Leader: 2, LeaderEpoch: 3, Replicas: []int32{1, 2}, ISR: []int32{1, 2}})
	lead(4)
	check(250, false)
}

// An append that is pinned to a leader epoch is taken in that one only.
func TestPin(t *testing.T) {
	s := New(1, DefaultConfig(), Limits{})
	s.Apply(Leadership{Leader: 1, LeaderEpoch: 4, Replicas: []int32{1}, ISR: []int32{1}})
	for _, c := range []struct {
		name    string
		pin     Pin
		refused bool
	}{
		{"any", Pin(0), false},
		{"this one", PinTo(4), false},
		{"the one before", PinTo(3), true},
		{"the next", PinTo(5), true},
		{"the first of all", PinTo(0), true},
	} {
		record := s.CheckRecord(1, &RecordAppend{Timestamp: -1, Cond: NoConditions, Pin: c.pin}, nil)
		if got := errors.Is(record.Err, ErrNotLeader); got != c.refused {
			t.Errorf("%s: a record: %v", c.name, record.Err)
		}
		batch := s.CheckBatch(1, &BatchAppend{Cond: NoConditions, Pin: c.pin})
		if got := errors.Is(batch.Err, ErrNotLeader); got != c.refused {
			t.Errorf("%s: a batch: %v", c.name, batch.Err)
		}
	}
}
