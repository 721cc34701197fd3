package partition

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/chroniklog/chronik/storage/record"
)

// model answers appends by looking at everything that was ever appended.
type model struct {
	appends []modelAppend
	end     int64
	fence   string
	fenceAt int64
}

type modelAppend struct {
	at          int64
	base        int64
	count       int32
	producer    *ProducerSeq
	idem        string
	hash        [16]byte
	key         string
	live, keyed bool
}

const day = int64(24 * 60 * 60 * 1000)

// sequence is the naive reading of KIP-98.
func (m *model) sequence(now int64, p ProducerSeq, count int32) (dup *modelAppend, err error) {
	var last []*modelAppend // of the producer's latest epoch, newest first
	for i := len(m.appends) - 1; i >= 0; i-- {
		a := &m.appends[i]
		if a.producer == nil || a.producer.ID != p.ID {
			continue
		}
		if len(last) == 0 && a.at <= now-day {
			return nil, nil // expired
		}
		if len(last) > 0 && (a.producer.Epoch != last[0].producer.Epoch || last[len(last)-1].at-a.at >= day) {
			break // older epochs, and what was before an expiry, are forgotten
		}
		last = append(last, a)
	}
	if len(last) == 0 {
		return nil, nil
	}
	newest := last[0].producer
	if p.Epoch < newest.Epoch {
		return nil, ErrStaleEpoch
	}
	if p.Epoch > newest.Epoch {
		if p.Seq != 0 {
			return nil, ErrSequenceGap
		}
		return nil, nil
	}
	for _, a := range last[:min(5, len(last))] {
		if a.producer.Seq == p.Seq && a.count == count {
			return a, nil
		}
	}
	expected := int32((int64(newest.Seq) + int64(last[0].count)) % (1 << 31))
	if p.Seq == expected {
		return nil, nil
	}
	behind := (int64(expected) - int64(p.Seq) + 1<<31) % (1 << 31)
	if behind < 1<<30 && int64(count) <= behind {
		return nil, ErrDuplicateSequence
	}
	return nil, ErrSequenceGap
}

func (m *model) idempotent(now int64, key string) *modelAppend {
	for i := len(m.appends) - 1; i >= 0; i-- {
		if a := &m.appends[i]; a.idem == key && a.at > now-day {
			return a
		}
	}
	return nil
}

func (m *model) key(k string) int64 {
	for i := len(m.appends) - 1; i >= 0; i-- {
		if a := &m.appends[i]; a.keyed && a.key == k {
			if a.live {
				return a.base
			}
			return NoOffset
		}
	}
	return NoOffset
}

// check is what CheckRecord should say.
func (m *model) check(now int64, a *RecordAppend) (dup *modelAppend, err error) {
	if a.Producer != nil {
		if d, err := m.sequence(now, *a.Producer, 1); d != nil || err != nil {
			return d, err
		}
	}
	if a.IdempotencyKey != "" {
		if d := m.idempotent(now, a.IdempotencyKey); d != nil {
			if d.hash != a.BodyHash {
				return nil, ErrIdempotencyMismatch
			}
			return d, nil
		}
	}
	if a.Cond.Fence != nil && *a.Cond.Fence != m.fence {
		return nil, ErrFenced
	}
	if a.Cond.ExpectOffset != NoOffset && a.Cond.ExpectOffset != m.end {
		return nil, ErrOffsetConflict
	}
	current := m.key(string(a.Key))
	if a.Cond.IfKeyAbsent && current != NoOffset || a.Cond.IfKeyOffset >= 0 && a.Cond.IfKeyOffset != current {
		return nil, ErrKeyPrecondition
	}
	return nil, nil
}

