package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// result is what a command line did.
type result struct {
	code     int
	out, err string
}

// chronik runs one command line in this process.
func chronik(t *testing.T, in string, args ...string) result {
	t.Helper()
	var out, err bytes.Buffer
	code := run(t.Context(), args, Streams{In: strings.NewReader(in), Out: &out, Err: &err})
	return result{code, out.String(), err.String()}
}

func TestExitCodes(t *testing.T) {
	t.Setenv("CHRONIK_SERVER", "http://127.0.0.1:1")
	for _, tc := range []struct {
		args string
		code int
		says string
	}{
		{"", exitOK, "Usage: chronik"},
		{"--help", exitOK, "curl"},
		{"topic --help", exitOK, "describe"},
		{"version", exitOK, "chronik "},
		{"--version", exitOK, "chronik "},
		{"help", exitOK, "Usage: chronik"},
		{"help topic", exitOK, "describe"},
		{"help topic create", exitOK, "--partitions"},
		{"help toppic", exitUsage, `did you mean "topic"`},
		{"topic list --output yaml", exitUsage, `Try "chronik topic list --help"`},
		{"topic create t --partitions 0", exitUsage, "--partitions: want 1 or more, have 0"},
		{"topic create t --partitions -1", exitUsage, "want 1 or more"},
		{"topic create t --partitions 9999999999", exitUsage, "--partitions"},
		{"topic create t --replication-factor 0", exitUsage, "--replication-factor: want 1 or more"},
		{"topic create t --config", exitUsage, "write NAME=VALUE"},
		{"topic create t -c retention.ms", exitUsage, `--config: "retention.ms": write NAME=VALUE`},
		{"topic alter t --partitions 0", exitUsage, "want 1 or more"},
		{"consume t --limit 0", exitUsage, "--limit: want 1 or more, have 0"},
		{"consume t -n -1", exitUsage, "want 1 or more"},
		{"consume t --partition -1", exitUsage, "--partition: want 0 or more"},
		{"produce t --partition -1", exitUsage, "want 0 or more"},
		{"toppic", exitUsage, `did you mean "topic"`},
		{"topic", exitUsage, "--help"},
		{"consume", exitUsage, `expected "<topic>"`},
		{"consume t --form x", exitUsage, "--from"},
		{"consume t --from yesterday", exitUsage, "2026-01-31T12:00:00Z"},
		{"consume t -d \\q", exitUsage, "--delimiter"},
		{"produce t --acks most", exitUsage, "--acks"},
		{"produce t -H broken", exitUsage, "NAME=VALUE"},
		{"produce t -k a -K :", exitUsage, "exclude each other"},
		{"topic alter t", exitUsage, "nothing to change"},
		{"topic alter t -c a=1 --unset a", exitUsage, "both set and unset"},
		{"bench produce t --batch 0", exitUsage, "batch"},
		{"bench produce t --server https://x", exitUsage, "http://"},
		{"cluster status --server ftp://x", exitUsage, "HOST:PORT"},
		{"serve --http 0.0.0.0:80", exitUsage, "--insecure"},
		{"serve --config /does/not/exist", exitFailed, "no such file"},
		{"cluster status", exitFailed, "chronik serve"},
		{"topic list", exitFailed, "no node answers at http://127.0.0.1:1"},
		{"produce t --file /does/not/exist", exitFailed, "no such file"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			got := chronik(t, "", strings.Fields(tc.args)...)
			talk := got.err
			if tc.code == exitOK {
				talk = got.out
			}
			if got.code != tc.code || !strings.Contains(talk, tc.says) {
				t.Errorf("exit code %d, want %d; stdout %q, stderr %q", got.code, tc.code, got.out, got.err)
			}
			if tc.code != exitOK && got.out != "" {
				t.Errorf("a failure wrote to stdout: %q", got.out)
			}
		})
	}
}

func TestEveryCommandShowsExamples(t *testing.T) {
	var cli CLI
	parser := newParser(&cli, Streams{Out: &bytes.Buffer{}, Err: &bytes.Buffer{}})
	for _, leaf := range parser.Model.Leaves(true) {
		path := plainPath(leaf)
		if !strings.Contains(leaf.Detail, "Examples:") || !strings.Contains(leaf.Detail, "chronik "+path) {
			t.Errorf("chronik %s --help shows no example", path)
		}
	}
}

