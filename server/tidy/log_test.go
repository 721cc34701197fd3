package tidy

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// logCalls are the methods of slog.Logger with keys, by how many arguments
// come before the first.
var logCalls = map[string]int{
	"Debug": 1, "Info": 1, "Warn": 1, "Error": 1,
	"DebugContext": 2, "InfoContext": 2, "WarnContext": 2, "ErrorContext": 2,
	"Log": 3, "With": 0,
}

// logKey is how the keys of log lines are spelled.
var logKey = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// TestLogLines holds every log line to one spelling of keys, "error" for an
// error above all: who searches a log has one word to search for.
func TestLogLines(t *testing.T) {
	lines := 0
	for _, s := range sources(t) {
		if s.test() {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if fault, is := logFault(call); is {
				lines++
				if fault != "" {
					t.Errorf("%s:%d: %s", s.path, s.line(call.Pos()), fault)
				}
			}
			return true
		})
	}
	if lines < 80 {
		t.Errorf("only %d log lines were found", lines)
	}
}

// logFault tells what is wrong with a call that logs, if it is one.
func logFault(call *ast.CallExpr) (fault string, is bool) {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return "", false
	}
	first, known := logCalls[method.Sel.Name]
	if !known || !logger(method.X) || len(call.Args) < first {
		return "", false
	}
	if first > 0 && strings.HasSuffix(text(call.Args[first-1]), "\n") {
		return "the message ends with a line's end", true
	}
	args := call.Args[first:]
	if call.Ellipsis.IsValid() {
		return "", true
	}
	if len(args)%2 != 0 {
		return "a key without a value, or a value without a key", true
	}
	for i := 0; i < len(args); i += 2 {
		key := text(args[i])
		switch name, _ := args[i+1].(*ast.Ident); {
		case key == "" && !constantName(args[i]):
			return "a key that is no constant", true
		case key != "" && !logKey.MatchString(key):
			return "the key " + key + " is not spelled like_this", true
		case key == "err", name != nil && name.Name == "err" && key != "error":
			return "the key of an error is \"error\", not " + strconv.Quote(key), true
		}
	}
	return "", true
}

// logger tells whether an expression is a logger, by its name.
func logger(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return slices.Contains([]string{"l", "log", "logger"}, x.Name)
	case *ast.SelectorExpr:
		return slices.Contains([]string{"l", "log", "logger", "Logger"}, x.Sel.Name)
	}
	return false
}

// text is the value of a string literal, or nothing.
func text(x ast.Expr) string {
	lit, ok := x.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	value, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return value
}

// constantName tells whether an expression may name a constant.
func constantName(x ast.Expr) bool {
	_, ok := x.(*ast.Ident)
	return ok
}

// The check finds what is wrong.
func TestLogFault(t *testing.T) {
	for line, want := range map[string]string{
		`l.Info("ready", "node_id", n, "error", err)`:      "",
		`c.o.Logger.WarnContext(ctx, "x", "topic", t)`:     "",
		`l.Log(ctx, level, "x", attrs...)`:                 "",
		`n.log.Warn("x", "err", nil)`:                      `the key of an error is "error", not "err"`,
		`n.log.Warn("x", "cause", err)`:                    `the key of an error is "error", not "cause"`,
		`n.log.Warn("x", "topicID", id)`:                   "the key topicID is not spelled like_this",
		`n.log.With("topic")`:                              "a key without a value, or a value without a key",
		`n.log.Error("x\n")`:                               "the message ends with a line's end",
		`n.log.ErrorContext(ctx, "x", fmt.Sprint("k"), 1)`: "a key that is no constant",
	} {
		x, err := parser.ParseExpr(line)
		if err != nil {
			t.Fatal(err)
		}
		if fault, is := logFault(x.(*ast.CallExpr)); !is || fault != want {
			t.Errorf("%s: %q, %v, want %q", line, fault, is, want)
		}
	}
}
