package tidy

import (
	"go/ast"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// leftover marks work that was put off. It is spelled in parts so that it does
// not find itself.
var leftover = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X|HA` + `CK)\b`)

func TestNothingIsPutOff(t *testing.T) {
	for _, s := range sources(t) {
		for i, line := range s.lines() {
			if mark := leftover.Find(line); mark != nil {
				t.Errorf("%s:%d: %s: do it, or describe what is missing in docs/", s.path, i+1, mark)
			}
		}
	}
}

// hollow are words that say nothing about what a thing is.
var hollow = regexp.MustCompile(`(?i)(helper|manager|util|utils|misc|common)$`)

func TestNamesSaySomething(t *testing.T) {
	for _, s := range sources(t) {
		stem := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(s.path), ".go"), "_test")
		if hollow.MatchString(stem) || hollow.MatchString(s.file.Name.Name) {
			t.Errorf("%s: name the file and package after what they hold", s.path)
		}
		for _, d := range s.file.Decls {
			eachType(d, func(spec *ast.TypeSpec, _ *ast.CommentGroup) {
				if hollow.MatchString(spec.Name.Name) {
					t.Errorf("%s:%d: type %s: name it after what it is", s.path, s.line(spec.Pos()), spec.Name.Name)
				}
			})
		}
	}
}

func eachType(d ast.Decl, visit func(*ast.TypeSpec, *ast.CommentGroup)) {
	g, ok := d.(*ast.GenDecl)
	if !ok || g.Tok != token.TYPE {
		return
	}
	for _, spec := range g.Specs {
		typ := spec.(*ast.TypeSpec)
		doc := typ.Doc
		if doc == nil && !g.Lparen.IsValid() {
			doc = g.Doc
		}
		visit(typ, doc)
	}
}

func TestPackagesAreDocumented(t *testing.T) {
	documented := make(map[string]bool)
	for _, s := range sources(t) {
		if s.test() {
			continue
		}
		documented[s.dir()] = documented[s.dir()] || s.file.Doc.Text() != ""
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("package %s has no comment that says what it is for", dir)
		}
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	for _, s := range sources(t) {
		if s.test() {
			continue
		}
		for _, d := range s.file.Decls {
			checkDocumented(t, s, d)
		}
	}
}

func checkDocumented(t *testing.T, s source, d ast.Decl) {
	t.Helper()
	missing := func(name *ast.Ident) {
		t.Errorf("%s:%d: exported %s has no comment", s.path, s.line(name.Pos()), name.Name)
	}
	if f, ok := d.(*ast.FuncDecl); ok {
		known := f.Recv != nil && slices.Contains(familiar, f.Name.Name)
		if f.Name.IsExported() && f.Doc == nil && receiverIsExported(f) && !known {
			missing(f.Name)
		}
		return
	}
	eachType(d, func(spec *ast.TypeSpec, doc *ast.CommentGroup) {
		if spec.Name.IsExported() && doc == nil {
			missing(spec.Name)
		}
	})
	g, ok := d.(*ast.GenDecl)
	if !ok || (g.Tok != token.CONST && g.Tok != token.VAR) || g.Doc != nil {
		return // a comment on the group speaks for its members
	}
	for _, spec := range g.Specs {
		v := spec.(*ast.ValueSpec)
		for _, name := range v.Names {
			if name.IsExported() && v.Doc == nil && v.Comment == nil {
				missing(name)
			}
		}
	}
}

// familiar are methods whose meaning their interface gives.
var familiar = []string{"Error", "Unwrap", "Is", "As", "String"}

// receiverIsExported is false for methods that nobody outside can name.
func receiverIsExported(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	typ := f.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.IndexListExpr:
			typ = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}
