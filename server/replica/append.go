package replica

import (
	"context"
	"errors"
	"time"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/record"
)

// errNeedKey asks for a look at the log outside the lock; it stays inside.
var errNeedKey = errors.New("key is not in memory")

// BeginRecord accepts one record, or refuses it with an error of package
// partition (or record, for its form): nothing was applied then. It doesn't
// block, except that a condition on a key that is not held in memory reads the
// log. The record's bytes are copied before it returns.
func (r *Replica) BeginRecord(a partition.RecordAppend) (*Pending, error) {
	p, err := r.tryRecord(&a, nil)
	if !errors.Is(err, errNeedKey) {
		return p, err
	}
	for range keyAttempts {
		known, err := r.findKey(r.ctx, a.Key)
		if err != nil {
			return nil, err
		}
		if p, err = r.tryRecord(&a, known); !errors.Is(err, errNeedKey) {
			return p, err
		}
	}
	return nil, &partition.ThrottledError{RetryAfter: time.Second}
}

func (r *Replica) tryRecord(a *partition.RecordAppend, known *partition.KnownKey) (*Pending, error) {
	now := r.nowMs()
	r.mu.Lock()
	if r.down != nil {
		err := r.down
		r.mu.Unlock()
		return nil, err
	}
	if v := r.st.CheckRecord(now, a, known); v.Final() {
		p, err := r.decided(&v, a.Acks)
		r.mu.Unlock()
		return p, err
	}
	size := record.RecordSize(a.Key, a.Value, a.Headers)
	if err := r.room(size); err != nil {
		r.mu.Unlock()
		return nil, err
	}
	p := r.stageRecord(now, a, size)
	first := r.due(now, a.Acks) && r.touch()
	r.mu.Unlock()
	if first {
		r.log.MarkDirty()
	}
	return p, nil
}

// stageRecord puts a record that was let pass into a batch.
func (r *Replica) stageRecord(now int64, a *partition.RecordAppend, size int) *Pending {
	k := &r.pack
	if k.b != nil && (a.Producer != nil || k.b.Count() >= r.opts.PackRecords || !r.fits(a, size)) {
		r.seal()
	}
	if k.b == nil {
		r.open(now)
	}
	ts := a.Timestamp
	if k.stamp {
		ts = k.time
	} else if ts < 0 {
		ts = now
	}
	headers := a.Headers
	if a.IdempotencyKey != "" {
		k.marked = true
		k.value = partition.AppendIdempotency(k.value[:0], now, a)
		k.headers = append(append(k.headers[:0],
			record.HeaderKV{Key: partition.IdempotencyHeader, Value: k.value}), a.Headers...)
		headers = k.headers
	}
	if a.Producer != nil {
		k.b.SetProducer(a.Producer.ID, a.Producer.Epoch, a.Producer.Seq)
	}
	k.b.Append(ts, a.Key, a.Value, headers)
	clear(k.headers)
	offset := r.st.StageRecord(now, a, ts)
	r.note(offset, a.Trace)
	p := r.pending(k.gate, a.Acks, partition.Appended{Offset: offset, LastOffset: offset, Timestamp: ts})
	if a.Producer != nil {
		r.seal()
	}
	return p
}

// fits tells whether the open batch may take a record of that size.
func (r *Replica) fits(a *partition.RecordAppend, size int) bool {
	if a.IdempotencyKey != "" {
		size += len(partition.IdempotencyHeader) + partition.MaxIdempotencyKey + 64
	}
	return r.pack.b.Len()+size <= min(r.opts.PackBytes, r.st.Config().MaxMessageBytes)
}

// BeginBatch accepts one client batch, or refuses it as BeginRecord does. The
// replica owns a.Batch from the call on.
func (r *Replica) BeginBatch(a partition.BatchAppend) (*Pending, error) {
	var keys []partition.BatchKey
	hashed := r.keys.active.Load()
	if hashed {
		var err error
		if keys, err = r.hashKeys(a.Batch); err != nil {
			return nil, err
		}
	}
	now := r.nowMs()
	r.mu.Lock()
	for r.st.IndexesKeys() && !hashed { // the index was begun meanwhile
		r.mu.Unlock()
		var err error
		if keys, err = r.hashKeys(a.Batch); err != nil {
			return nil, err
		}
		hashed = true
		r.mu.Lock()
	}
	p, first, err := r.tryBatch(now, &a, keys)
	r.mu.Unlock()
	if first {
		r.log.MarkDirty()
	}
	if err == nil {
		r.grew()
	}
	return p, err
}

