package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// outcomes are what seeds make of m, drawn as text, with how often.
func outcomes(m *Mem, seeds int, show func(*Mem) string) map[string]int {
	out := map[string]int{}
	for seed := range seeds {
		out[show(m.Crash(uint64(seed)))]++
	}
	return out
}

// names lists the files and their contents.
func names(t testing.TB) func(m *Mem) string {
	return func(m *Mem) string {
		infos, err := m.ReadDir("/")
		must(t, err)
		var out []string
		for _, i := range infos {
			if i.Dir {
				out = append(out, i.Name+"/")
				continue
			}
			out = append(out, i.Name+"="+read(t, m, i.Name))
		}
		return strings.Join(out, " ")
	}
}

func expect(t *testing.T, got map[string]int, want ...string) {
	t.Helper()
	for _, w := range want {
		if got[w] == 0 {
			t.Errorf("never saw %q", w)
		}
		delete(got, w)
	}
	if len(got) > 0 {
		t.Errorf("unexpected: %v", got)
	}
}

func TestCrashOfNames(t *testing.T) {
	setup := func(t *testing.T) *Mem {
		m := NewMem()
		for _, name := range []string{"a", "b"} {
			f := create(t, m, name, name)
			must(t, f.Sync())
			must(t, f.Close())
		}
		must(t, m.SyncDir("/"))
		return m
	}
	synced := func(t *testing.T, m *Mem, name string) {
		f := create(t, m, name, name)
		must(t, f.Sync())
		must(t, f.Close())
	}
	t.Run("created", func(t *testing.T) {
		m := setup(t)
		synced(t, m, "c")
		expect(t, outcomes(m, 100, names(t)), "a=a b=b", "a=a b=b c=c")
		must(t, m.SyncDir("/"))
		expect(t, outcomes(m, 100, names(t)), "a=a b=b c=c")
	})
	t.Run("removed", func(t *testing.T) {
		m := setup(t)
		must(t, m.Remove("a"))
		expect(t, outcomes(m, 100, names(t)), "a=a b=b", "b=b")
		must(t, m.SyncDir("/"))
		expect(t, outcomes(m, 100, names(t)), "b=b")
	})
	t.Run("renamed", func(t *testing.T) {
		m := setup(t)
		must(t, m.Rename("a", "b"))
		expect(t, outcomes(m, 100, names(t)), "a=a b=b", "b=a")
	})
	t.Run("independent", func(t *testing.T) {
		m := setup(t)
		must(t, m.Remove("a"))
		must(t, m.Remove("b"))
		expect(t, outcomes(m, 200, names(t)), "a=a b=b", "a=a", "b=b", "")
	})
	t.Run("a rename builds on its creation", func(t *testing.T) {
		m := setup(t)
		synced(t, m, "t")
		must(t, m.Rename("t", "a"))
		expect(t, outcomes(m, 200, names(t)), "a=a b=b", "a=a b=b t=t", "a=t b=b")
	})
	t.Run("a name taken again", func(t *testing.T) {
		m := setup(t)
		must(t, m.Rename("a", "c"))
		synced(t, m, "a")
		// Never: the old a gone from both names.
		expect(t, outcomes(m, 200, names(t)), "a=a b=b", "b=b c=a", "a=a b=b c=a")
	})
	t.Run("directories", func(t *testing.T) {
		m := setup(t)
		must(t, m.MkdirAll("d/e"))
		synced(t, m, "d/e/x")
		must(t, m.SyncDir("d/e"))
		must(t, m.SyncDir("d"))
		expect(t, outcomes(m, 100, names(t)), "a=a b=b", "a=a b=b d/")
		must(t, m.SyncDir("/"))
		if got := read(t, m.CrashLosingAll(), "d/e/x"); got != "d/e/x" {
			t.Errorf("%q", got)
		}
	})
	t.Run("between directories", func(t *testing.T) {
		m := setup(t)
		must(t, m.MkdirAll("d"))
		must(t, m.SyncDir("/"))
		must(t, m.Rename("a", "d/a"))
		where := func(m *Mem) string {
			_, err1 := m.Stat("a")
			_, err2 := m.Stat("d/a")
			return fmt.Sprint(err1 == nil, err2 == nil)
		}
		expect(t, outcomes(m, 100, where), "true false", "false true")
		must(t, m.SyncDir("/")) // only half of it is durable
		expect(t, outcomes(m, 100, where), "false false", "false true")
		must(t, m.SyncDir("d"))
		expect(t, outcomes(m, 100, where), "false true")
	})
}

func TestCrashTearsAtSectors(t *testing.T) {
	m := NewMem()
	f := create(t, m, "a", strings.Repeat("o", 3*sector))
	must(t, f.Sync())
	must(t, m.SyncDir("/"))
	_, err := f.WriteAt(bytes.Repeat([]byte("n"), 2*sector), sector/2) // touches three sectors
	must(t, err)
	o, n, half := strings.Repeat("o", sector), strings.Repeat("n", sector), sector/2
	var want []string
	for _, first := range []string{o, o[:half] + n[:half]} {
		for _, second := range []string{o, n} {
			for _, third := range []string{o, n[:half] + o[:half]} {
				want = append(want, "a="+first+second+third)
			}
		}
	}
	expect(t, outcomes(m, 500, names(t)), want...)
}

