package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/chroniklog/chronik/server/client"
)

// node is a node in a process of its own, which can be killed and started
// again on the same data and address.
type node struct {
	binary  string
	dir     string
	address string
	cmd     *exec.Cmd
	ended   chan struct{}
	api     *client.Client
	http    *http.Client
}

func startNode(ctx context.Context, binary, dir string) (*node, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := listener.Addr().String()
	listener.Close()
	api, err := client.New(address)
	if err != nil {
		return nil, err
	}
	n := &node{
		binary: binary, dir: dir, address: address, api: api,
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}},
	}
	return n, n.start(ctx)
}

// start runs the node and waits until it is ready.
func (n *node) start(ctx context.Context) error {
	log, err := os.OpenFile(n.logName(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	// Some files of the sources are larger than a record may be by default.
	n.cmd = exec.Command(n.binary, "serve", "--http", n.address, "--data-dir", n.data(), "--kafka", "127.0.0.1:0",
		"--peer", "127.0.0.1:0", "--max-record-bytes", "16MiB", "--max-batch-bytes", "32MiB")
	n.cmd.Stdout, n.cmd.Stderr = log, log
	if err := n.cmd.Start(); err != nil {
		return err
	}
	n.ended = make(chan struct{})
	go func() {
		_ = n.cmd.Wait() // a killed process ends with an error
		close(n.ended)
	}()
	return n.ready(ctx)
}

func (n *node) ready(ctx context.Context) error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		resp, err := n.http.Get("http://" + n.address + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-n.ended:
			return errors.New("the node ended while it started")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	return errors.New("the node is not ready after a minute")
}

// kill ends the node without warning.
func (n *node) kill() {
	_ = n.cmd.Process.Kill() // it may have ended
	<-n.ended
	n.http.CloseIdleConnections()
}

func (n *node) data() string    { return filepath.Join(n.dir, "data") }
func (n *node) logName() string { return filepath.Join(n.dir, "node.log") }

// tail is the end of the node's log.
func (n *node) tail() string {
	text, err := os.ReadFile(n.logName())
	if err != nil {
		return err.Error()
	}
	const most = 3000
	return "the node's log ends:\n" + string(text[max(0, len(text)-most):])
}

// command runs chronik as a client of the node.
func (n *node) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, n.binary, args...)
	cmd.Env = append(os.Environ(), "CHRONIK_SERVER=http://"+n.address)
	return cmd
}

// highWatermark is the end of a topic's partition.
func (n *node) highWatermark(ctx context.Context, topic string, partition int) (int64, error) {
	all, err := n.api.Partitions(ctx, topic)
	if err != nil {
		return 0, err
	}
	if partition >= len(all) {
		return 0, fmt.Errorf("topic %s has %d partitions", topic, len(all))
	}
	return all[partition].HighWatermark, nil
}

// diskBytes is what everything below a directory of the data takes.
func (n *node) diskBytes(below string) (total int64) {
	_ = filepath.WalkDir(filepath.Join(n.data(), below), func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // a file that a compaction has removed
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			total += allocated(info)
		}
		return nil
	})
	return total
}

// memory is the node's resident memory now and at its peak, as the system
// tells it.
func (n *node) memory() (now, peak string) {
	now, peak = "unknown", "unknown"
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	if err != nil {
		return now, peak
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			now = strings.TrimSpace(value)
		}
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			peak = strings.TrimSpace(value)
		}
	}
	return now, peak
}