func (r *Replica) tryBatch(now int64, a *partition.BatchAppend, keys []partition.BatchKey) (*Pending, bool, error) {
	if r.down != nil {
		return nil, false, r.down
	}
	if v := r.st.CheckBatch(now, a); v.Final() {
		p, err := r.decided(&v, a.Acks)
		return p, false, err
	}
	if err := r.room(len(a.Batch)); err != nil {
		return nil, false, err
	}
	r.seal()
	answer, stored := int64(-1), a.Header.MaxTimestamp
	if r.st.Config().LogAppendTime {
		answer, stored = now, now
		record.StampAppendTime(a.Batch, now)
	}
	base := r.st.StageBatch(now, &a.Header, stored, keys)
	r.note(base, a.Trace)
	record.Place(a.Batch, base, r.st.LeaderEpoch())
	g := &gate{}
	r.append(a.Batch, g)
	p := r.pending(g, a.Acks, partition.Appended{Offset: base, LastOffset: r.st.End() - 1, Timestamp: answer})
	r.grown = false // BeginBatch tells
	return p, r.touch(), nil
}

// SetFence sets the partition's fence token, the empty one for none, if expect
// is nil or the current token, and waits until the high watermark passes the
// control record that does it. Errors are those of Pending.Wait; ErrFenced
// when expect does not match.
func (r *Replica) SetFence(ctx context.Context, token string, expect *string) (offset int64, err error) {
	p, err := r.beginFence(token, expect)
	if err != nil {
		return 0, err
	}
	res, err := p.Wait(ctx)
	return res.Offset, err
}

func (r *Replica) beginFence(token string, expect *string) (*Pending, error) {
	now := r.nowMs()
	r.mu.Lock()
	if r.down != nil {
		err := r.down
		r.mu.Unlock()
		return nil, err
	}
	v := r.st.CheckFence(token, expect)
	if v.Final() {
		p, err := r.decided(&v, partition.AcksAll)
		r.mu.Unlock()
		return p, err
	}
	batch := record.FenceControl(token, now)
	if err := r.room(len(batch)); err != nil {
		r.mu.Unlock()
		return nil, err
	}
	r.seal()
	offset := r.st.StageFence(token)
	record.Place(batch, offset, r.st.LeaderEpoch())
	g := &gate{}
	r.append(batch, g)
	p := r.pending(g, partition.AcksAll, partition.Appended{Offset: offset, LastOffset: offset, Timestamp: now})
	first := r.touch()
	r.mu.Unlock()
	if first {
		r.log.MarkDirty()
	}
	return p, nil
}

// decided answers a verdict that needs no append: at once if the watermark has
// passed what it cites, else later.
func (r *Replica) decided(v *partition.Verdict, acks partition.Acks) (*Pending, error) {
	switch {
	case v.NeedKey:
		return nil, errNeedKey
	case v.Cites <= r.st.HighWatermark() && v.Err != nil:
		return nil, v.Err
	case v.Cites <= r.st.HighWatermark(), v.Err == nil && acks == partition.AcksNone:
		return &Pending{res: v.Answer, done: opened}, nil
	}
	g := r.gateAt(v.Cites)
	return &Pending{res: v.Answer, err: v.Err, gate: g, late: true, done: g.committedCh()}, nil
}

// pending is the Pending of something that was appended at gate g.
func (r *Replica) pending(g *gate, acks partition.Acks, res partition.Appended) *Pending {
	res.LeaderEpoch, res.LogStart = r.st.LeaderEpoch(), r.log.StartOffset()
	p := &Pending{res: res, own: true}
	switch acks {
	case partition.AcksNone:
		p.done = opened
	case partition.AcksLeader:
		p.gate, p.done = g, g.flushedCh()
	default:
		p.gate, p.late, p.done = g, true, g.committedCh()
	}
	return p
}

// room refuses what would exceed a bound.
func (r *Replica) room(size int) error {
	if s := r.opts.Store; s != nil {
		if s.DiskFull() {
			return partition.ErrDiskFull // the broker names the partition
		}
		if s.Backlogged() {
			return &partition.ThrottledError{RetryAfter: r.rate.retryAfter(r.staged/2 + int64(size))}
		}
	}
	staged := r.staged + int64(r.pack.size())
	if staged > 0 && staged+int64(size) > r.opts.StagedBytes || len(r.gates.q) >= r.opts.Waiters {
		return &partition.ThrottledError{RetryAfter: r.rate.retryAfter(staged / 2)}
	}
	return nil
}
