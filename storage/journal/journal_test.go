package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/chroniklog/chronik/storage/vfs"
)

// kit is a journal on a memory disk, and what it was given.
type kit struct {
	t      testing.TB
	fs     *vfs.Mem
	opts   Options
	j      *Journal
	frames []Frame // all that Write has reported
}

func newKit(t testing.TB) *kit {
	fs := vfs.NewMem()
	if err := errors.Join(fs.MkdirAll("j"), fs.SyncDir(".")); err != nil {
		t.Fatal(err)
	}
	o := Options{FS: fs, Dir: "j", Store: [16]byte{1, 2, 3}, FileBytes: 64 << 10, FirstBytes: 16 << 10}
	return &kit{t: t, fs: fs, opts: o}
}

// open opens the journal and returns the frames that it replays.
func (k *kit) open(start Start) ([]Frame, Recovered, error) {
	var got []Frame
	k.opts.FS = k.fs
	j, rec, err := Open(context.Background(), k.opts, start, func(f *Frame) error {
		c := *f
		c.Payload = bytes.Clone(f.Payload)
		got = append(got, c)
		return nil
	})
	k.j = j
	return got, rec, err
}

func (k *kit) mustOpen(start Start) []Frame {
	k.t.Helper()
	got, _, err := k.open(start)
	if err != nil {
		k.t.Fatal(err)
	}
	return got
}

// write writes a cycle of n frames with payloads of size bytes.
func (k *kit) write(n, size int) {
	k.t.Helper()
	frames := k.cycle(n, size)
	if err := k.j.Write(frames); err != nil {
		k.t.Fatal(err)
	}
	k.frames = append(k.frames, frames...)
}

func (k *kit) cycle(n, size int) []Frame {
	frames := make([]Frame, n)
	for i := range frames {
		lsn := k.j.NextLSN() + uint64(i)
		p := bytes.Repeat([]byte{byte(lsn)}, size)
		frames[i] = Frame{LSN: lsn, Kind: Data, Epoch: 3, Topic: [16]byte{9}, Partition: int32(i), Incarnation: 7, Payload: p}
	}
	return frames
}

func (k *kit) crash(seed uint64) {
	_ = k.j.Close()
	k.fs = k.fs.Crash(seed)
}

// same fails unless got starts with want; more may follow.
func same(t testing.TB, got, want []Frame) {
	t.Helper()
	if len(got) < len(want) {
		t.Fatalf("replayed %d frames, want at least %d", len(got), len(want))
	}
	for i, w := range want {
		if fmt.Sprintf("%+v", got[i]) != fmt.Sprintf("%+v", w) {
			t.Fatalf("frame %d: got %+v, want %+v", i, got[i], w)
		}
	}
}

func TestReplayAcrossFiles(t *testing.T) {
	k := newKit(t)
	if got := k.mustOpen(Start{}); len(got) != 0 {
		t.Fatalf("a new journal replays %d frames", len(got))
	}
	for i := range 40 {
		k.write(1+i%7, 100*i)
	}
	k.write(30, 9000) // spans files
	if files, _ := k.j.Live(); files < 4 {
		t.Fatalf("%d live files, the test wants several", files)
	}
	want := k.frames
	_ = k.j.Close()
	got := k.mustOpen(Start{Begun: true})
	same(t, got, want)
	if len(got) != len(want) {
		t.Fatalf("replayed %d frames, want %d", len(got), len(want))
	}
	k.write(2, 50)
	_ = k.j.Close()
	same(t, k.mustOpen(Start{Begun: true}), k.frames)
	_ = k.j.Close()
}

