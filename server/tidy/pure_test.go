package tidy

import (
	"go/ast"
	"slices"
	"strconv"
	"testing"
)

// pure are the packages whose output depends on their input alone: that is
// what lets a simulator run the real code.
var pure = []string{"storage/record", "raft/meta", "server/partition", "server/group", "server/txn"}

// impureImports reach a clock, a device, a log or chance.
var impureImports = []string{
	"os", "os/exec", "os/signal", "net", "net/http", "io/fs", "io/ioutil", "syscall", "log", "log/slog",
	"math/rand", "math/rand/v2", "crypto/rand", "context", "runtime", "golang.org/x/sys/unix",
}

// impureCalls of package time read or wait for a clock.
var impureCalls = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"}

func TestPureCores(t *testing.T) {
	for _, s := range sources(t) {
		if s.test() || !slices.Contains(pure, s.dir()) {
			continue
		}
		for _, spec := range s.file.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if slices.Contains(impureImports, path) {
				t.Errorf("%s:%d: a pure core imports %s", s.path, s.line(spec.Pos()), path)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch x := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s:%d: a pure core starts a goroutine", s.path, s.line(x.Pos()))
			case *ast.SelectorExpr:
				if on, ok := x.X.(*ast.Ident); ok && on.Name == "time" && slices.Contains(impureCalls, x.Sel.Name) {
					t.Errorf("%s:%d: a pure core calls time.%s", s.path, s.line(x.Pos()), x.Sel.Name)
				}
			}
			return true
		})
	}
}

// The domain gets its clock from outside, so that tests can turn it.
func TestTheDomainHasNoClock(t *testing.T) {
	for _, s := range sources(t) {
		if s.test() || !slices.Contains([]string{"server", "server/replica"}, s.dir()) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if x, ok := call.Fun.(*ast.SelectorExpr); ok {
				if on, ok := x.X.(*ast.Ident); ok && on.Name == "time" && slices.Contains([]string{"Now", "Since"}, x.Sel.Name) {
					t.Errorf("%s:%d: calls time.%s: take the clock of the options", s.path, s.line(x.Pos()), x.Sel.Name)
				}
			}
			return true
		})
	}
}
