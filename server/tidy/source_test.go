package tidy

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// root is the module's directory as tests see it.
const root = "../.."

// module is the module's path.
const module = "github.com/chroniklog/chronik"

// source is one Go file that people write.
type source struct {
	path string // below root, with slashes
	text []byte
	file *ast.File
	set  *token.FileSet
}

func (s source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

// dir is the package's directory below root.
func (s source) dir() string { return filepath.ToSlash(filepath.Dir(s.path)) }

func (s source) lines() [][]byte {
	return bytes.Split(bytes.TrimSuffix(s.text, []byte("\n")), []byte("\n"))
}

func (s source) line(pos token.Pos) int { return s.set.Position(pos).Line }

// skipped are directories without source of ours.
var skipped = []string{".git", "bin", "data", "node_modules", "testdata", ".cache"}

// sources are all Go files of the module and of modules nested in it, but
// generated ones.
func sources(t *testing.T) []source {
	t.Helper()
	all, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("only %d files below %s: is this the module's root?", len(all), root)
	}
	return all
}

// parsed reads and parses once for all tests.
var parsed = sync.OnceValues(parseAll)

func parseAll() ([]source, error) {
	var all []source
	set := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if slices.Contains(skipped, entry.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(set, path, text, parser.ParseComments)
		if err != nil {
			return err
		}
		if ast.IsGenerated(file) {
			return nil
		}
		below, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		all = append(all, source{path: filepath.ToSlash(below), text: text, file: file, set: set})
		return nil
	})
	return all, err
}

// functions calls visit with every function declaration of s.
func (s source) functions(visit func(*ast.FuncDecl)) {
	for _, d := range s.file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			visit(f)
		}
	}
}
