package tidy

import (
	"bytes"
	"go/ast"
	"regexp"
	"slices"
	"testing"
	"unicode/utf8"
)

// Limits of CONTRIBUTING.md.
const (
	maxFileLines         = 600
	maxTestFileLines     = 800
	maxMedianLines       = 150
	maxFunctionLines     = 70
	maxTestFunctionLines = 120 // a table is data
	maxParameters        = 5
	maxColumns           = 120
)

func TestFileSizes(t *testing.T) {
	var lengths []int
	for _, s := range sources(t) {
		limit, n := maxFileLines, len(s.lines())
		if s.test() {
			limit = maxTestFileLines
		} else {
			lengths = append(lengths, n)
		}
		if n > limit {
			t.Errorf("%s has %d lines, at most %d", s.path, n, limit)
		}
	}
	slices.Sort(lengths)
	if median := lengths[len(lengths)/2]; median > maxMedianLines {
		t.Errorf("the median file has %d lines, at most %d", median, maxMedianLines)
	}
}

func TestFunctionSizes(t *testing.T) {
	for _, s := range sources(t) {
		limit := maxFunctionLines
		if s.test() {
			limit = maxTestFunctionLines
		}
		s.functions(func(f *ast.FuncDecl) {
			if n := s.line(f.End()) - s.line(f.Pos()) + 1; n > limit {
				t.Errorf("%s:%d: %s has %d lines, at most %d", s.path, s.line(f.Pos()), f.Name.Name, n, limit)
			}
			if n := f.Type.Params.NumFields(); n > maxParameters {
				t.Errorf("%s:%d: %s has %d parameters, at most %d", s.path, s.line(f.Pos()), f.Name.Name, n, maxParameters)
			}
		})
	}
}

// unbreakable matches lines that Go or their reader wants whole: struct tags
// and addresses.
var unbreakable = regexp.MustCompile("`[a-z]+:\"|https?://|^//go:generate")

func TestColumns(t *testing.T) {
	for _, s := range sources(t) {
		for i, line := range s.lines() {
			columns := utf8.RuneCount(line)
			if columns > maxColumns && !unbreakable.Match(line) && !(s.test() && bytes.IndexByte(line, '"') >= 0) {
				t.Errorf("%s:%d: %d columns, at most %d", s.path, i+1, columns, maxColumns)
			}
		}
	}
}