// Whatever a crash leaves, what Write reported is there, and a torn cycle is
// never judged corrupt; also not by the recovery after the next crash.
func TestCrashKeepsWhatWasSynced(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 1))
		k := newKit(t)
		k.mustOpen(Start{})
		start := Start{}
		first := 0 // of k.frames, that start still covers
		for range 4 {
			for range 1 + rng.IntN(12) {
				k.write(1+rng.IntN(5), rng.IntN(6000))
				start.Begun = true
			}
			if rng.IntN(2) == 0 {
				before := k.frames[rng.IntN(len(k.frames))].LSN
				start = k.j.Oldest(before, false)
				k.j.Release(start)
			}
			if rng.IntN(2) == 0 {
				_ = k.j.Prepare(context.Background())
			}
			// A cycle that is written and not synced; one that spans files
			// would be synced in all but the last.
			k.j.opts.NoSync = true
			torn := k.cycle(1+rng.IntN(6), rng.IntN(9000))
			if n, err := k.j.fit(k.j.NextCycle(), torn); err == nil {
				_ = k.j.Write(torn[:n])
			}
			k.crash(rng.Uint64())
			got, _, err := k.open(start)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			for first = 0; first < len(k.frames) && len(got) > 0 && k.frames[first].LSN < got[0].LSN; first++ {
			}
			same(t, got, k.frames[first:])
			rest := got[len(k.frames)-first:]
			k.frames = append(k.frames, rest...)
		}
		_ = k.j.Close()
	}
}

func TestWithoutSyncACrashLoses(t *testing.T) {
	lost := false
	for seed := range uint64(20) {
		k := newKit(t)
		k.opts.NoSync = true
		k.mustOpen(Start{})
		for range 5 {
			k.write(3, 500)
		}
		k.crash(seed)
		got, _, err := k.open(Start{Begun: true})
		lost = lost || err != nil || len(got) < len(k.frames)
	}
	if !lost {
		t.Fatal("the mutation NoSync loses nothing: the crash test proves nothing")
	}
}

// A flipped bit anywhere in a synced cycle that another follows is corruption,
// and in the last cycle a torn tail.
func TestFlippedBit(t *testing.T) {
	k := newKit(t)
	k.mustOpen(Start{})
	for range 3 {
		k.write(2, 300)
	}
	name := "j/" + fileName(0)
	_ = k.j.Close()
	for at := int64(0); at < 4*PageBytes; at += 131 {
		fs := k.fs.CrashKeepingAll()
		if err := fs.FlipBit(name, at); err != nil {
			t.Fatal(err)
		}
		opts := k.opts
		opts.FS = fs
		n := 0
		j, rec, err := Open(context.Background(), opts, Start{Begun: true}, func(*Frame) error { n++; return nil })
		in, frame := at%PageBytes, int64(k.frames[0].Size())
		switch {
		case at < PageBytes || in >= 2*frame || in%frame >= FrameBytes+300: // header, its twin; padding
			if err != nil || n != 6 {
				t.Fatalf("byte %d: %d frames, %v", at, n, err)
			}
		case at < 3*PageBytes:
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("byte %d: got %v, want corruption", at, err)
			}
		default:
			if err != nil || n < 4 || n > 5 || rec.Torn != (n == 5) {
				t.Fatalf("byte %d: %d frames, %+v, %v", at, n, rec, err)
			}
		}
		if j != nil {
			_ = j.Close()
		}
	}
}

func TestLostHeaderAndFiles(t *testing.T) {
	k := newKit(t)
	k.mustOpen(Start{})
	for range 12 {
		k.write(3, 3000)
	}
	if files, _ := k.j.Live(); files < 3 {
		t.Fatal("want three files")
	}
	_ = k.j.Close()
	live := []string{"j/" + fileName(0), "j/" + fileName(1), "j/" + fileName(2)}
	for i, name := range live {
		for _, how := range []string{"gone", "header"} {
			fs := k.fs.CrashKeepingAll()
			if how == "gone" {
				_ = fs.Remove(name)
			} else {
				_ = errors.Join(fs.FlipBit(name, 20), fs.FlipBit(name, headerTwin+20))
			}
			opts := k.opts
			opts.FS = fs
			_, _, err := Open(context.Background(), opts, Start{Begun: true}, func(*Frame) error { return nil })
			if last := i == len(live)-1; !errors.Is(err, ErrCorrupt) && !(last && how == "gone") {
				t.Fatalf("file %d %s: got %v", i, how, err)
			}
		}
	}
}