func drawRecord(t *rapid.T, m *model) *RecordAppend {
	a := &RecordAppend{
		Key: []byte(rapid.SampledFrom([]string{"k1", "k2", "k3"}).Draw(t, "key")), Timestamp: -1,
		Value: []byte("v"), Acks: AcksAll, Cond: NoConditions,
	}
	if rapid.IntRange(0, 4).Draw(t, "tombstone") == 0 {
		a.Value = nil
	}
	switch rapid.IntRange(0, 5).Draw(t, "kind") {
	case 0:
		a.Producer = &ProducerSeq{
			ID:    rapid.Int64Range(1, 2).Draw(t, "pid"),
			Epoch: int16(rapid.IntRange(0, 1).Draw(t, "pepoch")),
			Seq:   int32(rapid.IntRange(0, 8).Draw(t, "seq")),
		}
	case 1:
		a.IdempotencyKey = rapid.SampledFrom([]string{"a", "b"}).Draw(t, "idem")
		a.BodyHash[3] = byte(rapid.IntRange(0, 1).Draw(t, "body"))
	case 2:
		a.Cond.ExpectOffset = m.end + rapid.Int64Range(-1, 1).Draw(t, "expect")
	case 3:
		f := rapid.SampledFrom([]string{"", "f1", "f2"}).Draw(t, "fence")
		a.Cond.Fence = &f
	case 4:
		if rapid.Bool().Draw(t, "absent") {
			a.Cond.IfKeyAbsent = true
		} else {
			a.Cond.IfKeyOffset = max(0, m.key(string(a.Key))+rapid.Int64Range(0, 1).Draw(t, "if-key"))
		}
	}
	return a
}

// TestAppendsMatchTheModel stages random appends and compares every verdict
// with the model's.
func TestAppendsMatchTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := leaderState(Config{MaxMessageBytes: 1 << 20, MinISR: 1, Compact: true}, Limits{})
		s.ActivateKeys()
		m := &model{fenceAt: NoOffset}
		now := int64(1_000_000)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += rapid.SampledFrom([]int64{0, 1, day / 2, day}).Draw(t, "pause")
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				s.Flushed(rapid.Int64Range(s.HighWatermark(), s.End()).Draw(t, "flushed"))
			case 1:
				m.setFence(t, s, now)
			default:
				m.step(t, s, now)
			}
		}
	})
}

func (m *model) setFence(t *rapid.T, s *State, now int64) {
	token := rapid.SampledFrom([]string{"", "f1", "f2"}).Draw(t, "token")
	if v := s.CheckFence(token, nil); v.Final() {
		t.Fatalf("fence refused: %+v", v)
	}
	if got := s.StageFence(token); got != m.end {
		t.Fatalf("fence at %d, want %d", got, m.end)
	}
	m.fence, m.fenceAt = token, m.end
	m.appends = append(m.appends, modelAppend{at: now, base: m.end, count: 1})
	m.end++
}

func (m *model) step(t *rapid.T, s *State, now int64) {
	a := drawRecord(t, m)
	dup, want := m.check(now, a)
	v := s.CheckRecord(now, a, nil)
	switch {
	case want != nil:
		if !errors.Is(v.Err, want) {
			t.Fatalf("%+v: %v, want %v", a, v.Err, want)
		}
	case dup != nil:
		if !v.Duplicate || v.Answer.Offset != dup.base || v.Cites != dup.base+int64(dup.count) {
			t.Fatalf("%+v: %+v, want the duplicate of %+v", a, v, dup)
		}
	case v.Final():
		t.Fatalf("%+v: %+v, want it appended", a, v)
	default:
		if got := s.StageRecord(now, a, now); got != m.end {
			t.Fatalf("staged at %d, want %d", got, m.end)
		}
		m.appends = append(m.appends, modelAppend{
			at: now, base: m.end, count: 1, producer: a.Producer, idem: a.IdempotencyKey,
			hash: a.BodyHash, key: string(a.Key), live: a.Value != nil, keyed: true,
		})
		m.end++
	}
	if v.Cites > m.end || v.Err != nil && v.Cites > s.End() {
		t.Fatalf("verdict cites %d, beyond the end %d", v.Cites, m.end)
	}
	if errors.Is(v.Err, ErrFenced) && v.Cites != m.fenceAt+1 {
		t.Fatalf("fenced cites %d, the fence is at %d", v.Cites, m.fenceAt)
	}
}

// leaderState is the state of the only replica, leading epoch 1.
func leaderState(cfg Config, limits Limits) *State {
	s := New(1, cfg, limits)
	s.Apply(Leadership{Leader: 1, LeaderEpoch: 1, Replicas: []int32{1}, ISR: []int32{1}})
	return s
}

