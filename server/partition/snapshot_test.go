package partition

import (
	"bytes"
	"errors"
	"testing"
)

func filled() *State {
	s := leaderState(DefaultConfig(), Limits{})
	for i := range int32(7) {
		s.StageRecord(int64(i), &RecordAppend{
			Producer:       &ProducerSeq{ID: int64(i % 2), Seq: i},
			IdempotencyKey: string(rune('a' + i)), BodyHash: [16]byte{byte(i)},
		}, int64(i))
	}
	s.StageFence("token")
	return s
}

func TestSnapshotRoundTrip(t *testing.T) {
	s := filled()
	b := s.Snapshot(8).Encode()
	again := New(1, DefaultConfig(), Limits{})
	if err := again.Restore(b); err != nil {
		t.Fatal(err)
	}
	if got := again.Snapshot(8).Encode(); !bytes.Equal(got, b) {
		t.Fatalf("encoded again:\n%x\nwant\n%x", got, b)
	}
	if again.End() != s.End() {
		t.Errorf("end %d, want %d", again.End(), s.End())
	}
	if token, at := again.Fence(); token != "token" || at != 7 {
		t.Errorf("fence %q at %d", token, at)
	}
}

func TestSnapshotLeavesOutWhatExpired(t *testing.T) {
	s := filled()
	if sn := s.Snapshot(day + 6); len(sn.producers) != 0 || len(sn.idem) != 0 || sn.Empty() {
		t.Errorf("%d producers, %d keys, empty %v; want only the fence", len(sn.producers), len(sn.idem), sn.Empty())
	}
}

func TestRestoreRefusesDamage(t *testing.T) {
	b := filled().Snapshot(8).Encode()
	for n := range b { // every prefix
		s := New(1, DefaultConfig(), Limits{})
		if err := s.Restore(b[:n]); !errors.Is(err, ErrSnapshot) {
			t.Fatalf("prefix of %d bytes: %v", n, err)
		}
		if s.HasDerived() || s.End() != 0 {
			t.Fatalf("prefix of %d bytes left something", n)
		}
	}
	s := New(1, DefaultConfig(), Limits{})
	if err := s.Restore(append(bytes.Clone(b), 0)); !errors.Is(err, ErrSnapshot) {
		t.Fatalf("a byte too many: %v", err)
	}
}

// FuzzRestore: no input makes Restore panic; what it accepts, it can write and
// read again.
func FuzzRestore(f *testing.F) {
	f.Add(filled().Snapshot(8).Encode())
	f.Add(New(1, DefaultConfig(), Limits{}).Snapshot(0).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		s := New(1, DefaultConfig(), Limits{Producers: 8, IdempotencyKeys: 8})
		if s.Restore(b) != nil {
			return
		}
		first := s.Snapshot(-1 << 62).Encode()
		again := New(1, DefaultConfig(), Limits{Producers: 8, IdempotencyKeys: 8})
		if err := again.Restore(first); err != nil {
			t.Fatalf("own snapshot refused: %v", err)
		}
		if second := again.Snapshot(-1 << 62).Encode(); !bytes.Equal(first, second) {
			t.Fatalf("%x\nbecame\n%x", first, second)
		}
	})
}

func FuzzParseIdempotency(f *testing.F) {
	f.Add(AppendIdempotency(nil, 77, &RecordAppend{IdempotencyKey: "k", BodyHash: [16]byte{1}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, ok := parseIdempotency(b)
		if !ok {
			return
		}
		a := RecordAppend{IdempotencyKey: e.key, BodyHash: e.hash}
		if got := AppendIdempotency(nil, e.at, &a); !bytes.Equal(got, b) {
			t.Fatalf("%x became %x", b, got)
		}
	})
}

// TestIdempotencyQueueMayHoldAKeyTwice: the clock was set back between two
// uses of a key; forgetting the older use keeps the newer.
func TestIdempotencyQueueMayHoldAKeyTwice(t *testing.T) {
	x := newIdempotency(3, 1_000)
	x.put(idemEntry{key: "a", offset: 1, at: 5_000})
	x.put(idemEntry{key: "a", offset: 2, at: 1_500})
	x.put(idemEntry{key: "b", offset: 3, at: 1_501})
	x.put(idemEntry{key: "c", offset: 4, at: 1_502}) // too many: the first goes
	if e := x.get(1_600, "a"); e == nil || e.offset != 2 {
		t.Errorf("a: %+v", e)
	}
	x.put(idemEntry{key: "d", offset: 5, at: 1_503})
	if e := x.get(1_600, "a"); e != nil {
		t.Errorf("a: %+v", e)
	}
}
