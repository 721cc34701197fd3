package tidy

import (
	"go/ast"
	"reflect"
	"testing"

	"github.com/chroniklog/chronik/server/config"
)

// elsewhere are settings that package config itself obeys: Validate, and the
// parsing of the list of peers.
var elsewhere = map[string]bool{"insecure": true, "peers": true}

// TestEverySettingHasAnEffect looks for a use of each field of config.Config
// outside package config. A flag that does nothing is a lie.
func TestEverySettingHasAnEffect(t *testing.T) {
	used := make(map[string]bool)
	for _, s := range sources(t) {
		if s.test() || s.dir() == "server/config" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if x, ok := n.(*ast.SelectorExpr); ok {
				used[x.Sel.Name] = true
			}
			return true
		})
	}
	var check func(reflect.Type)
	check = func(group reflect.Type) {
		for i := range group.NumField() {
			field := group.Field(i)
			name := field.Tag.Get("name")
			switch {
			case field.Anonymous:
				check(field.Type)
			case name != "config" && !elsewhere[name] && !used[field.Name]:
				t.Errorf("--%s (config.%s) is read by nobody", name, field.Name)
			}
		}
	}
	check(reflect.TypeFor[config.Config]())
}