// TestReplayEqualsStaging replays the log from any snapshot taken on the way
// and compares the derived state with the one that staging left.
func TestReplayEqualsStaging(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{MaxMessageBytes: 1 << 20, MinISR: 1, LogAppendTime: rapid.Bool().Draw(t, "append-time")}
		limits := Limits{Producers: 3, IdempotencyKeys: 4}
		s := leaderState(cfg, limits)
		var log [][]byte
		snapshots := [][]byte{s.Snapshot(0).Encode()}
		const now = int64(5_000)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			if batch := stageBatch(t, s, now); batch != nil {
				log = append(log, batch)
			}
			if rapid.IntRange(0, 5).Draw(t, "snapshot") == 0 {
				snapshots = append(snapshots, s.Snapshot(now).Encode())
			}
		}
		for _, sn := range snapshots {
			again := New(1, cfg, limits)
			if err := again.Restore(sn); err != nil {
				t.Fatal(err)
			}
			replay(t, again, log, now)
			if diff := cmp.Diff(derived(s, now), derived(again, now)); diff != "" {
				t.Fatalf("staged (-), replayed (+):\n%s", diff)
			}
		}
	})
}

func replay(t *rapid.T, s *State, log [][]byte, now int64) {
	var r record.Reader
	for _, b := range log {
		h, err := record.ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Replay(now, b, &h, &r, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
}

// derived prints a state's snapshot.
func derived(s *State, now int64) []string {
	sn := s.Snapshot(now)
	out := []string{fmt.Sprintf("end %d fence %+v", sn.offset, sn.fence)}
	for _, p := range sn.producers {
		line := fmt.Sprintf("producer %d/%d seen %d:", p.id, p.epoch, p.seen)
		for i := range p.n {
			line += fmt.Sprintf(" %+v", *p.at(i))
		}
		out = append(out, line)
	}
	for _, e := range sn.idem {
		out = append(out, fmt.Sprintf("%+v", e))
	}
	return out
}

// stageBatch stages one random append and returns it as it goes to the log.
func stageBatch(t *rapid.T, s *State, now int64) []byte {
	if rapid.IntRange(0, 7).Draw(t, "fence") == 0 {
		token := rapid.SampledFrom([]string{"", "f1"}).Draw(t, "token")
		b := record.FenceControl(token, now)
		record.Place(b, s.StageFence(token), s.LeaderEpoch())
		return b
	}
	b := record.NewBuilder(rapid.SampledFrom([]record.Codec{record.CodecNone, record.CodecZstd}).Draw(t, "codec"))
	if rapid.Bool().Draw(t, "client batch") {
		for range rapid.IntRange(1, 3).Draw(t, "count") {
			b.Append(now-7, nil, []byte("v"), nil)
		}
		b.SetProducer(rapid.Int64Range(1, 5).Draw(t, "pid"), 0, int32(rapid.IntRange(0, 9).Draw(t, "seq")))
		batch := b.Build(nil)
		h, _ := record.ParseHeader(batch)
		if v := s.CheckBatch(now, &BatchAppend{Batch: batch, Header: h, Acks: AcksAll, Cond: NoConditions}); v.Final() {
			return nil
		}
		ts := now - 7
		if s.Config().LogAppendTime {
			ts = now
			record.StampAppendTime(batch, now)
		}
		record.Place(batch, s.StageBatch(now, &h, ts, nil), s.LeaderEpoch())
		return batch
	}
	a := RecordAppend{
		Value: []byte("v"), Acks: AcksAll, Cond: NoConditions,
		IdempotencyKey: rapid.StringMatching(`[a-f]`).Draw(t, "idem"),
	}
	if v := s.CheckRecord(now, &a, nil); v.Final() {
		return nil
	}
	b.Reset(s.End(), s.LeaderEpoch())
	if s.Config().LogAppendTime {
		b.SetAppendTime(now)
	}
	b.Append(now, nil, a.Value, []record.HeaderKV{
		{Key: IdempotencyHeader, Value: AppendIdempotency(nil, now, &a)},
		{Key: IdempotencyHeader, Value: []byte("a client's own")},
	})
	s.StageRecord(now, &a, now)
	batch := b.Build(nil)
	batch[21] |= byte(MarkIdempotency >> 8) // the CRC is not looked at here
	return batch
}
