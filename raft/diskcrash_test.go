package raft

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/chroniklog/chronik/raft/meta"
)

// growingDisk is a disk whose applied state grows.
type growingDisk struct {
	*Disk
	t     *testing.T
	image *meta.Image
}

// to appends, commits and applies entries up to index, of the given term.
func (g *growingDisk) to(index, term uint64) {
	g.t.Helper()
	from := g.LastIndex() + 1
	save(g.t, g.Disk, from, index, term)
	var changes []meta.Change
	for i := from; i <= index; i++ {
		_, c, _, err := g.image.Apply(i, meta.Encode(meta.Request{ID: meta.ID{byte(i), byte(i >> 8), 1}},
			&meta.MapProducer{Name: fmt.Sprint(i), TTLMs: 1e9}))
		if err != nil {
			g.t.Fatal(err)
		}
		changes = append(changes, c...)
	}
	if err := g.Apply(Applied{Position: Position{index, term}, Conf: g.conf, Changes: changes}); err != nil {
		g.t.Fatal(err)
	}
}

// reopens opens a copy of a disk as a crash at this moment leaves it, wants its
// state to be of one of some positions, and has it go on from there.
func reopens(t *testing.T, d *Disk, may ...uint64) {
	t.Helper()
	dir := copyDir(t, d.dir)
	for _, again := range []bool{false, true} {
		got, err := openDisk(diskOpts(dir))
		if err != nil {
			t.Fatalf("after a crash: %v", err)
		}
		b, err := got.Load()
		if err != nil {
			t.Fatalf("after a crash: %v", err)
		}
		at := b.Applied.Index
		known := at == seedIndex
		if at > seedIndex {
			_, known = b.Image.Producer(fmt.Sprint(at), 0)
		}
		if !again && !slices.Contains(may, at) || !known || got.FirstIndex() > at+1 || got.LastIndex() < at {
			t.Fatalf("after a crash: applied %d (known %t), log %d to %d", at, known, got.FirstIndex(), got.LastIndex())
		}
		term, err := got.Term(got.LastIndex())
		if err != nil {
			t.Fatal(err)
		}
		save(t, got, got.LastIndex()+1, got.LastIndex()+5, term+1)
		closeDisk(t, got)
	}
}

// Whatever step of an installation a crash comes after, the state is that from
// before it or the snapshot's, whole; and so with the next one at its heels.
func TestCrashAtEachWriteOfAnInstallation(t *testing.T) {
	src := &growingDisk{Disk: newTestDisk(t), t: t, image: meta.NewImage()}
	dst := &growingDisk{Disk: newTestDisk(t), t: t, image: meta.NewImage()}
	dst.to(40, 1)
	before, steps := uint64(40), 0
	for round, index := range []uint64{300, 420} {
		src.to(index, uint64(round)+2)
		name := filepath.Join(dst.dir, fmt.Sprintf("received-%d", round))
		writeSnapshotFile(t, src.Disk, name)
		dst.step = func() {
			steps++
			reopens(t, dst.Disk, before, index)
		}
		snap := &pb.Snapshot{Data: []byte(name), Metadata: snapshotMetadata(src.applied, src.conf)}
		if _, err := dst.Install(snap, hard(uint64(round)+2, 0, index)); err != nil {
			t.Fatal(err)
		}
		before = index
	}
	if steps < 8 {
		t.Errorf("%d steps", steps)
	}
	dst.step = nil
	reopens(t, dst.Disk, 420)
}

// A compaction cuts the log in steps, too.
func TestCrashAtEachWriteOfACompaction(t *testing.T) {
	d := &growingDisk{Disk: newTestDisk(t), t: t, image: meta.NewImage()}
	d.to(200, 1)
	steps := 0
	d.step = func() {
		steps++
		reopens(t, d.Disk, 200)
	}
	for _, to := range []uint64{50, 120, 200} {
		if err := d.Compact(to); err != nil {
			t.Fatal(err)
		}
	}
	if steps < 9 {
		t.Errorf("%d steps", steps)
	}
	d.step = nil
	reopens(t, d.Disk, 200)
}
