package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// parse runs a command line over a command that embeds Config.
func parse(t *testing.T, args ...string) (Config, error) {
	t.Helper()
	var cli struct {
		Serve struct {
			Config
		} `cmd:""`
	}
	parser, err := kong.New(&cli, kong.Name("chronik"), kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(append([]string{"serve"}, args...))
	return cli.Serve.Config, err
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "chronik.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaultIsValidAndDeaf(t *testing.T) {
	t.Setenv("CHRONIK_NODE_ID", "7")
	c := Default()
	if c.NodeID != 1 || c.HTTP != "127.0.0.1:8080" || c.MaxRecordBytes != 1<<20 || !c.AutoCreateTopics {
		t.Errorf("unexpected defaults: %+v", c)
	}
	if err := c.Validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
}

func TestPrecedence(t *testing.T) {
	file := writeFile(t, "node-id: 3\ndefault-partitions: 30\nlog-level: debug\npeers:\n  - 1@a:1\n  - 4@b:2\n")
	t.Setenv("CHRONIK_DEFAULT_PARTITIONS", "20")
	t.Setenv("CHRONIK_NODE_ID", "2")
	c, err := parse(t, "--config", file, "--node-id", "1")
	if err != nil {
		t.Fatal(err)
	}
	if c.NodeID != 1 || c.DefaultPartitions != 20 || c.LogLevel != "debug" || c.MaxBatchRecords != 10000 {
		t.Errorf("flag %d, env %d, file %q, default %d", c.NodeID, c.DefaultPartitions, c.LogLevel, c.MaxBatchRecords)
	}
	if strings.Join(c.Peers, " ") != "1@a:1 4@b:2" {
		t.Errorf("list from the file: %q", c.Peers)
	}
}

func TestFileFromEnvironment(t *testing.T) {
	t.Setenv("CHRONIK_CONFIG", writeFile(t, "data-dir: /elsewhere\nauto-create-topics: false\njournal-bytes: 8MiB\n"+
		"shutdown-timeout: 5s\nops:\n"))
	c, err := parse(t)
	if err != nil {
		t.Fatal(err)
	}
	if c.DataDir != "/elsewhere" || c.AutoCreateTopics || c.JournalBytes != 8<<20 || c.ShutdownTimeout != 5*time.Second {
		t.Errorf("from the file: %+v", c)
	}
}

func TestBadFiles(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"unknown key": {"a: 1", `line 1: unknown key "a"`},
		"near key":    {"node-id: 1\ndata-dri: x\n", `line 2: unknown key "data-dri", did you mean "data-dir"?`},
		"config key":  {"config: x\n", `unknown key "config"`},
		"twice":       {"node-id: 1\nnode-id: 2\n", "twice"},
		"not a map":   {"- node-id\n", `one "name: value" per line`},
		"nested":      {"peers:\n  a: b\n", "plain value or a list"},
		"comma":       {"peers: ['1@a:1,2@b:2']\n", "without commas"},
		"no yaml":     {"node-id: [1\n", "yaml"},
		"bad number":  {"node-id: one\n", "--node-id"},
		"bad size":    {"journal-bytes: 3 apples\n", "is not a size"},
		"big":         {"# " + strings.Repeat("x", maxFileBytes), "at most"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(t, "--config", writeFile(t, tc.text))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if _, err := parse(t, "--config", filepath.Join(t.TempDir(), "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func TestUnknownFlagNamesTheNearest(t *testing.T) {
	_, err := parse(t, "--data-dor", "x")
	if err == nil || !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("got %v", err)
	}
}

func TestBytes(t *testing.T) {
	for text, want := range map[string]Bytes{
		"0": 0, "17": 17, "1k": 1 << 10, "64KiB": 64 << 10, "3 MB": 3 << 20, "2GiB": 2 << 30, "1tib": 1 << 40, "5B": 5,
	} {
		var b Bytes
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("%q: %d, %v; want %d", text, b, err, want)
		}
		var again Bytes
		if err := again.UnmarshalText([]byte(b.String())); err != nil || again != b {
			t.Errorf("%q does not survive its own text %q: %v", text, b, err)
		}
	}
	for _, text := range []string{"", "x", "-1", "1.5MiB", "1PiB", "9223372036854775807KiB", "1 2", "MiB"} {
		var b Bytes
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was accepted as %d", text, b)
		}
	}
}

func FuzzFile(f *testing.F) {
	f.Add([]byte("node-id: 1\npeers: [a, b]\n"))
	f.Add([]byte("- a\n"))
	f.Add([]byte("node-id: &a {b: *a}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		names := []string{"node-id", "peers"}
		values, err := parseFile(text, names)
		if err != nil && values != nil {
			t.Errorf("values beside an error: %v", values)
		}
		for key := range values {
			if key != names[0] && key != names[1] {
				t.Errorf("unknown key %q got through", key)
			}
		}
	})
}
