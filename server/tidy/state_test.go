package tidy

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"
)

func TestNoInit(t *testing.T) {
	for _, s := range sources(t) {
		s.functions(func(f *ast.FuncDecl) {
			if f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s:%d: an init function: do it where somebody asks for it", s.path, s.line(f.Pos()))
			}
		})
	}
}

// makers are calls whose result is a value that nobody changes.
var makers = []string{
	"errors.New", "fmt.Errorf", "regexp.MustCompile", "crc32.MakeTable", "strings.NewReplacer", "template.Must",
	"reflect.TypeOf", "reflect.TypeFor", "big.NewInt", "netip.MustParsePrefix", "StdEncoding.Strict",
	"slices.Clip", "sync.OnceValue", "sync.OnceValues",
}

// TestNoMutableGlobals allows package-level variables that are constants in
// all but name: sentinel errors, expressions, tables, pools, interface guards,
// embedded files and what the linker sets. Nothing may assign to one.
func TestNoMutableGlobals(t *testing.T) {
	globals := make(map[string]map[string]bool) // by package directory
	all := sources(t)
	for _, s := range all {
		if s.test() {
			continue
		}
		if globals[s.dir()] == nil {
			globals[s.dir()] = make(map[string]bool)
		}
		for _, d := range s.file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				for i, name := range v.Names {
					globals[s.dir()][name.Name] = name.Name != "_"
					if !constantInAllButName(s, g, v, i) {
						t.Errorf("%s:%d: package-level variable %s", s.path, s.line(name.Pos()), name.Name)
					}
				}
			}
		}
	}
	for _, s := range all {
		if !s.test() {
			checkAssignments(t, s, globals[s.dir()])
		}
	}
}

func constantInAllButName(s source, g *ast.GenDecl, v *ast.ValueSpec, i int) bool {
	if v.Names[i].Name == "_" {
		return true
	}
	if i >= len(v.Values) {
		_, zeroes := v.Type.(*ast.ArrayType)
		return zeroes || embedded(g, v) || poolType(v.Type)
	}
	return constantValue(s, v.Values[i])
}

func constantValue(s source, value ast.Expr) bool {
	switch x := value.(type) {
	case *ast.CompositeLit, *ast.FuncLit:
		return true
	case *ast.BasicLit:
		return s.file.Name.Name == "main" // the linker sets it
	case *ast.UnaryExpr:
		_, table := x.X.(*ast.CompositeLit)
		return table
	case *ast.SelectorExpr:
		return strings.HasPrefix(x.Sel.Name, "Err") // a sentinel of another package under a local name
	case *ast.CallExpr:
		name := callName(x)
		if slices.Contains(makers, name) || strings.HasPrefix(name, "[]") {
			return true
		}
		// A function literal that is called at once builds a table.
		_, built := x.Fun.(*ast.FuncLit)
		return built
	}
	return false
}

func callName(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.SelectorExpr:
		switch on := f.X.(type) {
		case *ast.Ident:
			return on.Name + "." + f.Sel.Name
		case *ast.SelectorExpr:
			return on.Sel.Name + "." + f.Sel.Name
		}
	case *ast.IndexExpr:
		return callName(&ast.CallExpr{Fun: f.X})
	case *ast.ArrayType:
		return "[]"
	}
	return ""
}

func embedded(g *ast.GenDecl, v *ast.ValueSpec) bool {
	for _, doc := range []*ast.CommentGroup{g.Doc, v.Doc} {
		if doc == nil {
			continue
		}
		for _, c := range doc.List {
			if strings.HasPrefix(c.Text, "//go:embed ") {
				return true
			}
		}
	}
	return false
}

func poolType(typ ast.Expr) bool {
	x, ok := typ.(*ast.SelectorExpr)
	return ok && x.Sel.Name == "Pool"
}

// checkAssignments fails where a function assigns to a package-level variable.
// The parser has bound names that are declared in functions; what it left
// unbound, or bound to the package, is the package's.
func checkAssignments(t *testing.T, s source, globals map[string]bool) {
	t.Helper()
	for _, d := range s.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			assign, ok := n.(*ast.AssignStmt)
			if !ok || assign.Tok == token.DEFINE {
				return true
			}
			for _, target := range assign.Lhs {
				name := assigned(target)
				if name == nil || !globals[name.Name] {
					continue
				}
				if name.Obj == nil || s.file.Scope.Lookup(name.Name) == name.Obj {
					t.Errorf("%s:%d: assigns to package-level %s", s.path, s.line(name.Pos()), name.Name)
				}
			}
			return true
		})
	}
}

// assigned is the variable that an assignment to target changes.
func assigned(target ast.Expr) *ast.Ident {
	for {
		switch x := target.(type) {
		case *ast.Ident:
			return x
		case *ast.IndexExpr:
			target = x.X
		case *ast.SelectorExpr:
			target = x.X
		default:
			return nil
		}
	}
}
