package tidy

import (
	"go/ast"
	"reflect"
	"testing"

	"github.com/chroniklog/chronik/server/config"
)

// elsewhere are settings without a use outside package config: those that this
// version accepts and does not use, as their help says, and the one that
// Validate itself obeys.
var elsewhere = map[string]bool{"kafka": true, "peer": true, "peers": true, "join": true, "insecure": true}

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