// Bytes of an earlier life never come back.
func TestRecycledFiles(t *testing.T) {
	k := newKit(t)
	k.mustOpen(Start{})
	var start Start
	for range 60 {
		k.write(2, 4000)
		start = k.j.Oldest(k.j.NextLSN(), false)
		k.j.Release(start)
	}
	if files, _ := k.j.Live(); files != 1 {
		t.Fatalf("%d live files", files)
	}
	infos, _ := k.fs.ReadDir("j")
	if len(infos) > 1+maxSpares+1 {
		t.Fatalf("%d files; they are not recycled", len(infos))
	}
	last := k.frames[len(k.frames)-1]
	k.crash(1)
	got := k.mustOpen(start)
	if len(got) == 0 || got[len(got)-1].LSN != last.LSN {
		t.Fatalf("replayed %d frames, the last must be LSN %d", len(got), last.LSN)
	}
	start = k.j.Oldest(k.j.NextLSN(), true)
	_ = k.j.Close()
	if got := k.mustOpen(start); len(got) != 0 {
		t.Fatalf("a clean journal replays %d frames", len(got))
	}
	_ = k.j.Close()
}

// The first write of a life is cut off: its header is lost, frames of it are
// not. The file's next life has the same sequence number, and they must not
// count in it.
func TestFramesOfATornLife(t *testing.T) {
	k := newKit(t)
	start := Start{Seq: 1, LSN: 1}
	k.mustOpen(start)
	page := PageBytes - FrameBytes
	if err := k.j.Write(k.cycle(3, page)); err != nil { // each frame fills a page
		t.Fatal(err)
	}
	f, err := k.fs.Open("j/" + fileName(0))
	if err == nil {
		_, err = f.WriteAt(make([]byte, PageBytes), 0)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
	k.crash(1)
	if got := k.mustOpen(start); len(got) > 0 {
		t.Fatalf("%d frames of a life without a header", len(got))
	}
	k.write(1, page)
	k.crash(2)
	got := k.mustOpen(Start{Seq: 1, Begun: true})
	same(t, got, k.frames)
	if len(got) > len(k.frames) {
		t.Fatalf("%d frames are back that were lost", len(got)-len(k.frames))
	}
}

// A last checkpoint that could not take everything leaves the file that holds
// the rest.
func TestOldestWhenClosed(t *testing.T) {
	k := newKit(t)
	k.mustOpen(Start{Seq: 1, LSN: 1})
	k.write(3, 100)
	if got, want := k.j.Oldest(4, true), (Start{Seq: 2, LSN: 4, Cycle: 1}); got != want {
		t.Errorf("all was taken: %+v, want %+v", got, want)
	}
	for _, c := range []struct {
		before uint64
		closed bool
	}{{3, true}, {4, false}} {
		if got, want := k.j.Oldest(c.before, c.closed), (Start{Seq: 1, Begun: true}); got != want {
			t.Errorf("before %d, closed %v: %+v, want %+v", c.before, c.closed, got, want)
		}
	}
	if err := k.j.Close(); err != nil {
		t.Fatal(err)
	}
}

// Nobody may count on a life whose header is not durable yet.
func TestOldestBeforeTheFirstSync(t *testing.T) {
	k := newKit(t)
	start := Start{Seq: 1, LSN: 1}
	faults := vfs.NewFault(k.fs)
	k.opts.FS = faults
	j, _, err := Open(context.Background(), k.opts, start, nil)
	if err != nil {
		t.Fatal(err)
	}
	k.j = j
	faults.Add(vfs.Rule{Op: vfs.OpSync, Err: syscall.EIO})
	if err := j.Write(k.cycle(1, 100)); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	if got := j.Oldest(1, false); got != start {
		t.Errorf("%+v, want %+v", got, start)
	}
	_ = j.Close()
	k.fs = k.fs.CrashLosingAll()
	if got := k.mustOpen(start); len(got) > 0 {
		t.Errorf("%d frames", len(got))
	}
}

func TestDiskFullCanBeRepeated(t *testing.T) {
	k := newKit(t)
	k.mustOpen(Start{})
	k.write(1, 10)
	k.fs.SetCapacity(k.fs.Used() + 80<<10)
	frames := k.cycle(60, 4000)
	if err := k.j.Write(frames); err == nil {
		t.Fatal("write succeeded on a full disk")
	}
	k.fs.SetCapacity(0)
	if err := k.j.Write(frames); err != nil {
		t.Fatal(err)
	}
	k.frames = append(k.frames, frames...)
	k.crash(7)
	same(t, k.mustOpen(Start{Begun: true}), k.frames)
	_ = k.j.Close()
}

func TestSyncError(t *testing.T) {
	k := newKit(t)
	ft := vfs.NewFault(k.fs)
	k.mustOpen(Start{})
	_ = k.j.Close()
	k.opts.FS = ft
	var err error
	if k.j, _, err = Open(context.Background(), k.opts, Start{}, nil); err != nil {
		t.Fatal(err)
	}
	ft.Add(vfs.Rule{Op: vfs.OpSync, Glob: "j/*", Err: errEIO})
	err = k.j.Write(k.cycle(1, 10))
	var se *SyncError
	if !errors.As(err, &se) || !errors.Is(err, errEIO) {
		t.Fatalf("got %v", err)
	}
	_ = k.j.Close()
}

var errEIO = errors.New("injected")

func FuzzDecodeFrame(f *testing.F) {
	f.Add(appendFrame(nil, 5, &Frame{LSN: 1, Cycle: 2, Kind: Data, Payload: []byte("hello")}), uint32(5))
	f.Add([]byte{}, uint32(0))
	f.Fuzz(func(t *testing.T, b []byte, salt uint32) {
		var fr Frame
		n := decodeFrame(b, salt, &fr)
		if n == 0 {
			return
		}
		if got := appendFrame(nil, salt, &fr); len(got) != n || !bytes.HasPrefix(got, b[:FrameBytes+len(fr.Payload)][:24]) {
			t.Fatalf("%x decodes to %+v, which encodes to %x", b, fr, got)
		}
	})
}

func FuzzDecodeHeader(f *testing.F) {
	f.Add((&header{Seq: 1, FirstLSN: 2, FirstCycle: 3, FileBytes: 4}).encode())
	f.Fuzz(func(t *testing.T, page []byte) {
		var h header
		if ok, err := decodeHeader(page, &h); ok && err == nil {
			var again header
			if ok, err := decodeHeader(h.encode(), &again); !ok || err != nil || again != h {
				t.Fatalf("%+v encodes to %+v", h, again)
			}
		}
	})
}

// A disk without room for a journal file can be opened and read.
func TestOpenOnAFullDisk(t *testing.T) {
	k := newKit(t)
	k.mustOpen(Start{})
	k.write(3, 100)
	_ = k.j.Close()
	infos, _ := k.fs.ReadDir("j")
	for _, i := range infos[1:] {
		_ = k.fs.Remove("j/" + i.Name)
	}
	k.fs.SetCapacity(k.fs.Used())
	same(t, k.mustOpen(Start{Begun: true}), k.frames)
	frames := k.cycle(1, 10)
	if err := k.j.Write(frames); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v", err)
	}
	k.fs.SetCapacity(0)
	if err := k.j.Write(frames); err != nil {
		t.Fatal(err)
	}
	_ = k.j.Close()
}

