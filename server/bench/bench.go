package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// natsServer is the peer that is measured.
const natsServer = "github.com/nats-io/nats-server/v2@v2.15.2"

// Sizes of the workloads.
const (
	connections   = 64
	manyParts     = 10_000
	openLoopRate  = 1000
	batchRecords  = 100
	idleConns     = 2000
	natsClients   = 4 // of asynchronous publishing
	readMaxBytes  = 10 << 20
	smallValue    = 100
	largeValue    = 1024
	createClients = 16
)

// bench is one run over all workloads.
type bench struct {
	dir     string
	chronik string
	nats    string
	java    string // with jars: of bench-kafka
	jars    string
	topics  int        // that were created there, for their names
	rows    []kafkaRow // of its table, as they were first measured
	only    string
	keep    bool
	short   bool
	rounds  int
	length  time.Duration // of one measurement
	warmup  time.Duration
	servers []*process // running, to be killed at the end
	goals   []goal
	series  map[string][]float64
	foreign []float64 // per round, share of all CPUs
}

func newBench(chronik string) (*bench, error) {
	b := &bench{
		short: os.Getenv("BENCH_SHORT") != "", rounds: 5, length: 5 * time.Second, warmup: time.Second,
		goals: goals(), series: make(map[string][]float64),
	}
	if b.short {
		b.rounds, b.length, b.warmup = 2, 1500*time.Millisecond, 300*time.Millisecond
	}
	var err error
	if b.chronik, err = filepath.Abs(chronik); err != nil {
		return nil, err
	}
	if _, err := os.Stat(b.chronik); err != nil {
		return nil, fmt.Errorf("no binary to measure (make build): %w", err)
	}
	// Not /tmp: it may be memory, and the disk is what counts.
	b.dir, err = os.MkdirTemp(filepath.Dir(b.chronik), "bench-")
	return b, err
}

func (b *bench) buildNats(nats string) (err error) {
	if b.nats, err = filepath.Abs(nats); err != nil {
		return err
	}
	if _, err := os.Stat(b.nats); err == nil {
		return nil
	}
	cmd := exec.Command("go", "install", natsServer)
	cmd.Env = append(os.Environ(), "GOBIN="+filepath.Dir(b.nats))
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s: %w", natsServer, err)
	}
	return nil
}

func (b *bench) close() {
	for _, p := range b.servers {
		p.kill()
	}
	if !b.keep {
		os.RemoveAll(b.dir)
	}
}

// wanted says whether a workload was asked for.
func (b *bench) wanted(name string) bool {
	return b.only == "" || slices.Contains(strings.Split(b.only, ","), name)
}

// add notes one round's value of a metric.
func (b *bench) add(metric string, value float64) { b.series[metric] = append(b.series[metric], value) }

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}

func (b *bench) run(ctx context.Context) error {
	b.say("%d rounds of %v in %s", b.rounds, b.length, b.dir)
	began := time.Now()
	s, err := b.startServers(ctx)
	if err != nil {
		return err
	}
	if err := b.inRounds(began, func() error { return b.round(ctx, s) }); err != nil {
		return err
	}
	if err := b.once(ctx, s); err != nil {
		return err
	}
	b.print(os.Stdout, time.Since(began))
	return nil
}

// inRounds calls round as often as there are rounds, and notes what CPU others
// took meanwhile.
func (b *bench) inRounds(began time.Time, round func() error) error {
	for i := range b.rounds {
		b.say("round %d of %d, %.0f s so far", i+1, b.rounds, time.Since(began).Seconds())
		busy, own, from := busyCPU(), b.ownCPU(), time.Now()
		if err := round(); err != nil {
			return err
		}
		all := time.Since(from).Seconds() * float64(runtime.NumCPU())
		b.foreign = append(b.foreign, max(0, (busyCPU()-busy)-(b.ownCPU()-own))/all)
	}
	return nil
}

// ownCPU is what we and our servers have used; a server that has ended counts
// among our children.
func (b *bench) ownCPU() float64 {
	total := selfCPU()
	for _, p := range b.servers {
		select {
		case <-p.ended:
		default:
			total += processCPU(p.pid())
		}
	}
	return total
}

// servers are the processes of the rounds.
type servers struct {
	noop, narrow, wide, always, lazy *process
}

func (b *bench) startServers(ctx context.Context) (servers, error) {
	var s servers
	var err error
	if s.noop, err = b.startNoop(ctx); err != nil {
		return s, err
	}
	if s.narrow, err = b.startNode(ctx, "narrow"); err != nil {
		return s, err
	}
	if s.wide, err = b.startNode(ctx, "wide"); err != nil {
		return s, err
	}
	if s.always, err = b.startNats(ctx, "always", "always"); err != nil {
		return s, err
	}
	if s.lazy, err = b.startNats(ctx, "default", "2m"); err != nil {
		return s, err
	}
	b.add("rss empty", float64(residentBytes(s.narrow.pid())))
	for _, topic := range []string{"w1", "w2", "w2small", "w4"} {
		if err := createTopic(ctx, s.narrow.address, topic, 1); err != nil {
			return s, err
		}
	}
	from := time.Now()
	if err := createTopic(ctx, s.wide.address, "w6", manyParts); err != nil {
		return s, err
	}
	b.add("W7 partitions/s", manyParts/time.Since(from).Seconds())
	return s, b.writeBodies()
}

// writeBodies writes what the generator sends.
func (b *bench) writeBodies() error {
	for name, body := range map[string][]byte{
		"one":   make([]byte, smallValue),
		"small": recordBatch(batchRecords, make([]byte, smallValue)),
		"large": recordBatch(batchRecords, make([]byte, largeValue)),
	} {
		if err := os.WriteFile(b.file(name), body, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) file(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) start(name, address, binary string, args ...string) (*process, error) {
	p, err := start(b.dir, name, address, binary, args...)
	if err == nil {
		b.servers = append(b.servers, p)
	}
	return p, err
}

func (b *bench) startNoop(ctx context.Context) (*process, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, err := b.start("noop", address, self, "noop", "-http", address)
	if err != nil {
		return nil, err
	}
	return p, p.readyHTTP(ctx, "/")
}

// startNode starts a node on the directory of that name; one that exists is
// opened again.
func (b *bench) startNode(ctx context.Context, name string) (*process, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p, err := b.start(name, address, b.chronik, "serve", "--data-dir", b.file("data-"+name), "--http", address,
		"--kafka", "127.0.0.1:0", "--peer", "127.0.0.1:0", "--log-level", "warn")
	if err != nil {
		return nil, err
	}
	return p, p.readyHTTP(ctx, "/readyz")
}

func (b *bench) startNats(ctx context.Context, name, interval string) (*process, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf("listen: %q\njetstream {\n  store_dir: %q\n  sync_interval: %s\n  max_file: 200GB\n}\n", address,
		b.file("nats-"+name), interval)
	if err := os.WriteFile(b.file(name+".conf"), []byte(config), 0o600); err != nil {
		return nil, err
	}
	p, err := b.start("nats-"+name, address, b.nats, "-c", b.file(name+".conf"))
	if err != nil {
		return nil, err
	}
	return p, p.ready(ctx, func() error { return dialable(address) })
}
