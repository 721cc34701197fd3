package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	members   = 3
	readyWait = time.Minute
	stopWait  = 30 * time.Second
)

// demo is one run: three nodes, one record, two traces.
type demo struct {
	binary       string
	jaeger, otlp string

	dir   string
	nodes []*process
}

// process is a node that runs.
type process struct {
	http  string
	cmd   *exec.Cmd
	ended chan struct{}
}

// result is what a run has shown.
type result struct {
	front, leader      int
	produced, consumed *jaegerTrace
}

// run starts the nodes, produces and consumes, and asks Jaeger for the traces.
func (d *demo) run(ctx context.Context) (r *result, err error) {
	if d.binary, err = filepath.Abs(d.binary); err != nil {
		return nil, err
	}
	if d.dir, err = os.MkdirTemp("", "tracedemo-"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(d.dir)
	defer d.stop()
	if err := d.start(ctx); err != nil {
		return nil, err
	}
	return d.show(ctx)
}

func (d *demo) show(ctx context.Context) (*result, error) {
	leader, err := d.topic(ctx)
	if err != nil {
		return nil, err
	}
	r := &result{leader: leader, front: leader%members + 1}
	producing, consuming := newTrace(), newTrace()
	if _, err := d.ask(ctx, request{
		node: r.front, what: "POST /v1/topics/demo/records?acks=all", body: "hello", trace: producing,
	}); err != nil {
		return nil, err
	}
	if _, err := d.ask(ctx, request{
		node: r.leader, what: "GET /v1/topics/demo/partitions/0/records?offset=0", trace: consuming,
	}); err != nil {
		return nil, err
	}
	r.produced, err = d.await(ctx, producing, func(t *jaegerTrace) bool {
		return t.count("commit") == 1 && t.count("replicate") == members-1 && t.count("forward") == 1 &&
			t.count("POST /v1/topics/{topic}/records") == 1 && t.count("append") == 1 && t.count("peer/append") == 1
	})
	if err != nil {
		return nil, err
	}
	r.consumed, err = d.await(ctx, consuming, func(t *jaegerTrace) bool { return len(t.Spans) == 2 })
	return r, err
}

// topic creates topic demo and tells which node leads its only partition, once
// every replica is in sync.
func (d *demo) topic(ctx context.Context) (leader int, err error) {
	body := fmt.Sprintf(`{"name":"demo","partitions":1,"replication_factor":%d}`, members)
	if _, err = d.ask(ctx, request{node: 1, what: "POST /v1/topics", body: body}); err != nil {
		return 0, err
	}
	answer, err := d.ask(ctx, request{node: 1, what: "GET /v1/topics/demo/partitions"})
	if err != nil {
		return 0, err
	}
	var list struct {
		Partitions []struct {
			Leader int `json:"leader"`
		} `json:"partitions"`
	}
	if err := json.Unmarshal(answer, &list); err != nil {
		return 0, err
	}
	if len(list.Partitions) != 1 || list.Partitions[0].Leader < 1 || list.Partitions[0].Leader > members {
		return 0, fmt.Errorf("who leads demo/0? %s", answer)
	}
	return list.Partitions[0].Leader, nil
}

type request struct {
	node       int
	what, body string
	trace      string // id; empty: the client has none
}

// ask sends a request to a node.
func (d *demo) ask(ctx context.Context, r request) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	method, path, _ := strings.Cut(r.what, " ")
	req, err := http.NewRequestWithContext(ctx, method, d.nodes[r.node-1].http+path, strings.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.trace != "" { // as a client that traces would send it
		req.Header.Set("Traceparent", "00-"+r.trace+"-"+newTrace()[:16]+"-01")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxTrace))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return nil, fmt.Errorf("%s: %s: %s", r.what, resp.Status, body)
	}
	return body, nil
}

func newTrace() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

// start runs the nodes and waits until all are ready.
func (d *demo) start(ctx context.Context) error {
	addrs, err := freeAddrs(2 * members)
	if err != nil {
		return err
	}
	var peers []string
	for i := range members {
		peers = append(peers, fmt.Sprintf("%d@%s", i+1, addrs[members+i]))
	}
	for i := range members {
		cmd := exec.Command(d.binary, "serve", "--node-id", fmt.Sprint(i+1), "--http", addrs[i],
			"--peer", addrs[members+i], "--kafka", "127.0.0.1:0", "--peers", strings.Join(peers, ","),
			"--data-dir", filepath.Join(d.dir, fmt.Sprint(i+1)))
		cmd.Env = append(os.Environ(), "OTEL_EXPORTER_OTLP_ENDPOINT="+d.otlp,
			"OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=0", "OTEL_BSP_SCHEDULE_DELAY=100")
		log, err := os.Create(d.log(i + 1))
		if err != nil {
			return err
		}
		cmd.Stdout, cmd.Stderr = log, log
		err = cmd.Start()
		_ = log.Close() // the child has its own
		if err != nil {
			return err
		}
		p := &process{http: "http://" + addrs[i], cmd: cmd, ended: make(chan struct{})}
		go func() {
			_ = cmd.Wait() // ended by a signal
			close(p.ended)
		}()
		d.nodes = append(d.nodes, p)
	}
	for i := range d.nodes {
		if err := d.ready(ctx, i+1); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) log(node int) string { return filepath.Join(d.dir, fmt.Sprintf("node%d.log", node)) }

func (d *demo) ready(ctx context.Context, node int) error {
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	for {
		_, err := d.ask(ctx, request{node: node, what: "GET /readyz"})
		if err == nil {
			return nil
		}
		select {
		case <-time.After(jaegerPause):
			continue
		case <-d.nodes[node-1].ended:
		case <-ctx.Done():
		}
		said, _ := os.ReadFile(d.log(node))
		return fmt.Errorf("node %d is not ready: %w\n%s", node, err, said)
	}
}

// stop ends the nodes.
func (d *demo) stop() {
	for _, p := range d.nodes {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	}
	late := time.After(stopWait)
	for _, p := range d.nodes {
		select {
		case <-p.ended:
		case <-late:
			_ = p.cmd.Process.Kill()
			<-p.ended
		}
	}
}

// freeAddrs are n addresses of this machine that are free now.
func freeAddrs(n int) (addrs []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // after the last was found: all differ
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}
