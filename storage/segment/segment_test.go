package segment

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"go.uber.org/goleak"

	"github.com/chroniklog/chronik/storage/record"
	"github.com/chroniklog/chronik/storage/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kit is a segment on a memory disk, and the batches in it.
type kit struct {
	t       testing.TB
	fs      *vfs.Mem
	files   *Files
	s       *Segment
	batches []Batch
}

func newKit(t testing.TB, base int64) *kit {
	fs := vfs.NewMem()
	k := &kit{t: t, fs: fs, files: NewFiles(fs, 2, false, func(err error) { t.Error(err) })}
	k.s = &Segment{
		Header: Header{Topic: [16]byte{7}, Partition: 3, Incarnation: 2, Base: base, Number: 11},
		Name:   "s.seg", End: Start(base), Synced: Start(base), Index: Index{Name: "s.idx", Ready: true},
	}
	t.Cleanup(func() { _ = k.files.Close() })
	return k
}

func batchAt(base int64, records int, ts int64, size int) Batch {
	b := record.NewBuilder(record.CodecNone)
	b.Reset(base, 4)
	for i := range records {
		b.Append(ts+int64(i), nil, make([]byte, size/records), nil)
	}
	out := b.Build(nil)
	return Batch{B: out, Base: base, Next: base + int64(records), Ts: ts + int64(records) - 1}
}

// fill writes batches of random sizes, some at a time.
func (k *kit) fill(rng *rand.Rand, n, size int) {
	k.t.Helper()
	for n > 0 {
		var todo []Batch
		next := k.s.End.Next
		for range min(n, 1+rng.IntN(20)) {
			b := batchAt(next, 1+rng.IntN(5), next*10, rng.IntN(size))
			todo = append(todo, b)
			next = b.Next
			n--
		}
		end, index, err := k.s.Write(k.files, todo)
		if err != nil {
			k.t.Fatal(err)
		}
		k.s.End, k.s.Index = end, index
		k.batches = append(k.batches, todo...)
	}
}

// check reads from every batch on, and by time.
func (k *kit) check() {
	k.t.Helper()
	for i, b := range k.batches {
		for _, most := range []int{1, 3000, 100_000} {
			got, err := k.s.Read(k.files, b.Base+(b.Next-b.Base)/2, k.s.End.Next, most)
			if err != nil {
				k.t.Fatalf("read %d: %v", b.Base, err)
			}
			if !bytes.HasPrefix(got, b.B) {
				k.t.Fatalf("read %d: other bytes", b.Base)
			}
			if len(got) > most && len(got) > len(b.B) {
				k.t.Fatalf("read %d: %d bytes, at most %d were wanted", b.Base, len(got), most)
			}
		}
		at, err := k.s.SeekTime(k.files, b.Ts)
		if err != nil || at.Pos > HeaderBytes && at.MaxTs >= b.Ts {
			k.t.Fatalf("batch %d: seek by time: %+v, %v", i, at, err)
		}
	}
}

