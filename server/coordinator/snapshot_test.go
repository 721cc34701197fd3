package coordinator

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chroniklog/chronik/server/group"
)

// crowd is a coordinator of groups with offsets, all in one loaded shard.
func crowd(groups, offsets int) (*Coordinator, *shard) {
	c := &Coordinator{shards: map[int32]*shard{}}
	s := newShard(c, 0, 1)
	close(s.loaded)
	c.shards[0] = s
	for i := range groups {
		id := fmt.Sprintf("g-%06d", i)
		e := newEntry(group.New(id, group.Config{}))
		for p := range offsets {
			e.offsets[group.TopicPartition{Topic: "t", Partition: int32(p)}] = group.Kept{
				Commit: group.Commit{Offset: int64(p)},
			}
		}
		s.groups[id] = e
	}
	return c, s
}

// A scrape counts all groups and copies no more than it shows: the first, by
// name and partition.
func TestSnapshotIsBounded(t *testing.T) {
	c, s := crowd(5000, 3)
	for p := range 20_000 { // one group with more than all may show together
		s.groups["g-000010"].offsets[group.TopicPartition{Topic: "u", Partition: int32(p)}] = group.Kept{}
	}
	s.c.shards[1] = newShard(c, 1, 1) // has not been read yet
	snap := c.snapshot(100, 1000)
	if n := snap.counts[groupKind{"classic", group.Empty}]; n != 5000 || len(snap.counts) != 1 {
		t.Errorf("counted %v", snap.counts)
	}
	if len(snap.shown) != 100 || snap.groupsLeft != 4900 {
		t.Fatalf("%d groups are shown, %d left out", len(snap.shown), snap.groupsLeft)
	}
	copied := 0
	for i := range snap.shown {
		g := &snap.shown[i]
		if g.id != fmt.Sprintf("g-%06d", i) {
			t.Errorf("group %d is %s", i, g.id)
		}
		copied += len(g.offsets)
		if cap(g.offsets) > 4000 {
			t.Errorf("%s: room for %d offsets", g.id, cap(g.offsets))
		}
	}
	if want := 100*3 + 20_000 - 1000; copied != 1000 || snap.partitionsLeft != want {
		t.Errorf("%d offsets are copied, %d left out, want 1000 and %d", copied, snap.partitionsLeft, want)
	}
	of := snap.shown[10].offsets
	for i, at := range of[3:] {
		if want := (group.TopicPartition{Topic: "u", Partition: int32(i)}); at.tp != want {
			t.Fatalf("offset %d is of %v, want %v", i+3, at.tp, want)
		}
	}
	if n := len(snap.shown[11].offsets); len(of) != 1000-10*3 || n != 0 {
		t.Errorf("%d offsets of the large group, %d of the next", len(of), n)
	}
	if snap := c.snapshot(5000, 0); len(snap.shown) != 5000 || snap.groupsLeft != 0 || snap.partitionsLeft != 35_000 {
		t.Errorf("%d shown, %d and %d left out", len(snap.shown), snap.groupsLeft, snap.partitionsLeft)
	}
}

// Between any holdSteps steps of a walk the shard is free, and what others do
// then, to what is walked over too, is no harm.
func TestWalkLetsOthersIn(t *testing.T) {
	_, s := crowd(10*holdSteps+1, 0)
	held, pauses, seen := 0, 0, map[string]int{}
	s.mu.Lock()
	walk(s, s.groups, func(id string, _ *entry) {
		if held++; held > holdSteps {
			t.Fatalf("the shard is held for %d steps", held)
		}
		seen[id]++
	}, func() {
		if !s.mu.TryLock() {
			t.Fatal("the shard is held meanwhile")
		}
		held = 0
		pauses++
		delete(s.groups, fmt.Sprintf("g-%06d", pauses))
		s.groups[fmt.Sprintf("h-%06d", pauses)] = newEntry(group.New("h", group.Config{}))
		s.mu.Unlock()
	})
	s.mu.Unlock()
	if pauses < 9 {
		t.Errorf("%d pauses", pauses)
	}
	for id := range s.groups {
		if n := seen[id]; n > 1 || n == 0 && id[0] == 'g' {
			t.Errorf("%s was seen %d times", id, n)
		}
	}
}

// How long a scrape of 100,000 groups takes, and how long others wait for the
// shard meanwhile at most (longest-wait-us).
func BenchmarkSnapshot(b *testing.B) {
	c, s := crowd(100_000, 10)
	ctx, cancel := context.WithCancel(b.Context())
	waited := make(chan time.Duration, 1)
	go func() {
		var longest time.Duration
		for ctx.Err() == nil {
			began := time.Now()
			s.mu.Lock()
			longest = max(longest, time.Since(began))
			s.mu.Unlock()
			time.Sleep(100 * time.Microsecond)
		}
		waited <- longest
	}()
	b.ReportAllocs()
	for b.Loop() {
		c.snapshot(maxMetricGroups, maxMetricPartitions)
	}
	cancel()
	b.ReportMetric(float64((<-waited).Microseconds()), "longest-wait-us")
}