// Whatever follows a file's header, recovery ends, and gives frames in order.
func FuzzRecover(f *testing.F) {
	store := [16]byte{1}
	salt := saltOf(store, 0)
	two := appendFrame(nil, salt, &Frame{LSN: 0, Cycle: 1, Kind: Data, Payload: []byte("a")})
	two = appendFrame(two, salt, &Frame{LSN: 1, Cycle: 1, Kind: Trim, Last: true, Payload: make([]byte, 8)})
	f.Add(two)
	f.Add(append(append(two, make([]byte, PageBytes-len(two))...),
		appendFrame(nil, salt, &Frame{LSN: 2, Cycle: 2, Kind: Data, Last: true})...))
	f.Fuzz(func(t *testing.T, content []byte) {
		fs := vfs.NewMem()
		_ = fs.MkdirAll("j")
		h, err := fs.Create("j/" + fileName(0))
		if err != nil {
			t.Fatal(err)
		}
		head := header{Store: store, FirstCycle: 1, FileBytes: 1 << 20}
		_, _ = h.WriteAt(append(head.encode(), content...), 0)
		_ = h.Close()
		opts := Options{FS: fs, Dir: "j", Store: store, FileBytes: 64 << 10, FirstBytes: 16 << 10}
		next := uint64(0)
		j, rec, err := Open(context.Background(), opts, Start{Begun: true}, func(fr *Frame) error {
			if fr.LSN != next {
				t.Fatalf("LSN %d, expected %d", fr.LSN, next)
			}
			next++
			return nil
		})
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if rec.NextLSN != next {
			t.Fatalf("%+v after %d frames", rec, next)
		}
		_ = j.Close()
	})
}
