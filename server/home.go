package server

import (
	"context"
	"fmt"
)

// homes lists the partitions that an Idempotency-Key would have had while its
// topic grew from one partition to n, the present one last. They are the
// values that jump consistent hashing (Lamping and Veach, 2014) passes on its
// way: a key moves only to partitions that are new, so there are about ln n of
// them, and no history has to be kept. The slice is appended to dst.
func homes(dst []int32, key string, n int32) []int32 {
	x := uint64(14695981039346656037) // FNV-1a, 64 bits
	for i := 0; i < len(key); i++ {
		x = (x ^ uint64(key[i])) * 1099511628211
	}
	for next := int64(0); next < int64(n); {
		home := next
		dst = append(dst, int32(home))
		x = x*2862933555777941757 + 1
		next = int64(float64(home+1) * (float64(1<<31) / float64(x>>33+1)))
	}
	return dst
}

// homeOf is the partition that an Idempotency-Key belongs to: the one where
// its first use is remembered, even if partitions were added since, else the
// present one. The former ones are asked first, wherever they are led; a topic
// that never grew has none. Errors are those of a partition that could not be
// asked: nothing was applied.
func (b *Broker) homeOf(ctx context.Context, t Topic, key string) (int32, error) {
	var room [24]int32
	list := homes(room[:0], key, t.Partitions)
	home := list[len(list)-1]
	e := b.dir.id(t.ID)
	if e == nil {
		return home, nil // deleted since: the append will say so
	}
	for i := len(list) - 2; i >= 0; i-- {
		if list[i+1] < e.born { // from there on it was home only before the topic was created
			break
		}
		known, err := b.remembers(ctx, e, e.parts[list[i]], key)
		if err != nil {
			return 0, fmt.Errorf("look for the Idempotency-Key in %s/%d: %w", t.Name, list[i], err)
		}
		if known {
			return list[i], nil
		}
	}
	return home, nil
}

// remembers asks a partition's leader whether it remembers an Idempotency-Key.
func (b *Broker) remembers(ctx context.Context, e *entry, p *part, key string) (known bool, err error) {
	err = b.throughFailover(ctx, func() error {
		leader, err := b.remote(p)
		switch {
		case err != nil:
			return err
		case leader == nil:
			known, err = b.remembersHere(e, p, key)
			return err
		}
		known, err = leader.Remembers(ctx, logID(e.topic.ID, p.number), key)
		return b.relayed(e, p.number, err)
	})
	return known, err
}

// remembersHere is remembers for a partition that this node leads. One that
// was never used is not opened for the question.
func (b *Broker) remembersHere(e *entry, p *part, key string) (bool, error) {
	r := p.replica.Load()
	if r == nil {
		if _, used := b.store.Log(logID(e.topic.ID, p.number)); !used {
			return false, nil
		}
		var err error
		if r, err = b.replicaOf(e, p); err != nil {
			return false, err
		}
	}
	return r.Remembers(key), nil
}
