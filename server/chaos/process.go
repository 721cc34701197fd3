// Package chaos tests nodes from the outside: real processes of the real
// binary, as clients see them, while nemeses kill, pause, cut off and damage
// them. A checker then holds what the clients were told against what the logs
// hold in the end:
//
//   - every acknowledged record is there exactly once, at its offset, unchanged;
//   - offsets are dense, and the replicas' logs equal byte by byte;
//   - a record that was not acknowledged is there at most once, whole or not at all;
//   - a write with an Idempotency-Key, repeated until it is acknowledged, is
//     there exactly once however many kills it met;
//   - what a reader ever saw is what the log holds in the end;
//   - a record that was answered as not applied is not there.
//
// # Clients
//
// A Crowd has all kinds, each on a topic of its own. Load writes, in three ways,
// and reads partitions. A Tail reads a whole topic, whose partitions have
// several leaders, page by page with a cursor or as an event stream: nothing
// missed, nothing twice. Linear appends, with and without expect_offset, asks
// where the log ends, and reads; porcupine then looks for an order of all these
// calls that explains every answer. Its states are hashes of the whole log, as
// in the checker of S2, so that comparing two costs nothing; a picture of a
// history without an order goes to the test's artifacts. A plain read may show
// an old prefix of the log, since it is promised no more. Kafka is idempotent
// producers and a group: every record is acknowledged in the end, nothing that
// was committed is read again, and the group goes on within a session timeout.
//
// # Nemeses
//
// Nemeses lists them. Cutting links goes through a Network of proxies between
// the nodes. A full disk needs root (a small file system of its own for one
// node), failing syncs need strace; where they can't be had the log says so.
// Nobody here takes away what was written and not synced: SIGKILL leaves it in
// the system's cache. That is tested where the disk is memory: storage/vfs,
// storage/plog, server/servertest.
//
// # Running it
//
// A short form runs in "make test"; "make chaos" is the long one, for
// CHAOS_TIME. State is wiped between clusters; the seed is logged, and
// CHRONIK_CHAOS_SEED repeats the nemeses' schedule. CHAOS_ONLY chooses among
// them, CHAOS_KEEP is where data directories are kept. CHRONIK_CHAOS is the time
// for which TestKill kills a single node. TestMutants proves that the scenarios
// notice nodes without a safeguard.
package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Build compiles the chronik binary into dir and returns its name.
func Build(dir string) (string, error) {
	bin := filepath.Join(dir, "chronik")
	out, err := exec.Command("go", "build", "-o", bin, "github.com/chroniklog/chronik/server/chronik").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, nil
}

// Process is one running node.
type Process struct {
	URL     string        // of its HTTP listener
	Startup time.Duration // from exec to ready

	cmd  *exec.Cmd
	log  logTail
	done chan struct{} // closed when it has ended
	err  error         // of Wait; read after done
}

// Serve starts a node on the data directory and returns when it is ready.
// Ports that args do not name are the kernel's choice.
func Serve(ctx context.Context, bin, dir string, args ...string) (*Process, error) {
	given := args
	args = []string{"serve", "--data-dir", dir, "--log-format", "json"}
	for _, flag := range []string{"--http", "--kafka", "--peer"} {
		if !slices.Contains(given, flag) {
			args = append(args, flag, "127.0.0.1:0")
		}
	}
	args = append(args, given...)
	p := &Process{cmd: exec.Command(bin, args...), done: make(chan struct{})}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan string, 1)
	go func() {
		defer close(p.done)
		p.read(stderr, ready)
		p.err = p.cmd.Wait()
	}()
	select {
	case p.URL = <-ready:
		p.Startup = time.Since(begin)
		return p, nil
	case <-p.done:
		return nil, fmt.Errorf("node ended before it was ready: %w\n%s", p.err, p.Log())
	case <-ctx.Done():
		p.Kill()
		return nil, fmt.Errorf("node was not ready in time: %w\n%s", ctx.Err(), p.Log())
	}
}

// read keeps the log's tail and sends the address of the line "ready".
func (p *Process) read(stderr io.Reader, ready chan<- string) {
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.log.add(lines.Text())
		var line struct {
			Msg  string `json:"msg"`
			HTTP string `json:"http"`
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "ready" {
			select {
			case ready <- line.HTTP:
			default:
			}
		}
	}
}

// Kill is SIGKILL; it returns when the process is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL) // has ended already: nothing to kill
	<-p.done
}

// Stop is SIGTERM; the error tells of an exit code other than 0, or that the
// process had to be killed when ctx ended.
func (p *Process) Stop(ctx context.Context) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return errors.Join(err, p.err)
	}
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		p.Kill()
		return fmt.Errorf("stop: %w\n%s", ctx.Err(), p.Log())
	}
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// ExitCode is the process's, after Done; -1 when a signal ended it.
func (p *Process) ExitCode() int { return p.cmd.ProcessState.ExitCode() }

// Log returns the last lines of the node's log.
func (p *Process) Log() string { return p.log.String() }

// Logged returns the lines of the node's log, as far as they are kept, that
// have the message and each of the attributes, written as in JSON.
func (p *Process) Logged(msg string, attributes ...string) (lines []string) {
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	attributes = append([]string{fmt.Sprintf(`"msg":%q`, msg)}, attributes...)
	for _, line := range p.log.lines {
		if !slices.ContainsFunc(attributes, func(a string) bool { return !strings.Contains(line, a) }) {
			lines = append(lines, line)
		}
	}
	return lines
}

// Signal sends SIGSTOP, SIGCONT and the like.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

const (
	keptLines  = 20000 // of a process's log
	shownLines = 60    // where a test tells of a failure
)

// logTail keeps the last lines of a log.
type logTail struct {
	mu    sync.Mutex
	lines []string
}

func (l *logTail) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == keptLines {
		l.lines = append(l.lines[:0], l.lines[1:]...)
	}
	l.lines = append(l.lines, line)
}

// String joins the lines.
func (l *logTail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines[max(0, len(l.lines)-shownLines):], "\n")
}
