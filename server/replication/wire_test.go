package replication

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/plog"
)

func exampleFetch() *Fetch {
	return &Fetch{BrokerEpoch: 77, Positions: []Position{
		{
			ID: plog.ID{Topic: [16]byte{1}, Partition: 3}, LeaderEpoch: 4,
			Offset: 1 << 40, Flushed: 9, LastEpoch: -1, Wants: true,
		},
		{ID: plog.ID{Topic: [16]byte{3}}, LeaderEpoch: 1, Offset: 7, Flushed: 7, LastEpoch: 1},
		{ID: plog.ID{Topic: [16]byte{2}}, Gone: true},
	}}
}

func exampleData() []Data {
	id := plog.ID{Topic: [16]byte{9, 8}, Partition: 1}
	return []Data{
		{
			ID: id, LeaderEpoch: 2, HighWatermark: 10, LogStart: 1, Batches: []byte("sampled"),
			Traced: []partition.Traced{{Offset: 12, Context: partition.TraceContext{1, 24: 1}}, {Offset: 1 << 40}},
		},
		{ID: id, LeaderEpoch: 2, HighWatermark: 10, LogStart: 1, Batches: []byte("batches")},
		{
			ID: id, LeaderEpoch: 2, Code: CodeDiverging, HighWatermark: 10,
			DivergingEpoch: -1, DivergingEnd: 0, Batches: []byte{},
		},
		{ID: id, LeaderEpoch: -1, Code: CodeNotLeader, Batches: []byte{}},
	}
}

func TestFetchRoundTrip(t *testing.T) {
	want := exampleFetch()
	var got Fetch
	if err := DecodeFetch(AppendFetch(nil, want), &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(*want, got); d != "" {
		t.Fatal(d)
	}
}

func TestDataRoundTrip(t *testing.T) {
	var msg []byte
	want := exampleData()
	for i := range want {
		msg = AppendData(msg, &want[i])
	}
	for i := range want {
		var got Data
		rest, err := DecodeData(msg, &got)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want[i], got); d != "" {
			t.Fatal(d)
		}
		msg = rest
	}
	if len(msg) != 0 {
		t.Fatalf("%d bytes left", len(msg))
	}
}

// Every cut of a message is an error, never a shorter message.
func TestCutMessages(t *testing.T) {
	whole := AppendFetch(nil, exampleFetch())
	for n := range whole {
		var f Fetch
		if err := DecodeFetch(whole[:n], &f); !errors.Is(err, ErrMessage) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	one := AppendData(nil, &exampleData()[1])
	for n := range one {
		var x Data
		if _, err := DecodeData(one[:n], &x); !errors.Is(err, ErrMessage) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
}

func FuzzDecodeFetch(f *testing.F) {
	f.Add(AppendFetch(nil, exampleFetch()))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Fetch
		if DecodeFetch(b, &m) != nil {
			return
		}
		var again Fetch
		if err := DecodeFetch(AppendFetch(nil, &m), &again); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(m, again); d != "" {
			t.Fatal(d)
		}
	})
}

func FuzzDecodeData(f *testing.F) {
	for _, x := range exampleData() {
		f.Add(AppendData(nil, &x))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var x Data
		rest, err := DecodeData(b, &x)
		if err != nil {
			return
		}
		var again Data
		left, err := DecodeData(append(AppendData(nil, &x), rest...), &again)
		if err != nil || !bytes.Equal(left, rest) {
			t.Fatalf("again: %v, %d bytes left of %d", err, len(left), len(rest))
		}
		if d := cmp.Diff(x, again); d != "" {
			t.Fatal(d)
		}
	})
}
