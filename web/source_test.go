package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// sources are the files of static that are ours, by path below it.
func sources(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := fs.WalkDir(static, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(name, "static/lib/") {
			return err
		}
		text, err := static.ReadFile(name)
		all[strings.TrimPrefix(name, "static/")] = string(text)
		return err
	})
	if err != nil || len(all) < 15 {
		t.Fatalf("%d files, %v", len(all), err)
	}
	return all
}

var (
	imported  = regexp.MustCompile(`(?m)^import .*from '([^']+)';`)
	asset     = regexp.MustCompile(`"(/assets/[^"]+)"`)
	importMap = regexp.MustCompile(`(?s)<script type="importmap">(.*?)</script>`)
)

// Each file that a page or module names exists, and each that exists is named.
func TestReferences(t *testing.T) {
	files, c := sources(t), New()
	var bare struct{ Imports map[string]string }
	if err := json.Unmarshal([]byte(importMap.FindStringSubmatch(files["index.html"])[1]), &bare); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{"/": true}
	for _, target := range bare.Imports {
		used[target] = true
		if !c.Has(target) {
			t.Errorf("the import map names %s", target)
		}
	}
	for name, text := range files {
		for _, m := range asset.FindAllStringSubmatch(text, -1) {
			used[m[1]] = true
			if !c.Has(m[1]) {
				t.Errorf("%s names %s", name, m[1])
			}
		}
		for _, m := range imported.FindAllStringSubmatch(text, -1) {
			target := "/assets/" + path.Join(path.Dir(name), m[1])
			if !strings.HasPrefix(m[1], "./") {
				target = bare.Imports[m[1]]
			}
			used[target] = true
			if !c.Has(target) {
				t.Errorf("%s imports %s", name, m[1])
			}
		}
	}
	for target := range c.files {
		if !used[target] && !strings.HasPrefix(target, "/assets/lib/LICENSE") && target != "/assets/lib/README.md" {
			t.Errorf("nothing uses %s", target)
		}
	}
}

// operations are the methods of each path of openapi.yaml.
func operations(t *testing.T) map[string]map[string]any {
	t.Helper()
	text, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]any
	}
	if err := yaml.Unmarshal(text, &doc); err != nil || len(doc.Paths) < 10 {
		t.Fatalf("%d paths, %v", len(doc.Paths), err)
	}
	return doc.Paths
}

var (
	literal = regexp.MustCompile(`'(/(?:v1/|metrics|livez|readyz|openapi)[^']*)'`)
	called  = regexp.MustCompile(`\b(get|post|put|patch|del)\(\s*(?:'([^']+)'|(\w+))`)
	shown   = regexp.MustCompile(`\bcurl\('(\w+)',\s*'([^']+)'`)
	named   = regexp.MustCompile(`(?m)^const (\w+) = '(/v1/[^']+)';`)
)

// The pages call, and show, what openapi.yaml has, and write it the same way.
func TestOperationsExist(t *testing.T) {
	known := operations(t)
	check := func(name, method, path string) {
		if method = strings.ToLower(method); method == "del" {
			method = "delete"
		}
		if known[path][method] == nil {
			t.Errorf("%s: openapi.yaml has no %s %s", name, method, path)
		}
	}
	calls := 0
	for name, text := range sources(t) {
		constants := make(map[string]string)
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			constants[m[1]] = m[2]
		}
		for _, m := range literal.FindAllStringSubmatch(text, -1) {
			if known[m[1]] == nil {
				t.Errorf("%s: openapi.yaml has no path %s", name, m[1])
			}
		}
		for _, m := range called.FindAllStringSubmatch(text, -1) {
			if target := m[2] + constants[m[3]]; target != "" {
				check(name, m[1], target)
				calls++
			}
		}
		for _, m := range shown.FindAllStringSubmatch(text, -1) {
			check(name, m[1], m[2])
			calls++
		}
	}
	if calls < 25 {
		t.Errorf("only %d calls were found: does this test still read the modules?", calls)
	}
}

// forbidden is what would put a record into a page as markup, or would need a
// weaker policy.
var forbidden = regexp.MustCompile(`innerHTML|outerHTML|insertAdjacent|dangerouslySet|document\.write|\beval\(|` +
	`new Function|style=|javascript:|\bon[a-z]+="`)

func TestModulesKeepTheRules(t *testing.T) {
	leftover := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b|console\.log`)
	for name, text := range sources(t) {
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		if len(lines) > 300 {
			t.Errorf("%s has %d lines, at most 300", name, len(lines))
		}
		for i, line := range lines {
			if n := len([]rune(line)); n > 120 && path.Ext(name) != ".svg" {
				t.Errorf("%s:%d: %d columns, at most 120", name, i+1, n)
			}
			if bad := forbidden.FindString(line) + leftover.FindString(line); bad != "" {
				t.Errorf("%s:%d: %s", name, i+1, bad)
			}
		}
		// Who wants less motion gets none: nobody does.
		if moves := regexp.MustCompile(`\b(transition|animation|scroll-behavior)\b|smooth`).FindString(text); moves != "" {
			t.Errorf("%s: %s, which prefers-reduced-motion does not know of", name, moves)
		}
		if path.Ext(name) != ".js" {
			continue
		}
		if !strings.HasPrefix(text, "// ") {
			t.Errorf("%s does not begin by saying what it is", name)
		}
		for i, line := range lines {
			if strings.HasPrefix(line, "export function") || strings.HasPrefix(line, "export class") {
				if i == 0 || !strings.HasPrefix(lines[i-1], "// ") {
					t.Errorf("%s:%d: an export without a comment", name, i+1)
				}
			}
		}
	}
}

// The libraries are what lib/README.md says, and each has its licence.
func TestLibraries(t *testing.T) {
	table, err := static.ReadFile("static/lib/README.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^\| (\S+) \| (\w+): \S+ \| \d+\.\d+\.\d+ \| (?:MIT|Apache-2\.0) \| ([0-9a-f]{64}) \|$`)
	listed := make(map[string]bool)
	for _, m := range row.FindAllStringSubmatch(string(table), -1) {
		listed[m[1]] = true
		content, err := static.ReadFile("static/lib/" + m[1])
		sum := sha256.Sum256(content)
		if err != nil || hex.EncodeToString(sum[:]) != m[3] {
			t.Errorf("%s is not the file that README.md lists: %v", m[1], err)
		}
		licence, err := static.ReadFile("static/lib/LICENSE-" + m[2] + ".txt")
		if err != nil || !bytes.Contains(bytes.ToLower(licence), []byte("license")) {
			t.Errorf("%s has no licence: %v", m[1], err)
		}
	}
	entries, err := fs.ReadDir(static, "static/lib")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !listed[e.Name()] && !strings.HasPrefix(e.Name(), "LICENSE-") && e.Name() != "README.md" {
			t.Errorf("README.md does not list %s", e.Name())
		}
	}
}
