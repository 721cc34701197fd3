package replica

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/record"
)

const (
	// keyAttempts bounds how often a look-up begins anew because the index
	// forgot older keys while the log was read.
	keyAttempts = 8
	// scanBytes is how much of the log is read at once.
	scanBytes = 1 << 20
)

// keyBuild is the index of keys coming into being: it is built when it is
// first asked for, so that a topic whose keys nobody asks for pays nothing.
type keyBuild struct {
	active   atomic.Bool   // mirrors State.IndexesKeys, for a look without the lock
	from     int64         // log end when it was begun
	building chan struct{} // not nil while the log below from is read; closed after
	ready    bool
}

// drop forgets the index with the leadership. A build that still runs finds
// another channel, or none, in its place.
func (k *keyBuild) drop() {
	k.active.Store(false)
	k.ready, k.building = false, nil
}

// Key finds the last write of a key that readers may see, on a compacted
// topic: its offset and whether it has a value, as opposed to a tombstone;
// offset is NoOffset if there is none. The first call reads the whole log; so
// does a call for a key that is beyond Limits.Keys.
func (r *Replica) Key(ctx context.Context, key []byte) (offset int64, live bool, err error) {
	var known *partition.KnownKey
	for range keyAttempts {
		if err := r.settledFrom(ctx); err != nil {
			return 0, false, err
		}
		r.mu.Lock()
		err := r.st.TailKnown()
		var k partition.KeyState
		ok := false
		if err == nil && r.st.IndexesKeys() {
			r.st.SetLogStart(r.log.StartOffset())
			k, ok = r.st.LookupSettled(partition.HashKey(key), known)
		}
		r.mu.Unlock()
		if err != nil || ok {
			return k.Offset, k.Live, err
		}
		if known, err = r.findKey(ctx, key); err != nil {
			return 0, false, err
		}
	}
	return 0, false, &partition.ThrottledError{RetryAfter: time.Second}
}

// settledFrom waits until the index is built and the watermark has passed the
// log end that it was begun at: what is below is taken as settled.
func (r *Replica) settledFrom(ctx context.Context) error {
	if err := r.buildKeys(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	if r.keys.from <= r.st.HighWatermark() {
		r.mu.Unlock()
		return nil
	}
	p := &Pending{gate: r.gateAt(r.keys.from), late: true, err: partition.ErrNotLeader}
	p.done = p.gate.committedCh()
	r.mu.Unlock()
	select {
	case <-p.done:
		if p.failure() != nil {
			return partition.ErrNotLeader
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %v", partition.ErrOffsetNotAvailable, context.Cause(ctx))
	}
}

// buildKeys builds the index, or waits for another caller who does.
func (r *Replica) buildKeys(ctx context.Context) error {
	for {
		r.mu.Lock()
		if err := r.mayIndex(); err != nil || r.keys.ready {
			r.mu.Unlock()
			return err
		}
		if building := r.keys.building; building != nil {
			r.mu.Unlock()
			select {
			case <-building:
				continue
			case <-ctx.Done():
				return fmt.Errorf("%w: %v", partition.ErrOffsetNotAvailable, context.Cause(ctx))
			}
		}
		done := make(chan struct{})
		r.keys.building = done
		r.seal() // the scan reads the log up to from
		from := r.st.ActivateKeys()
		r.keys.from = r.st.End()
		r.keys.active.Store(true)
		scan := r.st.NewKeyScan()
		r.mu.Unlock()

		err := r.scanKeys(ctx, from, scan)
		r.mu.Lock()
		if r.keys.building == done {
			r.keys.building = nil
			if err == nil {
				r.st.MergeKeys(from, scan)
				r.keys.ready = true
			}
		}
		r.mu.Unlock()
		close(done)
		if err != nil {
			return r.wrap("index keys", err)
		}
	}
}

func (r *Replica) mayIndex() error {
	switch {
	case r.down != nil:
		return r.down
	case !r.st.Config().Compact:
		return partition.ErrNotCompacted
	}
	return r.st.TailKnown()
}

// scanKeys reads the keys below limit.
func (r *Replica) scanKeys(ctx context.Context, limit int64, scan *partition.KeyScan) error {
	var (
		reader record.Reader
		keys   []partition.BatchKey
	)
	return r.scan(ctx, limit, func(batch []byte, h *record.Header) (err error) {
		keys, err = partition.HashKeys(keys[:0], &reader, batch, r.opts.MaxDecompressed)
		scan.Add(h.BaseOffset, limit, keys)
		return err
	})
}

// findKey looks a key up in the log below the index's floor.
func (r *Replica) findKey(ctx context.Context, key []byte) (*partition.KnownKey, error) {
	if err := r.buildKeys(ctx); err != nil {
		return nil, err
	}
	r.mu.Lock()
	floor := r.st.KeyFloor()
	if floor > r.log.EndOffset() {
		r.seal()
	}
	r.mu.Unlock()
	known := &partition.KnownKey{Below: floor, Offset: partition.NoOffset}
	var (
		reader record.Reader
		rec    record.Record
	)
	err := r.scan(ctx, floor, func(batch []byte, h *record.Header) error {
		if _, err := reader.Reset(batch, r.opts.MaxDecompressed); err != nil {
			return err
		}
		for !h.Control() && reader.Next(&rec) && rec.Offset < floor {
			if rec.Key != nil && bytes.Equal(rec.Key, key) {
				known.Offset, known.Live = rec.Offset, rec.Value != nil
			}
		}
		return reader.Err()
	})
	if err != nil {
		return nil, r.wrap("look up key", err)
	}
	return known, nil
}

// scan reads the batches that begin below limit, whatever the watermark.
func (r *Replica) scan(ctx context.Context, limit int64, fn func(batch []byte, h *record.Header) error) error {
	end := r.log.EndOffset()
	for from := r.log.StartOffset(); from < limit; {
		if err := ctx.Err(); err != nil {
			return err
		}
		batches, err := r.log.Read(from, end, scanBytes)
		if err != nil {
			if start := r.log.StartOffset(); start > from { // trimmed meanwhile
				from = start
				continue
			}
			return err
		}
		if len(batches) == 0 {
			return nil
		}
		for len(batches) > 0 {
			var batch []byte
			if batch, batches, err = record.Split(batches); err != nil {
				return err
			}
			h, err := record.ParseHeader(batch)
			if err != nil {
				return err
			}
			from = h.NextOffset()
			if h.BaseOffset >= limit {
				return nil
			}
			if err := fn(batch, &h); err != nil {
				return err
			}
		}
	}
	return nil
}

// hashKeys hashes the keys of a client batch.
func (r *Replica) hashKeys(batch []byte) ([]partition.BatchKey, error) {
	var reader record.Reader
	keys, err := partition.HashKeys(nil, &reader, batch, r.opts.MaxDecompressed)
	if err != nil {
		return nil, r.wrap("append", err)
	}
	return keys, nil
}