func TestVersionForms(t *testing.T) {
	for _, args := range []string{"version --json", "version --output json"} {
		var v struct{ Version, Go, Platform string }
		got := chronik(t, "", strings.Fields(args)...)
		if err := json.Unmarshal([]byte(got.out), &v); err != nil || v.Version == "" || !strings.HasPrefix(v.Go, "go") {
			t.Errorf("%s: %q, %v", args, got.out, err)
		}
	}
}

func TestConfigCommands(t *testing.T) {
	t.Setenv("CHRONIK_DEFAULT_PARTITIONS", "5")
	printed := chronik(t, "", "config", "print", "--node-id", "3")
	if printed.code != exitOK || !strings.Contains(printed.out, "node-id: 3\n") ||
		!strings.Contains(printed.out, "default-partitions: 5\n") {
		t.Fatalf("%+v", printed)
	}
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte(printed.out), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := chronik(t, "", "config", "check", "--config", file); got.code != exitOK || got.out != "" {
		t.Errorf("what print wrote is refused: %+v", got)
	}
	if err := os.WriteFile(file, []byte("node-idd: 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := chronik(t, "", "config", "check", "--config", file)
	if got.code != exitFailed || !strings.Contains(got.err, `did you mean "node-id"`) {
		t.Errorf("%+v", got)
	}
	if got := chronik(t, "", "config", "print", "-o", "json"); !json.Valid([]byte(got.out)) {
		t.Errorf("no JSON: %q", got.out)
	}
}

func TestCompletion(t *testing.T) {
	for shell, wants := range map[string][]string{
		"bash": {"complete -o default -F _chronik chronik", "create list describe alter delete", "--follow", "all leader none"},
		"zsh":  {"bashcompinit", "_chronik"},
		"fish": {"complete -c chronik", "-l follow -s f", "'text json'"},
	} {
		got := chronik(t, "", "completion", shell)
		for _, want := range wants {
			if got.code != exitOK || !strings.Contains(got.out, want) {
				t.Errorf("%s: exit code %d, no %q", shell, got.code, want)
			}
		}
	}
	if got := chronik(t, "", "completion", "cmd"); got.code != exitUsage {
		t.Errorf("%+v", got)
	}
}

// TestBashCompletes asks a real shell, where there is one.
func TestBashCompletes(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	script := chronik(t, "", "completion", "bash").out
	for line, want := range map[string]string{
		"chronik to":                          "topic",
		"chronik topic ":                      "create list describe alter delete --help",
		"chronik topic create --par":          "--partitions",
		"chronik produce x --acks ":           "all leader none",
		"chronik topic list --output ":        "text json",
		"chronik --server x topic del":        "delete",
		"chronik consume topic --follow --fr": "--from",
	} {
		words := strings.Split(line, " ")
		ask := script + "\nCOMP_WORDS=(" + strings.Join(words[:len(words)-1], " ") + " \"" + words[len(words)-1] + "\")\n" +
			"COMP_CWORD=$((${#COMP_WORDS[@]}-1))\n_chronik\necho \"${COMPREPLY[*]}\"\n"
		out, err := exec.Command(bash, "-c", ask).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%q completes to %q, want %q (%v)", line, got, want, err)
		}
	}
}

func TestParseStart(t *testing.T) {
	for from, check := range map[string]func(start) bool{
		"earliest":                  func(s start) bool { return s == start{} },
		"latest":                    func(s start) bool { return s.latest },
		"42":                        func(s start) bool { return s.offset != nil && *s.offset == 42 },
		"0":                         func(s start) bool { return s.offset != nil && *s.offset == 0 },
		"-10":                       func(s start) bool { return s.tail == 10 },
		"2026-01-31T12:00:00Z":      func(s start) bool { return s.time.Unix() == 1769860800 },
		"2026-01-31T13:00:00+01:00": func(s start) bool { return s.time.Unix() == 1769860800 },
	} {
		if s, err := parseStart(from); err != nil || !check(s) {
			t.Errorf("%s: %+v, %v", from, s, err)
		}
	}
}
