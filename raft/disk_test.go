package raft

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	etcd "go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/storage/kv"
	"github.com/chroniklog/chronik/storage/vfs"
)

const testRaftID = 77

func testSeed() Seed {
	return Seed{Members: []meta.Member{{RaftID: testRaftID, Node: 1, Addr: "a"}, {RaftID: 78, Node: 2, Addr: "b"}}}
}

func diskOpts(dir string) diskOptions { return diskOptions{Dir: dir, RaftID: testRaftID} }

func newTestDisk(t testing.TB) *Disk {
	t.Helper()
	d, err := createDisk(diskOpts(t.TempDir()), testSeed())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeDisk(t, d) })
	return d
}

func closeDisk(t testing.TB, d *Disk) {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func entry(index, term uint64, data string) *pb.Entry {
	return &pb.Entry{Index: new(index), Term: new(term), Data: []byte(data)}
}

func hard(term, vote, commit uint64) *pb.HardState {
	return &pb.HardState{Term: new(term), Vote: new(vote), Commit: new(commit)}
}

// save appends entries [from, to] of a term and fences them.
func save(t testing.TB, d *Disk, from, to, term uint64) {
	t.Helper()
	var es []*pb.Entry
	for i := from; i <= to; i++ {
		es = append(es, entry(i, term, fmt.Sprintf("entry %d of %d %s", i, term, strings.Repeat("x", 100))))
	}
	if err := d.Save(es, hard(term, testRaftID, from)); err != nil {
		t.Fatal(err)
	}
	if err := d.fence.Write(d.Mark()); err != nil {
		t.Fatal(err)
	}
}

// copyDir copies what is on disk now, as a crash would leave it. Zeros at the
// end of files are left out where the file system allows.
func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	err := filepath.WalkDir(from, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o750)
		}
		if e.Name() == "LOCK" {
			return nil
		}
		return copyFile(p, filepath.Join(to, rel))
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// copyFile copies up to the first megabyte of zeros, behind which the stores'
// preallocated files have nothing.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	for {
		n, err := io.ReadFull(in, buf)
		if n == 0 || len(strings.Trim(string(buf[:n]), "\x00")) == 0 {
			break
		}
		if _, err := out.Write(buf[:n]); err != nil {
			return errors.Join(err, out.Close())
		}
		if err != nil {
			break
		}
	}
	return errors.Join(out.Truncate(info.Size()), out.Close())
}

func TestDiskLog(t *testing.T) {
	d := newTestDisk(t)
	save(t, d, 2, 30, 1)
	save(t, d, 20, 25, 2) // cuts the log
	check := func(d *Disk) {
		t.Helper()
		if d.FirstIndex() != 2 || d.LastIndex() != 25 {
			t.Fatalf("log is %d to %d", d.FirstIndex(), d.LastIndex())
		}
		es, err := d.Entries(18, 26, 1<<20)
		if err != nil || len(es) != 8 {
			t.Fatalf("entries: %d, %v", len(es), err)
		}
		for i, e := range es {
			want := uint64(1)
			if e.GetIndex() >= 20 {
				want = 2
			}
			if e.GetIndex() != uint64(18+i) || e.GetTerm() != want {
				t.Errorf("entry %d: index %d term %d", i, e.GetIndex(), e.GetTerm())
			}
		}
		if es, err := d.Entries(2, 26, 1); err != nil || len(es) != 1 {
			t.Errorf("limited entries: %d, %v", len(es), err)
		}
		if _, err := d.Entries(1, 3, 1); !errors.Is(err, etcd.ErrCompacted) {
			t.Errorf("entries before the start: %v", err)
		}
		if _, err := d.Entries(25, 27, 1); !errors.Is(err, etcd.ErrUnavailable) {
			t.Errorf("entries behind the end: %v", err)
		}
		if _, err := d.Term(26); !errors.Is(err, etcd.ErrUnavailable) {
			t.Errorf("term behind the end: %v", err)
		}
		if term, err := d.Term(1); err != nil || term != 1 {
			t.Errorf("term of the seed: %d, %v", term, err)
		}
	}
	check(d)
	copied, err := openDisk(diskOpts(copyDir(t, d.dir)))
	if err != nil {
		t.Fatal(err)
	}
	defer closeDisk(t, copied)
	check(copied)
	copied.tail.reset(copied.last.Index + 1) // from the store, then
	check(copied)
	b, err := copied.Load()
	if err != nil || b.Hard.GetTerm() != 2 || b.Hard.GetVote() != testRaftID || len(b.Conf.GetVoters()) != 2 {
		t.Errorf("%+v, %v", b, err)
	}
}

