package raft

import (
	"errors"
	"strings"
	"testing"
)

func TestSnapshotStream(t *testing.T) {
	m := NewMemory(testSeed())
	snap, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	whole := string(snap.GetData())
	read := func(s string) error {
		_, err := readSnapshot(strings.NewReader(s), func(_, _ []byte) error { return nil })
		return err
	}
	if err := read(whole); err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		if err := read(whole[:i]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut at %d: %v", i, err)
		}
		b := []byte(whole)
		b[i] ^= 4
		if err := read(string(b)); err == nil {
			t.Errorf("flip at %d is accepted", i)
		}
	}
}

func FuzzSnapshot(f *testing.F) {
	snap, err := NewMemory(testSeed()).Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(snap.GetData())
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = readSnapshot(strings.NewReader(string(b)), func(k, v []byte) error {
			if len(k)+len(v) > len(b) {
				t.Error("pair is larger than the input")
			}
			return nil
		})
	})
}

func FuzzRecords(f *testing.F) {
	f.Add((&identity{raftID: 1, node: 2, cluster: "c", members: testSeed().Members}).encode())
	f.Add(encodeMembers(testSeed().Members))
	f.Add(encodeEntry(entry(1, 2, "x")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if i, err := parseIdentity(b); err == nil {
			if string(i.encode()) != string(b) {
				t.Error("identity doesn't survive")
			}
		}
		if m, err := decodeMembers(b); err == nil && len(m) > 0 {
			if string(encodeMembers(m)) != string(b) {
				t.Error("members don't survive")
			}
		}
		if e, err := decodeEntry(1, b); err == nil && e.GetTerm() < 1<<7 {
			if got := encodeEntry(e); len(got) > len(b) {
				t.Error("entry grew")
			}
		}
	})
}
