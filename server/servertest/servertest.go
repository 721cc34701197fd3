// Package servertest runs real nodes inside a test: the real API over real
// logs and metadata, on a directory of the test and a free port.
//
//	n := servertest.Start(t)
//	resp, err := n.Client.Post(n.URL+"/v1/topics", "application/json", body)
//	n.Restart()                  // in good order; n.URL changes
//	n.Kill(); n.Restart()        // as after SIGKILL
//	n.PowerLoss(seed)            // with WithFS(vfs.NewMem()): unsynced bytes are lost or torn
//
//	c := servertest.StartCluster(t, 3)
//	c.Nodes[0].Client.Get(c.Nodes[0].URL + "/v1/cluster")
//
// Every exchange of Client is held against openapi.yaml, requests and
// responses; the test fails where one breaks it. A request that is meant to be
// wrong says so: see Bad. Everything is closed when the test ends.
package servertest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/config"
	"github.com/chroniklog/chronik/server/node"
	"github.com/chroniklog/chronik/storage/vfs"
)

// endTimeout bounds a start or an end.
const endTimeout = 30 * time.Second

// Node is a node under test. URL, Kafka (the Kafka listener's address), Client
// and Broker change with Restart.
type Node struct {
	URL    string
	Kafka  string
	Client *http.Client
	Broker *server.Broker

	t         testing.TB
	o         options
	node      *node.Node // nil after Kill
	fs        *mortalFS
	transport *http.Transport
	killed    atomic.Bool
}

// Option changes how Start does things.
type Option func(*options)

type options struct {
	cfg       config.Config
	now       func() time.Time
	fs        vfs.FS
	log       io.Writer
	fatal     func(error)
	dial      func(ctx context.Context, addr string) (net.Conn, error)
	unchecked bool
	noSync    bool
	// of the metadata log
	compactEvery, compactKeep uint64
}

// WithConfig changes the configuration that Start made: defaults, free ports,
// a directory of the test.
func WithConfig(change func(*config.Config)) Option { return func(o *options) { change(&o.cfg) } }

// WithClock replaces the node's clock.
func WithClock(now func() time.Time) Option { return func(o *options) { o.now = now } }

// WithFS puts another file system under the logs. The metadata log stays on
// the disk.
func WithFS(fs vfs.FS) Option { return func(o *options) { o.fs = fs } }

// WithLog writes the node's log there instead of to the test's.
func WithLog(w io.Writer) Option { return func(o *options) { o.log = w } }

// WithFatal is told of an error that the node can't survive, which fails the
// test otherwise.
func WithFatal(fatal func(error)) Option { return func(o *options) { o.fatal = fatal } }

// Unchecked turns the check against openapi.yaml off, for load.
func Unchecked() Option { return func(o *options) { o.unchecked = true } }

// NoSync turns syncing off: a mutation that tests of durability must notice.
func NoSync() Option { return func(o *options) { o.noSync = true } }

// WithCompaction has the metadata log compacted every so many entries, and keep
// so many.
func WithCompaction(every, keep uint64) Option {
	return func(o *options) { o.compactEvery, o.compactKeep = every, keep }
}

// Start starts a node and fails the test if it can't.
func Start(t testing.TB, opts ...Option) *Node {
	t.Helper()
	n := prepare(t, opts...)
	n.start()
	return n
}

// prepare makes a node that does not run yet.
func prepare(t testing.TB, opts ...Option) *Node {
	t.Helper()
	n := &Node{t: t, o: options{cfg: config.Default(), now: time.Now, fs: vfs.OS(), log: t.Output()}}
	n.o.cfg.DataDir = t.TempDir() + "/data"
	n.o.cfg.HTTP, n.o.cfg.Kafka, n.o.cfg.Peer = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	n.o.cfg.LogLevel = "warn"
	for _, opt := range opts {
		opt(&n.o)
	}
	if err := n.o.cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.stop)
	return n
}

func (n *Node) start() {
	n.t.Helper()
	if err := n.tryStart(); err != nil {
		n.t.Fatalf("start node: %v", err)
	}
}

func (n *Node) tryStart() error {
	ctx, cancel := context.WithTimeout(n.t.Context(), endTimeout)
	defer cancel()
	return n.tryStartWithin(ctx)
}

func (n *Node) tryStartWithin(ctx context.Context) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(n.o.cfg.LogLevel)); err != nil {
		return err
	}
	n.killed.Store(false)
	n.fs = newMortalFS(n.o.fs)
	started, err := node.Start(ctx, n.o.cfg, node.Options{
		Version: "test", Now: n.o.now, FS: n.fs, NoSync: n.o.noSync,
		CompactEvery: n.o.compactEvery, CompactKeep: n.o.compactKeep,
		Logger: slog.New(slog.NewTextHandler(n.o.log, &slog.HandlerOptions{Level: level})),
		Fatal:  n.fatal, DialPeer: n.o.dial,
	})
	if err != nil {
		return err
	}
	n.transport = &http.Transport{MaxIdleConnsPerHost: 128}
	n.node, n.URL, n.Broker = started, started.URL(), started.Broker()
	n.Kafka = started.KafkaAddr()
	n.Client = &http.Client{Transport: n.transport}
	if !n.o.unchecked {
		n.Client.Transport = newContract(n.t, n.transport)
	}
	return nil
}

func (n *Node) fatal(err error) {
	switch {
	case n.killed.Load(): // its disk is gone
	case n.o.fatal != nil:
		n.o.fatal(err)
	default:
		n.t.Errorf("the node failed: %v", err)
	}
}

// PowerLoss kills the node, takes from its logs' disk what was not synced, in
// the way that seed chooses, and starts it again. The file system must be a
// *vfs.Mem. The metadata log is on a real disk and loses nothing.
func (n *Node) PowerLoss(seed uint64) {
	n.t.Helper()
	disk, ok := n.o.fs.(*vfs.Mem)
	if !ok {
		n.t.Fatal("PowerLoss needs WithFS(vfs.NewMem())")
	}
	n.Kill()
	n.o.fs = disk.Crash(seed)
	n.start()
}

// Node is the node itself.
func (n *Node) Node() *node.Node { return n.node }

// Restart shuts the node down in good order, unless it was killed, and starts
// it on the same directory. URL, Client and Broker are new ones.
func (n *Node) Restart() {
	n.t.Helper()
	n.stop()
	n.start()
}

// Kill ends the node as SIGKILL would: from this moment on nothing reaches the
// logs' disk any more, open files are as they are, clients see their
// connections cut. Restart starts it again.
func (n *Node) Kill() {
	n.killed.Store(true)
	n.fs.kill()
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	_ = n.node.Abort(ctx) // it complains of the dead disk
	n.transport.CloseIdleConnections()
	n.node = nil
}

// stop shuts the node down if it runs.
func (n *Node) stop() {
	if n.node == nil {
		return
	}
	n.transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	if err := n.node.Shutdown(ctx); err != nil && !errors.Is(err, context.Canceled) {
		n.t.Errorf("shut down: %v", err)
	}
	n.node = nil
}