// TestDiskSavesMuch: more than one transaction holds.
func TestDiskSavesMuch(t *testing.T) {
	d := newTestDisk(t)
	var es []*pb.Entry
	for i := range uint64(40) {
		es = append(es, entry(2+i, 1, strings.Repeat("y", 200<<10)))
	}
	if err := d.Save(es, hard(1, 0, 30)); err != nil {
		t.Fatal(err)
	}
	if err := d.fence.Write(d.Mark()); err != nil {
		t.Fatal(err)
	}
	if d.tail.bytes > tailBytes {
		t.Errorf("%d bytes in memory", d.tail.bytes)
	}
	c, err := openDisk(diskOpts(copyDir(t, d.dir)))
	if err != nil {
		t.Fatal(err)
	}
	defer closeDisk(t, c)
	if got, err := c.Entries(2, 42, 1<<30); err != nil || len(got) != 40 || len(got[0].GetData()) != 200<<10 {
		t.Errorf("%d entries, %v", len(got), err)
	}
}

func TestDiskCompacts(t *testing.T) {
	d := newTestDisk(t)
	save(t, d, 2, 200, 1)
	if err := d.Compact(50); err == nil {
		t.Error("compacted beyond what is applied")
	}
	apply := func(i uint64) {
		if err := d.Apply(Applied{Position: Position{i, 1}, Conf: d.conf}); err != nil {
			t.Fatal(err)
		}
	}
	apply(150)
	for _, to := range []uint64{100, 120, 110} {
		if err := d.Compact(to); err != nil {
			t.Fatal(err)
		}
	}
	c, err := openDisk(diskOpts(copyDir(t, d.dir)))
	if err != nil {
		t.Fatal(err)
	}
	defer closeDisk(t, c)
	if c.FirstIndex() != 121 || c.LastIndex() != 200 {
		t.Errorf("log is %d to %d", c.FirstIndex(), c.LastIndex())
	}
	if term, err := c.Term(120); err != nil || term != 1 {
		t.Errorf("term before the first: %d, %v", term, err)
	}
}

// TestFenceDetectsAmnesia: a log that has forgotten a vote, entries or applied
// state, however consistent it is in itself, is not used.
func TestFenceDetectsAmnesia(t *testing.T) {
	for name, promise := range map[string]func(t *testing.T, d *Disk){
		"vote": func(t *testing.T, d *Disk) {
			if err := d.Save(nil, hard(5, 78, 1)); err != nil {
				t.Fatal(err)
			}
		},
		"entries": func(t *testing.T, d *Disk) {
			if err := d.Save([]*pb.Entry{entry(11, 1, "z")}, nil); err != nil {
				t.Fatal(err)
			}
		},
		"applied": func(t *testing.T, d *Disk) {
			if err := d.Apply(Applied{Position: Position{9, 1}, Conf: d.conf}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newTestDisk(t)
			save(t, d, 2, 10, 1)
			before := copyDir(t, d.dir)
			promise(t, d)
			if err := d.fence.Write(d.Mark()); err != nil {
				t.Fatal(err)
			}
			// The store goes back, the fence doesn't.
			if err := copyFile(filepath.Join(d.dir, fenceName), filepath.Join(before, fenceName)); err != nil {
				t.Fatal(err)
			}
			_, err := openDisk(diskOpts(before))
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), before) {
				t.Errorf("opened: %v", err)
			}
		})
	}
}

