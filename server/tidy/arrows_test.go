package tidy

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// arrow allows the packages under from to import the module's packages under
// to, and no others. The first arrow whose from matches counts, so the special
// cases come first. A name ending in "/..." means everything below it, too.
type arrow struct {
	from string
	to   []string
}

var arrows = []arrow{
	// Pure cores know next to nothing.
	{"storage/record", nil},
	{"raft/meta", nil},
	{"server/partition", []string{"storage/record"}},

	{"storage/...", []string{"storage/..."}},
	{"raft/...", []string{"raft/...", "storage/..."}},

	// What clients see: they know the wire, not the server.
	{"server/client", []string{"storage/record"}},
	{"server/loadgen", nil},
	{"server/backup", []string{"server/client", "storage/record"}},
	{"server/config", nil},

	// Wiring and commands stand on top of everything.
	{"server/chronik", []string{"server/...", "api/...", "kafka/...", "web", "storage/record"}},
	{"server/node/systemd", nil},
	{"server/node", []string{"server/...", "api/...", "kafka/...", "web", "raft/...", "storage/..."}},
	{"server/servertest", []string{"server/...", "api/...", "kafka/...", "raft/...", "storage/..."}},
	{"server/tracedemo", nil},
	{"server/realrun", []string{"server/client", "storage/record"}},

	// Adapters turn a protocol into calls of the broker; they never meet.
	{"api/client", nil},
	{"api/...", []string{"api/...", "server/...", "raft/...", "storage/..."}},
	{"kafka/...", []string{"kafka/...", "server/...", "raft/...", "storage/..."}},
	{"web", nil},

	// The domain.
	{"server/...", []string{"server/...", "raft/...", "storage/..."}},
	{"server", []string{"server/...", "raft/...", "storage/..."}},
}

// top are packages that only packages in their list may import, whatever the
// arrows say.
var top = map[string][]string{
	"server/chronik":    {},
	"server/node":       {"server/chronik", "server/servertest"},
	"server/servertest": {},
	"server/sim":        {},
	"server/client":     {"server/chronik", "server/realrun", "server/backup"},
	"server/backup":     {"server/chronik"},
	"server/loadgen":    {"server/chronik"},
	"server/config":     {"server/chronik", "server/node", "server/servertest", "server/telemetry", "server/tidy", "api"},
}

// owned are libraries that one package wraps for all others.
var owned = map[string]string{
	"github.com/dgraph-io/badger": "storage/kv",
	"go.etcd.io/raft":             "raft server/sim",
	"github.com/alecthomas/kong":  "server/chronik server/config",
}

type listedPackage struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []listedPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Imports", "./...")
	cmd.Dir = root
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, complaint.Bytes())
	}
	var all []listedPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listedPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if ours(p.ImportPath) {
			all = append(all, p)
		}
	}
}

func ours(path string) bool { return path == module || strings.HasPrefix(path, module+"/") }

func below(path string) string { return strings.TrimPrefix(strings.TrimPrefix(path, module), "/") }

func matches(pattern, path string) bool {
	prefix, wild := strings.CutSuffix(pattern, "/...")
	return path == prefix || (wild && strings.HasPrefix(path, prefix+"/"))
}

func anyMatches(patterns []string, path string) bool {
	for _, p := range patterns {
		if matches(p, path) {
			return true
		}
	}
	return false
}

func TestArrows(t *testing.T) {
	for _, p := range packages(t) {
		from := below(p.ImportPath)
		allowed, found := []string(nil), false
		for _, a := range arrows {
			if matches(a.from, from) {
				allowed, found = a.to, true
				break
			}
		}
		if !found && from != "" {
			t.Errorf("no arrow says what %s may import: add one", from)
		}
		for _, imported := range p.Imports {
			checkImport(t, from, imported, allowed)
		}
	}
}

func checkImport(t *testing.T, from, imported string, allowed []string) {
	t.Helper()
	for library, owner := range owned {
		if strings.HasPrefix(imported, library) && !anyMatches(strings.Fields(owner), from) {
			t.Errorf("%s imports %s, which only %s may", from, imported, owner)
		}
	}
	if !ours(imported) {
		return
	}
	to := below(imported)
	if !anyMatches(allowed, to) && to != from {
		t.Errorf("%s must not import %s", from, to)
	}
	if users, guarded := top[to]; guarded && !anyMatches(users, from) {
		t.Errorf("%s must not import %s: only %q may", from, to, users)
	}
}

func TestMatches(t *testing.T) {
	for _, tc := range []struct {
		pattern, path string
		want          bool
	}{
		{"api", "api", true}, {"api", "api/gen", false}, {"api/...", "api", true}, {"api/...", "api/gen", true},
		{"api/...", "apix", false}, {"raft/meta", "raft", false},
	} {
		if matches(tc.pattern, tc.path) != tc.want {
			t.Errorf("matches(%q, %q) = %v", tc.pattern, tc.path, !tc.want)
		}
	}
}
