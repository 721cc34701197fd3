package forward

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/peer"
	"github.com/chroniklog/chronik/server/peer/peertest"
	"github.com/chroniklog/chronik/server/replica"
	"github.com/chroniklog/chronik/server/telemetry"
	"github.com/chroniklog/chronik/storage/plog"
	"github.com/chroniklog/chronik/storage/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var table = Errors{
	1: partition.ErrNotLeader, 2: partition.ErrOffsetTrimmed, 3: partition.ErrOffsetBeyondEnd,
	4: partition.ErrThrottled, 5: partition.ErrOffsetConflict, 6: partition.ErrKeyPrecondition,
	7: partition.ErrSequenceGap, 8: partition.ErrFenced, 9: ErrMalformed, 10: record.ErrCRC,
}

// leader is a Local that notes what it was asked and answers as it was told.
type leader struct {
	mu    sync.Mutex
	asked []any
	trace trace.SpanContext
	fails error
}

func (l *leader) note(ctx context.Context, what ...any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, what...)
	l.trace = trace.SpanContextFromContext(ctx)
	return l.fails
}

func (l *leader) pending() (*replica.Pending, error) {
	p, resolve := replica.NewRelayed()
	resolve(partition.Appended{Offset: 4, LastOffset: 5, Timestamp: 6, Duplicate: true, LeaderEpoch: 7, LogStart: 1}, nil)
	return p, nil
}

func (l *leader) BeginRecord(ctx context.Context, id plog.ID, r partition.RecordAppend) (*replica.Pending, error) {
	c := r
	c.Key, c.Value = append([]byte(nil), r.Key...), append([]byte(nil), r.Value...)
	if err := l.note(ctx, id, c); err != nil {
		return nil, err
	}
	return l.pending()
}

func (l *leader) BeginBatch(ctx context.Context, id plog.ID, r partition.BatchAppend) (*replica.Pending, error) {
	if err := l.note(ctx, id, r); err != nil {
		return nil, err
	}
	return l.pending()
}

func (l *leader) Read(ctx context.Context, id plog.ID, r Read) ([]byte, partition.Offsets, error) {
	return []byte("batches"), someOffsets, l.note(ctx, id, r)
}

func (l *leader) Offsets(ctx context.Context, id plog.ID) (partition.Offsets, error) {
	return someOffsets, l.note(ctx, id)
}

func (l *leader) Await(ctx context.Context, id plog.ID, known partition.Offsets) (partition.Offsets, error) {
	return someOffsets, l.note(ctx, id, known)
}

func (l *leader) Visible(ctx context.Context, index uint64) error {
	return l.note(ctx, index)
}

func (l *leader) Confirm(ctx context.Context, id plog.ID, epoch int32) error {
	return l.note(ctx, id, epoch)
}

func (l *leader) OffsetForTime(ctx context.Context, id plog.ID, ts int64) (offset, at int64, ok bool, err error) {
	return 8, 9, true, l.note(ctx, id, ts)
}

func (l *leader) Trim(ctx context.Context, id plog.ID, before int64) (int64, error) {
	return 10, l.note(ctx, id, before)
}

func (l *leader) SetFence(ctx context.Context, id plog.ID, token string, expect *string) (int64, error) {
	return 11, l.note(ctx, id, token, *expect)
}

func (l *leader) KeyOffset(ctx context.Context, id plog.ID, key []byte) (int64, bool, error) {
	return 12, true, l.note(ctx, id, string(key))
}

func (l *leader) Load() telemetry.Load { return someLoad }

var (
	someLoad    = telemetry.Load{Records: 13, Bytes: 1 << 40, Read: 14, Cycles: []int64{0, 15, 1 << 33}}
	someOffsets = partition.Offsets{LogStart: 1, HighWatermark: 2, LastStable: 3, LogEnd: 4, LeaderEpoch: 5}
	someID      = plog.ID{Topic: [16]byte{1, 2, 3}, Partition: 9}
)

func connect(t *testing.T) (*Client, *leader) {
	l := &leader{}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	caller := peer.NewCaller(func(context.Context) (peer.Conn, error) {
		mine, theirs := peertest.Pipe()
		wg.Go(func() { _ = peer.Serve(ctx, theirs, &Handler{Local: l, Errors: table}) })
		return mine, nil
	})
	t.Cleanup(func() { caller.Close(); cancel(); wg.Wait() })
	return &Client{Peer: caller, Errors: table}, l
}

func same(_ *partition.Appended, err error) error { return err }

func wantAsked(t *testing.T, l *leader, want ...any) {
	t.Helper()
	if d := cmp.Diff(want, l.asked); d != "" {
		t.Fatal(d)
	}
	l.asked = nil
}