func TestWriteAndRead(t *testing.T) {
	for _, size := range []int{200, 5000, 90_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			k := newKit(t, 1000)
			k.fill(rand.New(rand.NewPCG(1, 2)), 300, size)
			k.check()
			got, err := k.s.Read(k.files, 1000, k.batches[3].Base, 1<<20)
			if err != nil || !bytes.HasSuffix(got, k.batches[2].B) {
				t.Fatalf("a read up to a limit ends elsewhere: %v", err)
			}
			index, err := k.s.Seal(k.files)
			if err != nil {
				t.Fatal(err)
			}
			k.s.Index, k.s.Sealed = index, true
			if len(index.Rest) > 0 {
				t.Fatal("a sealed segment keeps its index in memory")
			}
			k.check()
			if err := k.s.Check(k.files); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// An index that is built again leads to the same places.
func TestBuild(t *testing.T) {
	k := newKit(t, 5)
	k.fill(rand.New(rand.NewPCG(3, 4)), 3000, 9000)
	if k.s.Index.Pages < 2 {
		t.Fatalf("%d pages, the test wants more", k.s.Index.Pages)
	}
	live := k.s.Index
	k.s.Index = Index{Name: live.Name, Pages: live.Pages}
	index, err := k.s.Build(k.files, "", k.s.End.Pos)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(index.Rest) != fmt.Sprint(live.Rest) || index.Pages != live.Pages {
		t.Fatalf("built %d pages and %v, live %d and %v", index.Pages, index.Rest, live.Pages, live.Rest)
	}
	k.s.Index = index
	k.check()
	if err := k.fs.FlipBit(live.Name, PageBytes+77); err != nil {
		t.Fatal(err)
	}
	k.s.Index = Index{Name: live.Name, Pages: live.Pages}
	if live.Pages == 2 {
		if _, err := k.s.Build(k.files, "", k.s.End.Pos); !errors.Is(err, ErrIndex) {
			t.Fatalf("got %v", err)
		}
	}
	if index, err = k.s.Build(k.files, "new.idx", k.s.End.Pos); err != nil {
		t.Fatal(err)
	}
	k.s.Index = index
	k.check()

	half := k.batches[len(k.batches)/2]
	at, err := k.s.Walk(k.files, Start(5), func(_ Mark, h *record.Header, _ []byte) error {
		if h.BaseOffset == half.Base {
			return io.EOF
		}
		return nil
	})
	if err != io.EOF {
		t.Fatal(err)
	}
	if index, err = k.s.Build(k.files, "cut.idx", at.Pos); err != nil {
		t.Fatal(err)
	}
	k.s.End, k.s.Index, k.batches = at, index, k.batches[:len(k.batches)/2]
	k.check()
}

func TestDamage(t *testing.T) {
	for at := int64(HeaderBytes); at < HeaderBytes+400; at += 3 {
		k := newKit(t, 0)
		k.fill(rand.New(rand.NewPCG(5, 6)), 4, 300)
		if err := k.fs.FlipBit(k.s.Name, at); err != nil {
			break
		}
		_, err := k.s.Walk(k.files, Start(0), nil)
		inEpoch := false // not covered by the batch's CRC, nor by its offsets
		for pos, i := int64(HeaderBytes), 0; i < len(k.batches); i++ {
			inEpoch = inEpoch || at >= pos+12 && at < pos+16
			pos += int64(len(k.batches[i].B))
		}
		if errors.Is(err, ErrCorrupt) == inEpoch {
			t.Fatalf("byte %d: %v", at, err)
		}
	}
}

func TestHeaderOfAnother(t *testing.T) {
	k := newKit(t, 0)
	k.fill(rand.New(rand.NewPCG(5, 6)), 2, 100)
	k.s.Number++
	if err := k.s.Check(k.files); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("got %v", err)
	}
}

func TestFilesStayFew(t *testing.T) {
	fs := vfs.NewMem()
	fault := vfs.NewFault(fs)
	failed := 0
	c := NewFiles(fault, 3, false, func(error) { failed++ })
	for i := range 20 {
		h, err := c.Create(fmt.Sprint("f", i))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.WriteAt([]byte("x"), 0); err != nil {
			t.Fatal(err)
		}
		h.Release()
	}
	if n := c.Open(); n != 3 {
		t.Fatalf("%d files are open", n)
	}
	if n := fault.Count(vfs.OpSync, "*"); n != 17 {
		t.Fatalf("%d of 17 dirty files were synced before they were closed", n)
	}
	a, _ := c.Get("f1")
	b, _ := c.Get("f1")
	if a != b || c.Open() != 3 {
		t.Fatalf("one file is open twice, or %d are open", c.Open())
	}
	c.Forget("f1")
	if _, err := a.ReadAt(make([]byte, 1), 0); err != nil {
		t.Fatalf("a file in use was closed: %v", err)
	}
	a.Release()
	b.Release()
	fault.Add(vfs.Rule{Op: vfs.OpSync, Err: errors.New("injected")})
	for i := range 5 {
		if h, err := c.Get(fmt.Sprint("f", i)); err == nil {
			_, _ = h.WriteAt([]byte("y"), 0)
			h.Release()
		}
	}
	if failed == 0 {
		t.Fatal("a failed sync was kept secret")
	}
	if _, err := c.Get("nowhere"); err == nil {
		t.Fatal("a file that isn't there was opened")
	}
	_ = c.Close()
	if c.Open() != 0 {
		t.Fatal("files are open after Close")
	}
}

func FuzzIndexPage(f *testing.F) {
	f.Add(encodePage(7, 0, []Entry{{1, 100, 5}, {2, 200, 5}}), int64(7), 0)
	f.Fuzz(func(t *testing.T, b []byte, base int64, number int) {
		entries, err := decodePage(b, base, number)
		if err != nil {
			if !errors.Is(err, ErrIndex) {
				t.Fatal(err)
			}
			return
		}
		again, err := decodePage(encodePage(base, number, entries), base, number)
		if err != nil || fmt.Sprint(again) != fmt.Sprint(entries) {
			t.Fatalf("%v, %v", again, err)
		}
	})
}

func FuzzHeader(f *testing.F) {
	f.Add((&Header{Partition: 1, Base: 2, Number: 3}).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := DecodeHeader(b)
		if err != nil {
			return
		}
		if again, err := DecodeHeader(h.Encode()); err != nil || again != h {
			t.Fatalf("%+v, %v", again, err)
		}
	})
}

// Whatever a file holds, a walk ends: with whole batches in order, or with
// ErrCorrupt.
func FuzzWalk(f *testing.F) {
	a, b := batchAt(0, 2, 5, 50), batchAt(2, 1, 9, 20)
	f.Add(append(bytes.Clone(a.B), b.B...), false)
	f.Add(a.B[:40], true)
	f.Fuzz(func(t *testing.T, content []byte, sparse bool) {
		r := bytes.NewReader(append(make([]byte, HeaderBytes), content...))
		next := int64(0)
		end, err := Walk(r, Start(0), r.Size(), sparse, func(_ Mark, h *record.Header, batch []byte) error {
			if record.CheckCRC(batch) != nil || h.BaseOffset < next || !sparse && h.BaseOffset != next {
				t.Fatalf("batch at %d after %d", h.BaseOffset, next)
			}
			next = h.NextOffset()
			return nil
		})
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
		if err == nil && end.Pos != r.Size() {
			t.Fatalf("the walk ended at %d of %d", end.Pos, r.Size())
		}
	})
}
