package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chroniklog/chronik/server/servertest"
)

// The binary backs a node up, checks the backup and restores it into a cluster.
func TestBackupCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary")
	}
	bin := filepath.Join(t.TempDir(), "chronik")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	command := func(server *servertest.Node, args ...string) (string, error) {
		cmd := exec.Command(bin, args...)
		cmd.Env = append(os.Environ(), "CHRONIK_SERVER="+server.URL)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	n := servertest.Start(t)
	t.Setenv("CHRONIK_SERVER", n.URL)
	must(t, "", "topic", "create", "t", "--replication-factor", "1")
	must(t, "a\nb\nc\n", "produce", "t")
	must(t, "", "consume", "t", "--group", "g", "--limit", "2")
	dir := t.TempDir() + "/backup"
	for _, step := range []struct {
		args []string
		want string
	}{
		{[]string{"cluster", "backup", dir}, "has 3 record(s)"},
		{[]string{"cluster", "backup", dir, "--verify"}, "is whole: it has 3 record(s)"},
		{[]string{"cluster", "backup", dir, "--verify", "-o", "json"}, `"records":3`},
	} {
		if out, err := command(n, step.args...); err != nil || !strings.Contains(out, step.want) {
			t.Fatalf("%v: %v: %s", step.args, err, out)
		}
	}
	for want, args := range map[string][]string{
		"not empty":         {"cluster", "backup", dir},
		"cluster_not_empty": {"cluster", "restore", dir},
		"not a backup":      {"cluster", "restore", t.TempDir()},
		"no such file":      {"cluster", "backup", dir + "x", "--verify"},
		"--parallel":        {"cluster", "restore", dir, "--parallel", "0"},
		"too few nodes":     {"cluster", "restore", dir, "--replication-factor", "3"},
	} {
		if out, err := command(n, args...); err == nil || !strings.Contains(out, want) {
			t.Errorf("%v: %v: %s", args, err, out)
		}
	}
	c := servertest.StartCluster(t, 3)
	out, err := command(c.Nodes[1], "cluster", "restore", dir, "--replication-factor", "3")
	if err != nil || !strings.Contains(out, "is restored: 3 record(s)") {
		t.Fatalf("%v: %s", err, out)
	}
	t.Setenv("CHRONIK_SERVER", c.Nodes[2].URL)
	if got := must(t, "", "consume", "t"); got != "a\nb\nc\n" {
		t.Errorf("consumed %q", got)
	}
	if got := must(t, "", "consume", "t", "--group", "g", "--limit", "1"); got != "c\n" {
		t.Errorf("the group went on with %q", got)
	}
}
