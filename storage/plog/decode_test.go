package plog

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"

	"github.com/chroniklog/chronik/storage/journal"
	"github.com/chroniklog/chronik/storage/segment"
)

func sampleCheckpoint() checkpoint {
	return checkpoint{
		Seq: 7, Store: [16]byte{1}, LSN: 99, Files: 1234, Clock: 1_700_000_000_000,
		Start: journal.Start{Seq: 3, LSN: 4, Cycle: 5},
		Logs: []logEntry{
			{ID: testID(1), Incarnation: 2, LSN: 98, Start: 5, Empty: 0, HW: 7, Cleaned: 3, Epochs: epochs{{0, 5}, {9, 6}},
				Segs: []segEntry{
					{Number: 3, Index: 4, Base: 0, End: segment.Mark{Pos: 1000, Next: 6, MaxTs: segment.NoTs}, Pages: 1, Sealed: true},
					{Number: 5, Index: 6, Base: 6, End: segment.Mark{Pos: 70, Next: 7, MaxTs: 12}, Sparse: true, Tombstones: true,
						Cleaned: 1, Created: 2, Scrubbed: 3},
				}},
			{ID: testID(2), Broken: "why"},
		},
	}
}

func TestCheckpointRoundTrip(t *testing.T) {
	c := sampleCheckpoint()
	b := c.encode()
	got, err := decodeCheckpoint(append(b, "what an older, longer one had"...), c.Store)
	if err != nil || !reflect.DeepEqual(got, c) {
		t.Fatalf("%v\n%+v\n%+v", err, got, c)
	}
	if _, err := decodeCheckpoint(b, [16]byte{2}); err == nil {
		t.Fatal("another store's checkpoint was taken")
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 4
		if _, err := decodeCheckpoint(bad, c.Store); err == nil && (i < 88 || i > 91) {
			t.Fatalf("a changed byte %d was not noticed", i)
		}
		if _, err := decodeCheckpoint(b[:i], c.Store); err == nil {
			t.Fatalf("%d of %d bytes were taken", i, len(b))
		}
	}
}

func FuzzCheckpoint(f *testing.F) {
	c := sampleCheckpoint()
	f.Add(c.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decodeCheckpoint(b, c.Store)
		if err != nil {
			return
		}
		again, err := decodeCheckpoint(got.encode(), c.Store)
		if err != nil || !reflect.DeepEqual(got, again) {
			t.Fatalf("%v\n%+v\n%+v", err, got, again)
		}
	})
}

// The entries are behind a checksum that a fuzzer doesn't get past.
func FuzzCheckpointEntries(f *testing.F) {
	c := sampleCheckpoint()
	for i := range c.Logs {
		f.Add(c.Logs[i].append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := decoder{b: b}
		e := d.logEntry()
		if d.bad {
			return
		}
		d = decoder{b: e.append(nil)}
		if again := d.logEntry(); d.bad || !reflect.DeepEqual(e, again) {
			t.Fatalf("%+v\n%+v", e, again)
		}
	})
}

func FuzzState(f *testing.F) {
	name := fileName{id: testID(1), incarnation: 2, base: 3, ext: stateExt}
	f.Add(encodeState(name, []byte("state")))
	f.Fuzz(func(t *testing.T, b []byte) {
		state, err := decodeState(name, b)
		if err == nil && !bytes.Equal(state, b[stateHeader:]) {
			t.Fatalf("%q of %q", state, b)
		}
	})
}

func FuzzExtent(f *testing.F) {
	x := extent{
		Number: 1, Base: 2, Created: 3, Sealed: true,
		From: segment.Start(2), To: segment.Mark{Pos: 100, Next: 5, MaxTs: 1},
	}
	f.Add(x.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		x, _, err := decodeExtent(b)
		if err == nil && (x.To.Pos < x.From.Pos || x.From.Pos < segment.HeaderBytes || x.Base < 0) {
			t.Fatalf("%+v", x)
		}
	})
}

func FuzzNames(f *testing.F) {
	f.Add(fileName{id: testID(3), incarnation: 4, base: 5, number: 6, ext: segmentExt}.String())
	f.Add("LOCK")
	f.Fuzz(func(t *testing.T, name string) {
		if n, ok := parseName(name); ok && n.String() != name {
			t.Fatalf("%q is read as %+v", name, n)
		}
	})
}

func FuzzFormat(f *testing.F) {
	f.Add(formatText([16]byte{1, 2}))
	f.Fuzz(func(t *testing.T, text string) {
		if id, err := parseFormat(text); err == nil && formatText(id) != text {
			t.Fatalf("%q gives %x", text, id)
		}
	})
}

func TestStateRoundTrip(t *testing.T) {
	name := fileName{id: testID(1), incarnation: 2, base: 3, ext: stateExt}
	b := encodeState(name, []byte("hello"))
	if got, err := decodeState(name, b); err != nil || string(got) != "hello" {
		t.Fatalf("%q, %v", got, err)
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 1
		if _, err := decodeState(name, bad); err == nil {
			t.Fatalf("a changed byte %d was not noticed", i)
		}
	}
	other := name
	other.base++
	if _, err := decodeState(other, b); err == nil {
		t.Fatal("another offset's state was taken")
	}
}

// A damaged snapshot is skipped for the one before.
func TestStateFallsBack(t *testing.T) {
	k := newKit(t, Config{})
	for i := range 3 {
		k.add(rec(1, "", "x"))
		if err := k.l.SaveState(int64(i+1), fmt.Append(nil, "at ", i+1)); err != nil {
			t.Fatal(err)
		}
	}
	want := func(atMost, offset int64) {
		t.Helper()
		got, state, ok, err := k.l.LoadState(atMost)
		if err != nil || ok != (offset > 0) || ok && (got != offset || string(state) != fmt.Sprint("at ", offset)) {
			t.Fatalf("at most %d: %d %q %v %v, want %d", atMost, got, state, ok, err, offset)
		}
	}
	want(3, 3)
	want(2, 2)
	want(1, 0) // two are kept
	k.crash(1, Config{})
	want(3, 3)
	infos, _ := k.fs.ReadDir("data/logs/1")
	for _, i := range infos {
		if n, ok := parseName(i.Name); ok && n.ext == stateExt && n.base == 3 {
			if err := k.fs.FlipBit("data/logs/1/"+i.Name, stateHeader+1); err != nil {
				t.Fatal(err)
			}
		}
	}
	want(3, 2)
}
