package node

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chroniklog/chronik/raft"
	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/server/config"
	"github.com/chroniklog/chronik/storage/plog"
	"github.com/chroniklog/chronik/storage/record"
	"github.com/chroniklog/chronik/storage/vfs"
)

func TestStillness(t *testing.T) {
	const atMost = 2 * time.Second
	for name, tc := range map[string]struct {
		was    stillness
		n      uint64
		busy   bool
		passed time.Duration
		want   stillness
	}{
		"idle":                   {stillness{4, 0}, 4, false, time.Second, stillness{4, 0}},
		"idle for long":          {stillness{4, 0}, 4, false, time.Hour, stillness{4, 0}},
		"turns":                  {stillness{5, 0}, 9, true, time.Second, stillness{9, 0}},
		"turns again":            {stillness{5, 40 * time.Second}, 7, true, time.Second, stillness{7, 0}},
		"ended":                  {stillness{5, 40 * time.Second}, 6, false, time.Second, stillness{6, 0}},
		"closed":                 {stillness{5, 40 * time.Second}, 5, false, time.Second, stillness{5, 0}},
		"still":                  {stillness{5, 3 * time.Second}, 5, true, time.Second, stillness{5, 4 * time.Second}},
		"we were stopped":        {stillness{5, time.Second}, 5, true, time.Hour, stillness{5, 3 * time.Second}},
		"the clock was set back": {stillness{5, time.Second}, 5, true, -time.Hour, stillness{5, time.Second}},
	} {
		if got := tc.was.look(tc.n, tc.busy, tc.passed, atMost); got != tc.want {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}

// looker looks at loops, by a clock that only it moves.
type looker struct {
	*progress
	at time.Time
}

func newLooker() *looker {
	l := &looker{at: time.Unix(1e9, 0)}
	l.progress = newProgress(stallTime, func() time.Time { return l.at }, slog.New(slog.DiscardHandler))
	return l
}

// after looks until so much time has gone by.
func (l *looker) after(d time.Duration) error {
	for end := l.at.Add(d); l.at.Before(end); {
		l.at = l.at.Add(l.every())
		l.look()
	}
	return l.err()
}

// owner feeds a log with nothing, and can be stuck.
type owner struct {
	stuck         atomic.Bool
	entered, held chan struct{}
	flushed       chan struct{}
}

func (o *owner) Seal() {
	if o.stuck.Load() {
		o.entered <- struct{}{}
		<-o.held
	}
}

func (o *owner) Flushed(int64, *plog.Cycle) { o.flushed <- struct{}{} }
func (o *owner) Failed(error)               {}

// A sync that hangs and an owner that is stuck are noticed after a minute, and
// that they go on. A store with nothing to do and one whose disk is full live.
func TestCommitThatIsStuck(t *testing.T) {
	disk := vfs.NewFault(vfs.NewMem())
	store, err := plog.Open(t.Context(), plog.Options{FS: disk, Dir: "logs", ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close(context.WithoutCancel(t.Context()))
	log, err := store.Create(plog.ID{Topic: [16]byte{1}}, plog.Config{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	o := &owner{entered: make(chan struct{}), held: make(chan struct{}), flushed: make(chan struct{}, 1)}
	log.Bind(o)
	write := func() {
		t.Helper()
		var b record.Builder
		b.Reset(log.EndOffset(), 1)
		b.Append(1, nil, []byte("x"), nil)
		batch := b.Build(nil)
		h, err := record.ParseHeader(batch)
		if err != nil {
			t.Fatal(err)
		}
		log.Append(batch, h)
		log.MarkDirty()
	}
	l := newLooker()
	l.add("commit", store.Turns)
	stuck := func(why string) {
		t.Helper()
		if err := l.after(stallTime - time.Second); err != nil {
			t.Errorf("%s: too early: %v", why, err)
		}
		if err := l.after(2 * time.Second); !errors.Is(err, errStuck) || !strings.Contains(err.Error(), "commit") {
			t.Errorf("%s: %v", why, err)
		}
	}
	idle := func(why string) {
		t.Helper()
		<-o.flushed
		for _, busy := store.Turns(); busy; _, busy = store.Turns() {
			time.Sleep(time.Millisecond)
		}
		if err := l.after(time.Hour); err != nil {
			t.Errorf("%s: %v", why, err)
		}
	}
	write()
	idle("nothing to do")

	rule := disk.Add(vfs.Rule{Op: vfs.OpSync, Block: true})
	write()
	<-rule.Entered()
	stuck("a sync that hangs")
	rule.Remove()
	idle("after the sync")

	o.stuck.Store(true)
	write()
	<-o.entered
	stuck("an owner that is stuck")
	o.stuck.Store(false)
	o.held <- struct{}{}
	idle("after the owner")

	rule = disk.Add(vfs.Rule{Op: vfs.OpWrite, Glob: "journal/*", Err: syscall.ENOSPC})
	write()
	<-rule.Entered()
	begun, busy := store.Turns()
	end := time.Now().Add(20 * time.Second)
	for n := begun; n < begun+4 && busy; n, busy = store.Turns() { // each attempt is a turn
		if time.Sleep(time.Millisecond); time.Now().After(end) {
			t.Fatal("waiting for space counts as standing still")
		}
	}
	rule.Remove()
	idle("after the full disk")
}

// The driver of the metadata turns with nothing to do, and stands still while
// whoever it tells is stuck.
func TestMetadataThatIsStuck(t *testing.T) {
	entered, held := make(chan struct{}, 1), make(chan struct{})
	var once sync.Once
	armed := make(chan struct{})
	node, err := raft.Open(t.Context(), raft.Options{
		Dir: t.TempDir(), NodeID: 1, MinFree: -1, Ballast: -1, Tick: time.Millisecond,
		Fatal: func(err error) { t.Error(err) },
		OnApply: func(uint64, []meta.Event) {
			select {
			case <-armed:
				once.Do(func() { close(entered); <-held })
			default:
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	<-node.Ready()
	l := newLooker()
	l.add("metadata", node.Turns)
	// turned waits until the loop has turned since the last look.
	turned := func() {
		t.Helper()
		for n, _ := node.Turns(); ; time.Sleep(time.Millisecond) {
			if now, busy := node.Turns(); !busy {
				t.Fatal("an open node need not turn")
			} else if now > n {
				return
			}
		}
	}
	for range 100 {
		turned()
		if err := l.after(time.Second); err != nil {
			t.Fatal(err)
		}
	}
	close(armed)
	done := make(chan error, 1)
	go func() {
		_, err := node.Propose(context.WithoutCancel(t.Context()), &meta.SetClusterInfo{ID: "c", Secret: make([]byte, 32)})
		done <- err
	}()
	<-entered
	_ = l.after(time.Second) // it may have turned before
	if err := l.after(stallTime - 2*time.Second); err != nil {
		t.Errorf("too early: %v", err)
	}
	if err := l.after(3 * time.Second); !errors.Is(err, errStuck) || !strings.Contains(err.Error(), "metadata") {
		t.Errorf("%v", err)
	}
	close(held)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	turned()
	if err := l.after(time.Second); err != nil {
		t.Error(err)
	}
	if err := node.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.after(time.Hour); err != nil {
		t.Errorf("closed: %v", err)
	}
}

// The service manager hears nothing of a node whose journal's sync hangs, and
// /readyz says why; /livez stays. When it goes on, so do the signs of life.
func TestWatchdogOfHungSync(t *testing.T) {
	dir, err := os.MkdirTemp("", "notify") // t.TempDir's are too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Skipf("no datagram sockets here: %v", err)
	}
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "20000")
	var signs atomic.Int64
	var reader sync.WaitGroup
	defer reader.Wait()
	defer manager.Close()
	reader.Go(func() {
		b := make([]byte, 1024)
		for {
			n, err := manager.Read(b)
			if err != nil {
				return
			}
			if string(b[:n]) == "WATCHDOG=1" {
				signs.Add(1)
			}
		}
	})
	disk := vfs.NewFault(vfs.OS())
	cfg := config.Default()
	cfg.HTTP, cfg.Kafka, cfg.DataDir = "127.0.0.1:0", "", t.TempDir()+"/data"
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan *Node, 1), make(chan error, 1)
	go func() {
		ended <- Run(ctx, cfg, Options{
			FS: disk, StallTime: 300 * time.Millisecond, Ready: func(n *Node) { ready <- n },
			Fatal: func(err error) { t.Error(err) },
		})
	}()
	var n *Node
	select {
	case n = <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	get := func(path string) (status int, text string) {
		t.Helper()
		resp, err := http.Get(n.URL() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	await := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("waited for " + what)
			}
		}
	}
	more := func() func() bool { // than now
		before := signs.Load()
		return func() bool { return signs.Load() > before }
	}
	await("a sign of life", more())
	rule := disk.Add(vfs.Rule{Op: vfs.OpSync, Glob: "journal/*", Block: true})
	produced := make(chan error, 1)
	go func() {
		resp, err := http.Post(n.URL()+"/v1/topics/t/records", "text/plain", strings.NewReader("x"))
		if err == nil {
			err = resp.Body.Close()
		}
		produced <- err
	}()
	<-rule.Entered()
	await("/readyz to say so", func() bool {
		status, text := get("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(text, "stuck: commit")
	})
	before := signs.Load()
	time.Sleep(600 * time.Millisecond)
	if n := signs.Load() - before; n > 2 { // which were under way
		t.Errorf("%d signs of life of a node that is stuck", n)
	}
	if status, _ := get("/livez"); status != http.StatusOK {
		t.Errorf("/livez: %d", status)
	}
	rule.Remove()
	if err := <-produced; err != nil {
		t.Error(err)
	}
	await("another sign of life", more())
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
