package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chroniklog/chronik/api/middleware"
	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/partition"
)

// surface are the packages whose errors can reach the API.
var surface = []string{
	"server", "server/partition", "server/replica", "storage/record", "storage/plog", "raft", "raft/meta",
	"api/middleware", "server/group", "server/coordinator",
}

// Every exported sentinel of the packages below has a row in sentinels.
func TestEverySentinelIsMapped(t *testing.T) {
	mapped := mappedSentinels(t)
	for _, dir := range surface {
		for name := range exportedSentinels(t, filepath.Join("..", dir)) {
			if !mapped[dir+"."+name] {
				t.Errorf("%s.%s has no problem code: add it to sentinels", dir, name)
			}
		}
	}
}

// exportedSentinels are the Err… variables that a package declares itself, not
// those that it only renames.
func exportedSentinels(t *testing.T, dir string) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", dir, len(files), err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			addSentinels(names, decl)
		}
	}
	return names
}

func addSentinels(names map[string]bool, decl ast.Decl) {
	g, ok := decl.(*ast.GenDecl)
	if !ok || g.Tok != token.VAR {
		return
	}
	for _, spec := range g.Specs {
		v := spec.(*ast.ValueSpec)
		for i, name := range v.Names {
			if !strings.HasPrefix(name.Name, "Err") {
				continue
			}
			if i < len(v.Values) {
				if _, renamed := v.Values[i].(*ast.SelectorExpr); renamed {
					continue
				}
			}
			names[name.Name] = true
		}
	}
}

// mappedSentinels reads the sentinels table as "dir.Name".
func mappedSentinels(t *testing.T) map[string]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "problem_errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	dirs := make(map[string]string)
	for _, imp := range file.Imports {
		path := strings.Trim(imp.Path.Value, `"`)
		name := path[strings.LastIndexByte(path, '/')+1:]
		if imp.Name != nil {
			name = imp.Name.Name
		}
		dirs[name] = strings.TrimPrefix(path, "github.com/chroniklog/chronik/")
	}
	mapped := make(map[string]bool)
	ast.Inspect(file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if on, ok := sel.X.(*ast.Ident); ok {
				mapped[dirs[on.Name]+"."+sel.Sel.Name] = true
			}
		}
		return true
	})
	return mapped
}

// Each sentinel, wrapped once, becomes a problem of a code that exists, and
// only internal errors hide their text.
func TestSentinelsBecomeProblems(t *testing.T) {
	for _, m := range sentinels {
		p, _ := problemOf(fmt.Errorf("append orders/3: %w", m.sentinel))
		if p.Code != m.code {
			t.Errorf("%v: code %s, want %s", m.sentinel, p.Code, m.code)
		}
		hidden := !strings.Contains(p.Detail, m.sentinel.Error())
		if hidden != (m.code == CodeInternal) {
			t.Errorf("%v: detail %q", m.sentinel, p.Detail)
		}
	}
}

func TestProblemTable(t *testing.T) {
	seen := make(map[string]bool)
	for _, r := range problemTable {
		if seen[r.code] {
			t.Errorf("%s: two rows", r.code)
		}
		seen[r.code] = true
		if http.StatusText(r.status) == "" || r.status < 400 {
			t.Errorf("%s: status %d", r.code, r.status)
		}
		waits := r.status == http.StatusTooManyRequests || r.status == http.StatusServiceUnavailable
		if waits && r.retryAfter <= 0 {
			t.Errorf("%s: a %d without Retry-After", r.code, r.status)
		}
		if waits && !r.retryable {
			t.Errorf("%s: a %d that is not retryable", r.code, r.status)
		}
		if r.status < 500 && r.outcome != NotApplied {
			t.Errorf("%s: a %d with outcome %s", r.code, r.status, r.outcome)
		}
	}
}

// Every code is used somewhere: a code that nothing raises is a false promise.
func TestEveryCodeIsRaised(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || name == "problem_codes.go" {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(b)
	}
	names, err := os.ReadFile("problem_codes.go")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(names)) {
		if name, _, ok := strings.Cut(strings.TrimSpace(line), " "); ok && strings.HasPrefix(line, "\tCode") {
			if !strings.Contains(text.String(), name) {
				t.Errorf("%s is never raised", name)
			}
		}
	}
}

