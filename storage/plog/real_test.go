package plog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chroniklog/chronik/storage/vfs"
)

// realOptions are those of a store on the machine's own disk.
func realOptions(t testing.TB) Options {
	return Options{
		Dir: filepath.Join(t.TempDir(), "data"), JournalFileBytes: 1 << 20, MaintenanceInterval: -1, ReserveBytes: -1,
		Fatal: func(err error) { t.Errorf("fatal: %v", err) },
	}
}

func TestRealFiles(t *testing.T) {
	o := realOptions(t)
	o.TailBytes, o.DirectBytes, o.MaxOpenFiles = 64<<10, 100<<10, 3
	s := openStore(t, o)
	l := createLog(t, s, testID(1), Config{SegmentBytes: 1 << 20})
	f := newFeeder(l)
	n := int64(0)
	for i := range 60 {
		for range 1 + i%5 {
			f.add(rec(int64(i), "k", value(i, 3000*(i%17))))
			n++
		}
		f.wait(t, n)
	}
	model := f.model
	sameBatches(t, "live", readAll(t, l), model)
	s.Abort()
	s = openStore(t, o)
	l = createLog(t, s, testID(1), Config{SegmentBytes: 1 << 20})
	sameBatches(t, "after a kill", readAll(t, l), model)
	if err := l.Truncate(context.Background(), n/2); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, o)
	l = createLog(t, s, testID(1), Config{})
	sameBatches(t, "truncated", readAll(t, l), model[:n/2])
}

// A second process can't open the directory.
func TestSecondProcess(t *testing.T) {
	if dir := os.Getenv("CHRONIK_TEST_OPEN"); dir != "" {
		o := realOptions(t)
		o.Dir = dir
		_, err := Open(context.Background(), o)
		fmt.Println("locked:", errors.Is(err, vfs.ErrLocked))
		return
	}
	o := realOptions(t)
	s := openStore(t, o)
	ask := func() string {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestSecondProcess$", "-test.v")
		cmd.Env = append(os.Environ(), "CHRONIK_TEST_OPEN="+o.Dir)
		out, err := cmd.CombinedOutput()
		if err != nil && !strings.Contains(string(out), "goleak") {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	if out := ask(); !strings.Contains(out, "locked: true") {
		t.Fatalf("another process says\n%s", out)
	}
	s.Abort()
	if out := ask(); !strings.Contains(out, "locked: false") {
		t.Fatalf("after this one has closed it, another process says\n%s", out)
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Ten thousand logs in one store: what an idle one costs, and a restart.
func TestManyLogs(t *testing.T) {
	const logs = 10_000
	o := realOptions(t)
	o.JournalFileBytes, o.TailBytes, o.MaxOpenFiles = 16<<20, 1<<20, 200
	s := openStore(t, o)
	before, goroutines := heap(), runtime.NumGoroutine()
	all := make([]*Log, logs)
	for i := range all {
		all[i] = createLog(t, s, ID{Topic: [16]byte{1, 15: byte(i)}, Partition: int32(i)}, Config{})
	}
	if each := (heap() - before) / logs; each > 2<<10 {
		t.Errorf("a log that was never used takes %d bytes", each)
	}
	var mu sync.Mutex
	flushed := 0
	done := make(chan struct{})
	for i := range all {
		l := all[i]
		l.Bind(once{l: l, done: func() {
			mu.Lock()
			defer mu.Unlock()
			if flushed++; flushed == logs {
				close(done)
			}
		}})
		l.MarkDirty()
	}
	<-done
	start := time.Now()
	if err := s.Checkpoint(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Logf("the first checkpoint of %d new logs took %v", logs, time.Since(start))
	s.segFiles.Open()
	if open := s.segFiles.Open(); open > 200+flushers {
		t.Errorf("%d files are open", open)
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, %d before there were logs", n, goroutines)
	}
	used := heap()
	if each := (used - min(before, used)) / logs; each > 10<<10 {
		t.Errorf("an idle log takes %d bytes", each)
	} else {
		t.Logf("an idle log takes %d bytes", each)
	}
	for _, l := range all {
		l.MarkDirty() // again, so that the restart has something to replay
	}
	all[0].Bind(nil)
	if err := all[0].Trim(context.Background(), 0); err != nil { // a cycle has passed
		t.Fatal(err)
	}
	s.Abort()
	start = time.Now()
	s = openStore(t, o)
	took := time.Since(start)
	t.Logf("a restart with %d logs took %v", logs, took)
	if n := len(s.IDs()); n != logs {
		t.Fatalf("%d logs after the restart", n)
	}
	if took > 10*time.Second { // the goal is 2 s; this machine may be busy
		t.Errorf("a restart took %v", took)
	}
}

// once is an owner that appends a batch each time it is asked.
type once struct {
	l    *Log
	done func()
}

func (o once) Seal() {
	b := makeBatch(o.l.EndOffset(), 0, rec(1, "", "hello"))
	o.l.Append(b, mustHeader(b))
}
func (o once) Flushed(end int64, _ *Cycle) {
	if end == 1 {
		o.done()
	}
}
func (o once) Failed(error) {}
