package replication

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/plog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tape is a log whose records are single bytes, each of an epoch. It is both
// sides' partition.
type tape struct {
	mu       sync.Mutex
	node     int32
	epoch    int32 // leader epoch in force
	leads    bool
	records  []byte
	epochs   []int32 // of each record
	start    int64
	flushed  int64
	hw       int64
	follower int64 // leader: what the follower has synced
	watchers map[int]func()
	next     int
	repaired []string
	// saved is a leader's state, of owed; a follower's that it took over.
	owed  int64
	saved string
	// pace and rate bound what its follower is sent.
	pace *Pace
	rate int64
}

func (t *tape) Throttle(int32) (*Pace, int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pace, t.rate
}

func newTape(node int32) *tape { return &tape{node: node, watchers: map[int]func(){}} }

func (t *tape) change(fn func()) {
	t.mu.Lock()
	fn()
	var call []func()
	for _, w := range t.watchers {
		call = append(call, w)
	}
	t.mu.Unlock()
	for _, w := range call {
		w()
	}
}

func (t *tape) Watch(fn func()) func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next++
	n := t.next
	t.watchers[n] = fn
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.watchers, n)
	}
}

func (t *tape) end() int64 { return t.start + int64(len(t.records)) }

func (t *tape) append(epoch int32, s string) {
	t.change(func() {
		t.records = append(t.records, s...)
		for range s {
			t.epochs = append(t.epochs, epoch)
		}
	})
}

func (t *tape) sync() {
	t.change(func() {
		t.flushed = t.end()
		if t.leads {
			t.hw = max(t.hw, min(t.flushed, t.follower))
		}
	})
}

func (t *tape) epochEnd(epoch int32) partition.EpochEnd {
	e := partition.EpochEnd{Epoch: -1, End: t.start}
	for i, have := range t.epochs {
		if have <= epoch {
			e = partition.EpochEnd{Epoch: have, End: t.start + int64(i) + 1}
		}
	}
	return e
}

func (t *tape) Fetched(f partition.Fetch, last int32) (a partition.FetchAnswer, err error) {
	t.change(func() {
		mine := t.epochEnd(last)
		switch {
		case !t.leads:
			err = partition.ErrNotLeader
		case f.LeaderEpoch < t.epoch:
			err = partition.ErrStaleLeaderEpoch
		case f.LeaderEpoch > t.epoch:
			err = partition.ErrUnknownLeaderEpoch
		case last >= 0 && (mine.Epoch < last || mine.End < f.Offset):
			a.Diverging = &mine
		case f.Offset < t.start:
			err = partition.ErrOffsetTrimmed
		default:
			t.follower = f.Flushed
			t.hw = max(t.hw, min(t.flushed, t.follower))
			if f.Offset < t.owed {
				a.Owed = t.owed
			}
		}
		a.HighWatermark, a.LogStart = t.hw, t.start
	})
	return a, err
}

func (t *tape) Staged(epoch int32, from int64, n int) ([]byte, partition.FetchAnswer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := partition.FetchAnswer{HighWatermark: t.hw, LogStart: t.start}
	if !t.leads || epoch != t.epoch {
		return nil, a, partition.ErrNotLeader
	}
	if from < t.start {
		return nil, a, partition.ErrOffsetTrimmed
	}
	rest := t.records[from-t.start:]
	return bytes.Clone(rest[:min(n, len(rest))]), a, nil
}

func (t *tape) Position() (Position, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := int32(-1)
	if n := len(t.epochs); n > 0 {
		last = t.epochs[n-1]
	}
	return Position{LeaderEpoch: t.epoch, Offset: t.end(), Flushed: t.flushed, LastEpoch: last}, !t.leads
}

func (t *tape) Follow(_ context.Context, epoch int32, a partition.FetchAnswer, b []byte) (err error) {
	t.change(func() {
		if epoch != t.epoch || t.leads {
			err = partition.ErrStaleLeaderEpoch
			return
		}
		t.records = append(t.records, b...)
		for range b {
			t.epochs = append(t.epochs, epoch)
		}
		t.hw = max(t.hw, min(a.HighWatermark, t.end()))
	})
	return err
}

func (t *tape) Diverged(_ context.Context, epoch int32, d partition.EpochEnd) (err error) {
	t.change(func() {
		if epoch != t.epoch {
			err = partition.ErrStaleLeaderEpoch
			return
		}
		to := partition.TruncateTo(d, t.epochEnd(d.Epoch), t.end())
		t.records, t.epochs = t.records[:to-t.start], t.epochs[:to-t.start]
		t.flushed = min(t.flushed, to)
		t.repaired = append(t.repaired, "truncate")
	})
	return err
}

func (t *tape) Reset(_ context.Context, epoch int32, start int64) error {
	t.change(func() {
		t.records, t.epochs, t.start, t.flushed = nil, nil, start, start
		t.repaired = append(t.repaired, "reset")
	})
	return nil
}

var errUnreadable = errors.New("the state can't be read")

func (t *tape) SavedState() ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.saved == "" {
		t.saved = "later"
		return nil, errUnreadable
	}
	return []byte(t.saved), nil
}

var errDisk = errors.New("disk full")

func (t *tape) TakeState(_ context.Context, epoch int32, state []byte) (err error) {
	t.change(func() {
		t.repaired = append(t.repaired, fmt.Sprintf("state %s at %d", state, t.end()))
		if len(t.repaired) == 1 && t.owed < 0 {
			err = errDisk
			return
		}
		t.saved = string(state)
	})
	return err
}

func (t *tape) snapshot() (records string, hw int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.records), t.hw
}

// tapes are the leader's partitions.
type tapes map[plog.ID]*tape

func (m tapes) Led(id plog.ID) (Led, bool) {
	t, ok := m[id]
	if !ok {
		return nil, false
	}
	return t, true
}

var errRefused = errors.New("connection refused")
