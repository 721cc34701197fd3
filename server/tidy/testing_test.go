package tidy

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
)

// docs/TESTING.md names tests that there are, in the packages that it says.
func TestNamedTestsExist(t *testing.T) {
	tree := os.DirFS(root)
	page, err := fs.ReadFile(tree, "docs/TESTING.md")
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile("`([a-z0-9/]+)`|\\b(Test[A-Z][A-Za-z0-9]*)")
	checked := 0
	for _, row := range strings.Split(string(page), "\n") {
		if !strings.HasPrefix(row, "|") {
			continue
		}
		dir := ""
		for _, m := range name.FindAllStringSubmatch(row, -1) {
			if m[1] != "" {
				dir = m[1]
				continue
			}
			if checked++; !hasTest(t, tree, dir, m[2]) {
				t.Errorf("%s has no %s", dir, m[2])
			}
		}
	}
	if checked < 50 {
		t.Errorf("%d tests are named", checked)
	}
}

func hasTest(t *testing.T, tree fs.FS, dir, test string) bool {
	t.Helper()
	files, err := fs.Glob(tree, dir+"/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := fs.ReadFile(tree, file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "\nfunc "+test+"(") {
			return true
		}
	}
	return false
}
