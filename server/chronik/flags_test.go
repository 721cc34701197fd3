package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

const operationsFile = "../../docs/OPERATIONS.md"

// docs/OPERATIONS.md lists every flag of every command.
func TestFlagsAreDocumented(t *testing.T) {
	var cli CLI
	parser := newParser(&cli, Streams{Out: &strings.Builder{}, Err: &strings.Builder{}})
	var b strings.Builder
	writeFlags(&b, parser.Model.Node)
	want := b.String()
	if strings.Contains(want, "|  |\n") {
		t.Error("a flag has no help")
	}
	raw, err := os.ReadFile(operationsFile)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- generated: flags -->\n", "<!-- end: flags -->\n"
	head, rest, found := strings.Cut(string(raw), begin)
	got, tail, closed := strings.Cut(rest, end)
	switch {
	case !found || !closed:
		t.Fatalf("%s lacks the markers %s%s", operationsFile, begin, end)
	case got == want:
	case os.Getenv("CHRONIK_UPDATE") != "":
		if err := os.WriteFile(operationsFile, []byte(head+begin+want+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the flags in %s are not what the code says: run CHRONIK_UPDATE=1 go test ./server/chronik "+
			"-run TestFlagsAreDocumented", operationsFile)
	}
}

// writeFlags writes the table of each command that can be run, in the order of
// the help.
func writeFlags(b *strings.Builder, n *kong.Node) {
	for _, child := range n.Children {
		if !child.Hidden {
			writeFlags(b, child)
		}
	}
	if len(n.Children) > 0 || n.Type == kong.ApplicationNode {
		return
	}
	fmt.Fprintf(b, "### chronik %s\n\n%s\n\n", n.Path(), n.Help)
	rows := 0
	for _, arg := range n.Positional {
		rows += row(b, rows, arg.Summary(), "", arg)
	}
	for _, group := range n.AllFlags(true) {
		for _, f := range group {
			if f.Name == "help" || f.Hidden {
				continue
			}
			name := "--" + f.Name
			if f.Tag.Negatable != "" {
				name = "--[no-]" + f.Name
			}
			if f.Short != 0 {
				name = fmt.Sprintf("-%c, %s", f.Short, name)
			}
			if !f.IsBool() {
				name += "=" + f.FormatPlaceHolder()
			}
			rows += row(b, rows, name, strings.Join(f.Envs, ", "), f.Value)
		}
	}
	if rows > 0 {
		b.WriteString("\n")
	}
}

// row writes a line of a table, the head before the first.
func row(b *strings.Builder, before int, name, env string, v *kong.Value) int {
	if before == 0 {
		b.WriteString("| Flag | Variable | Default | What it is |\n|---|---|---|---|\n")
	}
	code := func(s string) string {
		if s == "" {
			return ""
		}
		return "`" + strings.ReplaceAll(s, "|", `\|`) + "`"
	}
	fmt.Fprintf(b, "| %s | %s | %s | %s |\n", code(name), code(env), code(v.Default), strings.ReplaceAll(v.Help, "|", `\|`))
	return 1
}
