package compat

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// kgoSkipped are tests of franz-go's suite that need what Chronik has not.
var kgoSkipped = map[string]string{
	"TestTxnEtl":                  "transactions",
	"TestSCRAMAuth":               "SASL",
	"TestSCRAMAuthBadCredentials": "SASL",
	"TestShareGroup":              "share groups",
	"TestShareGroupETL":           "share groups",
	"TestShareGroupAckOnClose":    "share groups",
	"TestShareGroupOffsetsAdmin":  "share groups",
}

// TestKgo runs franz-go's own suite: on one node with replication factor 1, on
// three with 3.
func TestKgo(t *testing.T) {
	full := wanted(t)
	dir := kgoSuite(t)
	for _, nodes := range []int{1, 3} {
		t.Run(strconv.Itoa(nodes)+" nodes", func(t *testing.T) {
			records := "20000"
			if full {
				records = "200000"
			}
			var skip []string
			for name := range kgoSkipped {
				skip = append(skip, name)
			}
			slices.Sort(skip)
			c := command{dir: dir, limit: 15 * time.Minute, env: []string{
				"KGO_SEEDS=" + start(t, nodes, 1), "KGO_TEST_RF=" + strconv.Itoa(nodes),
				"KGO_TEST_RECORDS=" + records, "GOFLAGS=-mod=mod",
			}}
			out, err := c.run(t, "go", "test", "-count=1", "-timeout", "14m", "-v",
				"-skip", "^("+strings.Join(skip, "|")+")$", ".")
			passed := regexp.MustCompile(`(?m)^--- PASS: `).FindAllString(out, -1)
			failed := regexp.MustCompile(`(?m)^\s*--- FAIL: .*`).FindAllString(out, -1)
			t.Logf("%d tests passed, %d were left out", len(passed), len(skip))
			if err != nil || len(passed) < 100 {
				t.Errorf("%v\n%s\n%s", err, strings.Join(failed, "\n"), tail(out))
			}
		})
	}
}

// kgoSuite makes a copy of the module that may be written to, of the version
// that go.mod names, and returns the folder of the client's tests.
func kgoSuite(t *testing.T) string {
	t.Helper()
	var module struct{ Dir, Version string }
	list := command{only: true}.must(t, "go", "list", "-m", "-json", "github.com/twmb/franz-go")
	if err := json.Unmarshal([]byte(list), &module); err != nil {
		t.Fatal(err)
	}
	if module.Dir == "" {
		download := command{only: true, limit: 5 * time.Minute}.must(t,
			"go", "mod", "download", "-json", "github.com/twmb/franz-go@"+module.Version)
		if err := json.Unmarshal([]byte(download), &module); err != nil {
			t.Fatal(err)
		}
	}
	dir := workDir(t, "franz-go-"+module.Version)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(module.Dir)); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "pkg", "kgo")
}