func TestProblemMembers(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		want string // members after trace_id
		code string
	}{
		{"offset conflict", &partition.OffsetConflictError{Expected: 5, Current: 7}, `"current_offset":7`, CodeOffsetConflict},
		{"trimmed", &partition.OffsetTrimmedError{Offset: 1, LogStart: 9}, `"log_start_offset":9`, CodeOffsetTrimmed},
		{"beyond", &partition.OffsetBeyondEndError{Offset: 9, HighWatermark: 4}, `"high_watermark":4`, CodeOffsetBeyondEnd},
		{"gap", &partition.SequenceGapError{Expected: 3, Got: 8}, `"expected_seq":3`, CodeSequenceGap},
		{"key", &partition.KeyPreconditionError{Current: 12}, `"current_offset":12`, CodeKeyPrecondition},
		{"key absent", &partition.KeyPreconditionError{Current: partition.NoOffset}, ``, CodeKeyPrecondition},
		{"leader", &partition.NotLeaderError{Leader: 2}, `"leader":2`, CodeNotLeader},
		{"no leader", &partition.NotLeaderError{}, `"retry_after_ms":1000`, CodeNoLeader},
		{"leader url", &server.NotLeaderError{Leader: 2, Addr: "h:1"}, `"leader":2,"leader_url":"h:1"`, CodeNotLeader},
		{"throttled", &partition.ThrottledError{RetryAfter: 2500 * time.Millisecond}, `"retry_after_ms":2500`, CodeThrottled},
		{"body", &middleware.BodyTooLargeError{Limit: 10}, `"limit":10`, CodeBodyTooLarge},
		{"field", badField("records[3].key", "want a string"), `"field":"records[3].key"`, CodeInvalidField},
		{"parameter", badParameter("limit", "too large"), `"parameter":"limit"`, CodeInvalidParameter},
		{"unknown", errors.New("disk sector 7"), ``, CodeInternal},
		{"unknown wins", fmt.Errorf("%w: %w", partition.ErrOutcomeUnknown, context.Canceled), ``, CodeOutcomeUnknown},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			writeProblem(w, httptest.NewRequest("GET", "/x", nil), tc.err)
			var p Problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Fatalf("%v in %s", err, w.Body)
			}
			if p.Code != tc.code || w.Code != p.Status || len(p.TraceID) != 32 {
				t.Errorf("status %d, problem %+v", w.Code, p)
			}
			if !strings.Contains(w.Body.String(), tc.want) || strings.Contains(w.Body.String(), "sector") {
				t.Errorf("body %s, want %s", w.Body, tc.want)
			}
			if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("Content-Type %s", got)
			}
		})
	}
}

func TestRetryAfterIsRoundedUp(t *testing.T) {
	w := httptest.NewRecorder()
	writeProblem(w, httptest.NewRequest("GET", "/x", nil), &partition.ThrottledError{RetryAfter: 2100 * time.Millisecond})
	if got := w.Header().Get("Retry-After"); got != "3" {
		t.Errorf("Retry-After %q, want 3", got)
	}
}

func TestBodyError(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want string
	}{
		{io.ErrUnexpectedEOF, CodeTruncatedBody},
		{os.ErrDeadlineExceeded, CodeRequestTimeout},
		{&http.MaxBytesError{Limit: 5}, CodeBodyTooLarge},
		{&middleware.DecompressedTooLargeError{Limit: 5}, CodeDecompressedTooLarge},
		{fmt.Errorf("%w: gzip: x", middleware.ErrInvalidCompression), CodeInvalidCompression},
	} {
		if p, _ := problemOf(bodyError(tc.err)); p.Code != tc.want {
			t.Errorf("%v: %s, want %s", tc.err, p.Code, tc.want)
		}
	}
	if bodyError(nil) != nil {
		t.Error("bodyError(nil) is an error")
	}
}