func TestAppendsArriveWhole(t *testing.T) {
	c, l := connect(t)
	fence := "f"
	r := partition.RecordAppend{
		Key: []byte("k"), Value: []byte("v"), Timestamp: -1, Acks: partition.AcksAll,
		Headers:        []record.HeaderKV{{Key: "a", Value: nil}, {Key: "a", Value: []byte{}}},
		Cond:           partition.Conditions{ExpectOffset: 3, IfKeyOffset: -1, IfKeyAbsent: true, Fence: &fence},
		Producer:       &partition.ProducerSeq{ID: 1, Epoch: 2, Seq: 3},
		IdempotencyKey: "once", BodyHash: [16]byte{5}, Pin: partition.PinTo(7),
	}
	sc := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, Remote: true,
	})
	ctx := trace.ContextWithRemoteSpanContext(t.Context(), sc)
	got, err := c.Record(ctx, someID, &r, same).Wait(ctx)
	if err != nil || got.Offset != 4 || !got.Duplicate || got.LeaderEpoch != 7 {
		t.Fatalf("%+v, %v", got, err)
	}
	wantAsked(t, l, someID, r)
	if !l.trace.Equal(sc) {
		t.Fatalf("trace %v", l.trace)
	}

	b := record.NewBuilder(record.CodecNone)
	b.Reset(0, 0)
	b.Append(1, nil, []byte("x"), nil)
	batch := partition.BatchAppend{Batch: b.Build(nil), Acks: partition.AcksLeader, Cond: partition.NoConditions, Pin: 9}
	if _, err := c.Batch(t.Context(), someID, &batch, same).Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	batch.Header, _ = record.ParseHeader(batch.Batch)
	wantAsked(t, l, someID, batch)
	batch.Batch[len(batch.Batch)-1] ^= 1
	if _, err := c.Batch(t.Context(), someID, &batch, same).Wait(t.Context()); !errors.Is(err, record.ErrCRC) {
		t.Fatal(err)
	}
}

func TestQuestions(t *testing.T) {
	c, l := connect(t)
	ctx := t.Context()
	batches, o, err := c.Read(ctx, someID, Read{Offset: 1, MaxBytes: 2, Isolation: 1, Wait: time.Second})
	if err != nil || string(batches) != "batches" || o != someOffsets {
		t.Fatal(string(batches), o, err)
	}
	wantAsked(t, l, someID, Read{Offset: 1, MaxBytes: 2, Isolation: 1, Wait: time.Second})
	if o, err := c.Offsets(ctx, someID); err != nil || o != someOffsets {
		t.Fatal(o, err)
	}
	if o, err := c.Await(ctx, someID, partition.Offsets{}); err != nil || o != someOffsets {
		t.Fatal(o, err)
	}
	if a, b, ok, err := c.OffsetForTime(ctx, someID, 7); err != nil || a != 8 || b != 9 || !ok {
		t.Fatal(a, b, ok, err)
	}
	if v, err := c.Trim(ctx, someID, 5); err != nil || v != 10 {
		t.Fatal(v, err)
	}
	expect := ""
	if v, err := c.SetFence(ctx, someID, "t", &expect); err != nil || v != 11 {
		t.Fatal(v, err)
	}
	if v, live, err := c.KeyOffset(ctx, someID, []byte("k")); err != nil || v != 12 || !live {
		t.Fatal(v, live, err)
	}
	load, err := c.Load(ctx)
	if d := cmp.Diff(someLoad, load); err != nil || d != "" {
		t.Fatal(err, d)
	}
}

// An error arrives as what it was, with its numbers and its text.
func TestErrorsTravel(t *testing.T) {
	c, l := connect(t)
	for _, want := range []error{
		&partition.NotLeaderError{Leader: 3, Epoch: 4},
		&partition.OffsetTrimmedError{Offset: 1, LogStart: 2},
		&partition.OffsetBeyondEndError{Offset: 9, HighWatermark: 2},
		&partition.ThrottledError{RetryAfter: time.Second},
		&partition.OffsetConflictError{Expected: 1, Current: 2},
		&partition.KeyPreconditionError{Current: -1},
		&partition.SequenceGapError{Expected: 5, Got: 7},
		partition.ErrFenced,
	} {
		l.fails = fmt.Errorf("append orders/3: %w", want)
		_, err := c.Offsets(t.Context(), someID)
		if err == nil || err.Error() != l.fails.Error() {
			t.Fatalf("%v arrived as %v", l.fails, err)
		}
		found := false
		for e := err; e != nil; e = errors.Unwrap(e) {
			found = found || reflect.DeepEqual(e, want)
		}
		if !found {
			t.Fatalf("%T arrived as %#v", want, err)
		}
	}
	l.fails = errors.New("something else")
	if _, err := c.Trim(t.Context(), someID, 1); !errors.Is(err, partition.ErrOutcomeUnknown) {
		t.Fatal(err)
	}
}

func FuzzRequests(f *testing.F) {
	e := call(context.Background(), someID)
	e.record(&partition.RecordAppend{Key: []byte("k"), Cond: partition.NoConditions})
	f.Add(uint8(methodRecord), e.b)
	f.Add(uint8(methodLoad), call(context.Background(), plog.ID{}).b)
	for m := methodRecord; m <= methodConfirm; m++ {
		f.Add(uint8(m), call(context.Background(), someID).b)
	}
	f.Fuzz(func(t *testing.T, m uint8, b []byte) {
		h := &Handler{Local: &leader{}, Errors: table}
		replies := 0
		defer func() {
			if r := recover(); r != nil {
				t.Fatalf("%v", r)
			}
		}()
		if m == uint8(methodFence) {
			return // the fake dereferences its optional argument
		}
		if wait := h.Begin(context.Background(), peer.Method(m), b, func([]byte, bool) { replies++ }); wait != nil {
			wait()
		}
		if replies != 1 {
			t.Fatalf("%d replies", replies)
		}
	})
}
