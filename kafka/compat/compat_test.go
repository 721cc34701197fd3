package compat

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chroniklog/chronik/server/config"
	"github.com/chroniklog/chronik/server/servertest"
)

// wanted skips a test unless it was asked for. It tells whether the long form
// is.
func wanted(t *testing.T) (full bool) {
	t.Helper()
	mode := os.Getenv("CHRONIK_COMPAT")
	if mode == "" {
		t.Skip("other clients' suites: make compat")
	}
	return mode == "full"
}

// need fails a test whose tools are missing.
func need(t *testing.T, tool, install string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		t.Fatalf("%s is missing: install %s", tool, install)
	}
}

// workDir is a directory for what is downloaded and built, kept from run to
// run where CHRONIK_COMPAT_DIR says so.
func workDir(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("CHRONIK_COMPAT_DIR")
	if dir == "" {
		dir = t.TempDir()
	}
	dir, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// command is a program to run.
type command struct {
	dir   string
	env   []string // besides the process's own
	stdin string
	limit time.Duration // 0: a minute
	// only tells to return standard output alone; else standard error is in it.
	only bool
}

// run runs a program to its end, with everything that it started, and returns
// what it printed.
func (c command) run(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	if c.limit == 0 {
		c.limit = time.Minute
	}
	ctx, cancel := context.WithTimeout(t.Context(), c.limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = c.dir, append(os.Environ(), c.env...)
	cmd.Stdin = strings.NewReader(c.stdin)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if c.only {
		cmd.Stderr = &stderr
	}
	// What it started goes with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		err = errors.Join(err, errors.New("it took longer than "+c.limit.String()))
	}
	if err != nil && c.only {
		return out.String() + stderr.String(), err
	}
	return out.String(), err
}

// must is run for what may not fail.
func (c command) must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := c.run(t, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, tail(out))
	}
	return out
}

// tail is the end of an output.
func tail(out string) string {
	const most = 6000
	if len(out) > most {
		out = "…" + out[len(out)-most:]
	}
	return out
}

// start starts nodes with Kafka listeners and returns the list of their
// addresses, as clients take it. Topics that clients create by use have
// partitions many partitions.
func start(t *testing.T, nodes, partitions int) string {
	t.Helper()
	return startWith(t, nodes, partitions, 0)
}

// startWith is start with a delay before a new group's first rebalance.
func startWith(t *testing.T, nodes, partitions int, groupDelay time.Duration) string {
	t.Helper()
	opts := []servertest.Option{servertest.Unchecked(), servertest.WithConfig(func(c *config.Config) {
		c.DefaultPartitions = int32(partitions)
		c.GroupInitialDelay = groupDelay
	})}
	if nodes == 1 {
		return servertest.Start(t, opts...).Kafka
	}
	var addrs []string
	for _, n := range servertest.StartCluster(t, nodes, opts...).Nodes {
		addrs = append(addrs, n.Kafka)
	}
	return strings.Join(addrs, ",")
}
