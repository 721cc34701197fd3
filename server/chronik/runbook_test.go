package main

import (
	"bytes"
	"context"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chroniklog/chronik/server/servertest"
)

// runbook are the sh blocks of the chapter about alerts; the first defines what
// the others use.
func runbook(t *testing.T) (blocks []string) {
	t.Helper()
	raw, err := os.ReadFile("../../docs/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(raw), "\n## Alerts\n")
	text, _, _ = strings.Cut(text, "\n## Metrics\n")
	sections := strings.Split(text, "\n### ")
	for i, section := range sections {
		parts := strings.Split(section, "```sh\n")
		if len(parts) == 1 {
			t.Errorf("%.40q has no commands", section)
		}
		for _, part := range parts[1:] {
			block, _, closed := strings.Cut(part, "```\n")
			if !closed {
				t.Fatalf("section %d: a block does not end", i)
			}
			blocks = append(blocks, block)
		}
	}
	if len(blocks) < 25 {
		t.Fatalf("only %d blocks", len(blocks))
	}
	return blocks
}

// What an operator pastes from an alert's section works, on a cluster that has
// just lost a node.
func TestRunbook(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary")
	}
	for _, tool := range []string{"bash", "curl", "awk", "ss"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the commands need %s: %v", tool, err)
		}
	}
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "chronik"), ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	logFile, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer logFile.Close()
	c := servertest.StartCluster(t, 3, servertest.WithLog(logFile))
	t.Setenv("CHRONIK_SERVER", c.Nodes[0].URL)
	must(t, "", "topic", "create", "t", "--partitions", "3", "--replication-factor", "3")
	must(t, "a\nb\n", "produce", "t")
	must(t, "", "consume", "t", "--group", "g", "--limit", "1")
	c.Stop(c.Nodes[2])
	blocks := runbook(t)
	prelude := blocks[0] + "\nlog() { cat " + logFile.Name() + "; }\n"
	said := map[int]string{}
	for i, block := range blocks[1:] {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		var out, complaints bytes.Buffer
		cmd := exec.CommandContext(ctx, "bash", "-uc", prelude+block)
		cmd.Stdout, cmd.Stderr = &out, &complaints
		cmd.Env = append(os.Environ(), "GROUP=g", "PATH="+dir+":"+os.Getenv("PATH"))
		err := cmd.Run() // a last grep that finds nothing is no failure
		late := ctx.Err()
		cancel()
		if complaints.Len() > 0 || late != nil || err != nil && cmd.ProcessState.ExitCode() != 1 {
			t.Errorf("%s\nsays %v: %s", block, err, complaints.Bytes())
		}
		said[i] = out.String()
	}
	if !strings.Contains(said[0], "away") || !strings.Contains(said[0], "[+]metadata ok") {
		t.Errorf("the first look shows %s", said[0])
	}
	if lines := strings.Count(said[2], "\nt ") + strings.Count("\n"+said[2], "\nt 0 "); lines < 3 {
		t.Errorf("the partitions with a copy less: %s", said[2])
	}
	checkPatterns(t, c.Nodes[0].URL, strings.Join(blocks, ""))
}

// checkPatterns wants every metric that is asked for to exist, and every text
// that is looked for in logs to be logged at a level that is on.
func checkPatterns(t *testing.T, url, text string) {
	t.Helper()
	resp, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var metrics bytes.Buffer
	if _, err := metrics.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^metric ('[^']+'|\w+)`).FindAllStringSubmatch(text, -1) {
		pattern := strings.Trim(m[1], "'")
		if !regexp.MustCompile(`(?m)^chronik_(` + pattern + `)`).Match(metrics.Bytes()) {
			t.Errorf("no metric is like %s", pattern)
		}
		for _, one := range topLevel(pattern) {
			if !regexp.MustCompile(`(?m)^chronik_(` + one + `)`).Match(metrics.Bytes()) {
				t.Errorf("no metric is like %s of %s", one, pattern)
			}
		}
	}
	lines, seen := logCalls(t), 0
	for _, command := range regexp.MustCompile(`(?m)^log \|.*`).FindAllString(text, -1) {
		for _, m := range regexp.MustCompile(`(?:grep|-e) ('[^']+'|"[^"]+"|msg=\w+)`).FindAllStringSubmatch(command, -1) {
			what := strings.TrimPrefix(strings.Trim(m[1], `'"`), "msg=")
			if strings.HasPrefix(what, "isr=") || strings.HasPrefix(what, "level=") {
				continue // attributes
			}
			seen++
			if !strings.Contains(lines, what) {
				t.Errorf("nothing logs %q at a level that is on by default: %s", what, command)
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d texts are looked for", seen)
	}
}

// topLevel splits a pattern at the bars outside of parentheses.
func topLevel(pattern string) (list []string) {
	depth, from := 0, 0
	for i, r := range pattern {
		switch {
		case r == '(':
			depth++
		case r == ')':
			depth--
		case r == '|' && depth == 0:
			list, from = append(list, pattern[from:i]), i+1
		}
	}
	return append(list, pattern[from:])
}

// logCalls are the lines of the sources that log, but for debugging.
func logCalls(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	call := regexp.MustCompile(`\.(Info|Warn|Error|Log)(Context)?\(.*"`)
	for _, root := range []string{"../../server", "../../raft", "../../storage", "../../api", "../../kafka"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			raw, err := os.ReadFile(path)
			for line := range strings.Lines(string(raw)) {
				if call.MatchString(line) {
					b.WriteString(line)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}