// TestFlippedBits: a damaged byte anywhere in the stores' files is noticed, or
// harmless: no log opens with less than was promised.
func TestFlippedBits(t *testing.T) {
	build := func(t *testing.T) string {
		d, err := createDisk(diskOpts(t.TempDir()), testSeed())
		if err != nil {
			t.Fatal(err)
		}
		image := meta.NewImage()
		for i := range uint64(60) {
			save(t, d, 2+i, 2+i, 1)
			req := meta.Request{ID: meta.ID{byte(i), 1}}
			_, changes, _, err := image.Apply(2+i, meta.Encode(req, &meta.MapProducer{Name: fmt.Sprint(i), TTLMs: 1e9}))
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Apply(Applied{Position: Position{2 + i, 1}, Conf: d.conf, Changes: changes}); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.fence.Write(d.Mark()); err != nil {
			t.Fatal(err)
		}
		crashed := copyDir(t, d.dir)
		closeDisk(t, d) // flushes to tables
		if t.Name() == "TestFlippedBits/tables" {
			return d.dir
		}
		return crashed
	}
	for name, ext := range map[string]string{"log": ".mem", "tables": ".sst"} {
		t.Run(name, func(t *testing.T) {
			dir := build(t)
			noticed, tried := 0, 0
			rng := rand.New(rand.NewPCG(1, 2))
			for _, sub := range []string{logDir, statePre + "1"} {
				files, err := filepath.Glob(filepath.Join(dir, sub, "*"+ext))
				if err != nil || len(files) == 0 {
					t.Fatalf("no %s in %s: %v", ext, sub, err)
				}
				for range 4 {
					tried++
					if flipOne(t, dir, files[0], rng) {
						noticed++
					}
				}
			}
			t.Logf("%d of %d flips noticed", noticed, tried)
			if noticed < tried/3 {
				t.Errorf("only %d of %d flips were noticed", noticed, tried)
			}
		})
	}
}

// flipOne flips a bit of a copy and reports whether the copy is refused. One
// that opens must be whole.
func flipOne(t *testing.T, dir, file string, rng *rand.Rand) bool {
	t.Helper()
	work := copyDir(t, dir)
	rel, err := filepath.Rel(dir, file)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(work, rel)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1<<20)
	n, err := f.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	at := rng.IntN(len(strings.TrimRight(string(b[:n]), "\x00")))
	b[at] ^= 1 << rng.IntN(8)
	if _, err := f.WriteAt(b[at:at+1], int64(at)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	d, err := openDisk(diskOpts(work))
	if err == nil {
		var boot Boot
		boot, err = d.Load()
		if err == nil {
			_, known := boot.Image.Producer("59", 0)
			if d.LastIndex() != 61 || boot.Hard.GetTerm() != 1 || boot.Hard.GetVote() != testRaftID ||
				boot.Applied.Index < 60 || boot.Applied.Index == 61 && !known {
				t.Errorf("%s, bit in byte %d: opened with last %d, applied %d", rel, at, d.LastIndex(), boot.Applied.Index)
			}
		}
		closeDisk(t, d)
	}
	if err != nil && !errors.Is(err, ErrCorrupt) {
		t.Errorf("%s, bit in byte %d: %v", rel, at, err)
	}
	return err != nil
}

func TestFenceFile(t *testing.T) {
	dir := t.TempDir()
	files := vfs.OS()
	if err := createFence(files, dir); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, fenceName)
	f, m, err := openFence(files, dir)
	if err != nil || m != (Mark{}) {
		t.Fatalf("new fence: %+v, %v", m, err)
	}
	for i := range uint64(3) {
		if err := f.Write(Mark{Seq: i + 1, Term: 2, Vote: 3, LastIndex: 4, LastTerm: 5, Applied: 6}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
	damage := func(offsets ...int64) (Mark, error) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range offsets {
			b[o] ^= 0x10
		}
		other := t.TempDir()
		if err := os.WriteFile(filepath.Join(other, fenceName), b, 0o640); err != nil {
			t.Fatal(err)
		}
		f, m, err := openFence(files, other)
		if err == nil {
			err = f.close()
		}
		return m, err
	}
	if m, err := damage(); err != nil || m.Seq != 3 || m.Applied != 6 {
		t.Errorf("whole: %+v, %v", m, err)
	}
	// The third mark is in the second slot: torn, the one before counts.
	if m, err := damage(fenceSlot + 20); err != nil || m.Seq != 2 {
		t.Errorf("newest torn: %+v, %v", m, err)
	}
	if m, err := damage(20); err != nil || m.Seq != 3 {
		t.Errorf("older torn: %+v, %v", m, err)
	}
	if _, err := damage(20, fenceSlot+20); !errors.Is(err, ErrCorrupt) {
		t.Errorf("both torn: %v", err)
	}
}

func TestMissingPartsAreCorrupt(t *testing.T) {
	d := newTestDisk(t)
	save(t, d, 2, 10, 1)
	for _, part := range []string{fenceName, logDir, statePre + "1"} {
		dir := copyDir(t, d.dir)
		if err := os.RemoveAll(filepath.Join(dir, part)); err != nil {
			t.Fatal(err)
		}
		if got, err := openDisk(diskOpts(dir)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("without %s: %v", part, err)
			if err == nil {
				closeDisk(t, got)
			}
		}
	}
	// Another node's log, or that of a former incarnation.
	if _, err := openDisk(diskOptions{Dir: copyDir(t, d.dir), RaftID: 5}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("another's log: %v", err)
	}
	if _, err := openDisk(diskOpts(t.TempDir())); !errors.Is(err, errFresh) {
		t.Errorf("empty directory: %v", err)
	}
}

// TestVoteSurvives: a member that crashed after its vote left gives no other
// one in that term.
func TestVoteSurvives(t *testing.T) {
	d := newTestDisk(t)
	ask := func(d *Disk, from uint64) (answer *pb.Message) {
		c, err := NewCore(CoreConfig{ID: testRaftID, Storage: d, Fence: d.fence, Send: func(msgs []*pb.Message) {
			for _, m := range msgs {
				if m.GetType() == pb.MsgVoteResp {
					answer = m
				}
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		c.Step(&pb.Message{
			Type: pb.MsgVote.Enum(), To: new(uint64(testRaftID)), From: new(from), Term: new(uint64(5)),
			Index: new(uint64(10)), LogTerm: new(uint64(4)),
		})
		for c.HasReady() {
			if err := c.Process(); err != nil {
				t.Fatal(err)
			}
		}
		if answer == nil {
			t.Fatal("no answer")
		}
		return answer
	}
	if ask(d, 78).GetReject() {
		t.Fatal("the first vote was refused")
	}
	crashed, err := openDisk(diskOpts(copyDir(t, d.dir)))
	if err != nil {
		t.Fatal(err)
	}
	defer closeDisk(t, crashed)
	if !ask(crashed, 79).GetReject() {
		t.Error("voted twice in one term")
	}
	if ask(crashed, 78).GetReject() {
		t.Error("the vote was not repeated")
	}
}

// TestMissingKey: the store can't tell that a key is gone; the sum can.
func TestMissingKey(t *testing.T) {
	d := newTestDisk(t)
	if _, err := d.Load(); err != nil {
		t.Fatal(err)
	}
	image := meta.NewImage()
	_, changes, _, err := image.Apply(2, meta.Encode(meta.Request{}, &meta.MapProducer{Name: "n", TTLMs: 1}))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Apply(Applied{Position: Position{2, 1}, Conf: d.conf, Changes: changes}); err != nil {
		t.Fatal(err)
	}
	var b kv.Batch
	b.Delete(stateKey(changes[1].Key))
	if err := d.state.Write(&b); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Load(); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "keys with sum") {
		t.Errorf("load without a key: %v", err)
	}
}

// TestInstallCrash: a copy of the disk taken at any step of an installation
// opens as it was before, or as it is after.
func TestInstallCrash(t *testing.T) {
	src := newTestDisk(t)
	image := meta.NewImage()
	var changes []meta.Change
	for i := range uint64(300) {
		_, c, _, err := image.Apply(2+i, meta.Encode(meta.Request{ID: meta.ID{byte(i), byte(i >> 8), 1}},
			&meta.MapProducer{Name: fmt.Sprint(i), TTLMs: 1e9}))
		if err != nil {
			t.Fatal(err)
		}
		changes = append(changes, c...)
	}
	save(t, src, 2, 301, 3)
	if err := src.Apply(Applied{Position: Position{301, 3}, Conf: src.conf, Changes: changes}); err != nil {
		t.Fatal(err)
	}

	dst := newTestDisk(t)
	save(t, dst, 2, 40, 1)
	for round := range 2 { // two in quick succession
		name := filepath.Join(dst.dir, fmt.Sprintf("received-%d", round))
		writeSnapshotFile(t, src, name)
		fault := &copyingFS{FS: vfs.OS(), copy: func() {
			c := copyDir(t, dst.dir)
			got, err := openDisk(diskOpts(c))
			if err != nil {
				t.Errorf("copy in the middle: %v", err)
				return
			}
			defer closeDisk(t, got)
			if b, err := got.Load(); err != nil || b.Applied.Index != 1 && b.Applied.Index != 301 {
				t.Errorf("copy in the middle: applied %d, %v", b.Applied.Index, err)
			}
		}}
		dst.files = fault
		if round == 1 {
			fault.copy = func() {}
		}
		snap := &pb.Snapshot{Data: []byte(name), Metadata: snapshotMetadata(src.applied, src.conf)}
		got, err := dst.Install(snap, hard(3, 0, 301))
		if err != nil {
			t.Fatal(err)
		}
		if err := dst.fence.Write(dst.Mark()); err != nil {
			t.Fatal(err)
		}
		if _, ok := got.Producer("299", 0); !ok {
			t.Error("the image lacks what the snapshot has")
		}
		if round == 0 && fault.calls < 3 {
			t.Errorf("%d copies", fault.calls)
		}
		if dst.FirstIndex() != 302 || dst.LastIndex() != 301 {
			t.Errorf("log is %d to %d", dst.FirstIndex(), dst.LastIndex())
		}
	}
	save(t, dst, 302, 310, 3)
	c, err := openDisk(diskOpts(copyDir(t, dst.dir)))
	if err != nil {
		t.Fatal(err)
	}
	defer closeDisk(t, c)
	if c.LastIndex() != 310 || c.stateNum != 3 {
		t.Errorf("last %d, state %d", c.LastIndex(), c.stateNum)
	}
}

func writeSnapshotFile(t *testing.T, src *Disk, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	s := src.openSnapshot()
	defer s.Close()
	if err := errors.Join(s.stream(f), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// copyingFS runs copy before each change of a name.
type copyingFS struct {
	vfs.FS
	copy  func()
	calls int
}

func (c *copyingFS) RemoveAll(name string) error {
	c.calls++
	c.copy()
	return c.FS.RemoveAll(name)
}

func (c *copyingFS) SyncDir(name string) error {
	c.calls++
	c.copy()
	return c.FS.SyncDir(name)
}