func TestCrashOfGrowth(t *testing.T) {
	m := NewMem()
	f := create(t, m, "a", "1")
	must(t, f.Sync())
	must(t, m.SyncDir("/"))
	_, _ = f.WriteAt([]byte("2"), 1)
	_, _ = f.WriteAt([]byte("3"), 2)
	expect(t, outcomes(m, 2000, names(t)),
		"a=1", "a=12", "a=123", "a=1\x003", "a=1\x00", "a=1\x00\x00", "a=12\x00")
	must(t, f.Sync())
	must(t, f.Truncate(1))
	expect(t, outcomes(m, 200, names(t)), "a=123", "a=1")
	_, _ = f.WriteAt([]byte("x"), 1)
	expect(t, outcomes(m, 1000, names(t)), "a=123", "a=1", "a=1x3", "a=1x", "a=1\x00")
}

func TestCrashIsDeterministicAndLeavesTheOriginal(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := NewMem()
		play(rt, m, "/", rapid.IntRange(1, 60).Draw(rt, "steps"))
		before := dump(rt, m)
		seed := rapid.Uint64().Draw(rt, "seed")
		one, two := m.Crash(seed), m.Crash(seed)
		if dump(rt, one) != dump(rt, two) {
			rt.Fatalf("seed %d:\n%s\nand\n%s", seed, dump(rt, one), dump(rt, two))
		}
		if got := dump(rt, m.CrashKeepingAll()); got != before {
			rt.Fatalf("keeping all:\n%s\nwas\n%s", got, before)
		}
		// What a crash left is durable.
		if got := dump(rt, one.CrashLosingAll()); got != dump(rt, two) {
			rt.Fatalf("a second crash lost something:\n%s\nwas\n%s", got, dump(rt, two))
		}
		play(rt, one, "/", 5)
		if after := dump(rt, m); after != before {
			rt.Fatalf("the original changed:\n%s\nwas\n%s", after, before)
		}
		syncAll(rt, m, "/")
		if got := dump(rt, m.Crash(seed)); got != before {
			rt.Fatalf("all was synced, yet a crash left\n%s\nof\n%s", got, before)
		}
	})
}

func TestWriteFileSurvivesEveryCrash(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(300) {
		m := NewMem()
		must(t, WriteFile(m, "/c", []byte("old")))
		fault := NewFault(m)
		stop := fault.Add(Rule{Skip: int(seed % 6), Err: errors.New("the machine stops here")})
		err := WriteFile(fault, "/c", []byte("new"))
		got := read(t, m.Crash(seed), "/c")
		if got != "new" && (got != "old" || err == nil) {
			t.Fatalf("seed %d, after %d calls: %q, %v", seed, stop.Calls(), got, err)
		}
		seen[got]++
	}
	if seen["old"] == 0 || seen["new"] == 0 {
		t.Error("saw only", seen)
	}
}

// play does random operations below dir; those that fail don't matter.
func play(t *rapid.T, fsys FS, dir string, steps int) {
	paths := rapid.SampledFrom([]string{"a", "b", "c", "d/a", "d/b", "d/e/a", "d", "d/e"})
	for range steps {
		p, q := dir+"/"+paths.Draw(t, "p"), dir+"/"+paths.Draw(t, "q")
		var err error
		switch op := rapid.IntRange(0, 9).Draw(t, "op"); op {
		case 0, 1:
			var f File
			if f, err = fsys.Create(p); err == nil {
				err = f.Close()
			}
		case 2, 3, 4, 5:
			var f File
			if f, err = fsys.Open(p); err == nil {
				off := rapid.Int64Range(0, 1500).Draw(t, "off")
				data := bytes.Repeat([]byte{byte(rapid.IntRange('a', 'z').Draw(t, "byte"))}, rapid.IntRange(0, 1200).Draw(t, "n"))
				switch op {
				case 5:
					err = f.Truncate(off)
				case 4:
					err = f.Sync()
				default:
					_, err = f.WriteAt(data, off)
				}
				err = errors.Join(err, f.Close())
			}
		case 6:
			err = fsys.Remove(p)
		case 7:
			err = fsys.Rename(p, q)
		case 8:
			err = fsys.MkdirAll(dir + "/d/e")
		case 9:
			if p != dir+"/a" && p != dir+"/b" && p != dir+"/c" {
				err = fsys.SyncDir(dir)
			} else {
				err = fsys.RemoveAll(p)
			}
		}
		_ = err // failures are part of the play
	}
}

func dump(t *rapid.T, fsys FS) string { return dumpDir(t, fsys, "/") }

func dumpDir(t *rapid.T, fsys FS, dir string) string {
	infos, err := fsys.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, i := range infos {
		name := path.Join(dir, i.Name)
		if i.Dir {
			fmt.Fprintf(&b, "%s/\n%s", i.Name, dumpDir(t, fsys, name))
			continue
		}
		data, err := ReadFile(fsys, name, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %d %x\n", i.Name, i.Size, data)
	}
	return b.String() + "\n"
}

func syncAll(t *rapid.T, fsys FS, dir string) {
	infos, err := fsys.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range infos {
		name := path.Join(dir, i.Name)
		if i.Dir {
			syncAll(t, fsys, name)
			continue
		}
		f, err := fsys.OpenRead(name)
		if err == nil {
			err = errors.Join(f.Sync(), f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := fsys.SyncDir(dir); err != nil {
		t.Fatal(err)
	}
}
