package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"
)

// A group goes on where it stopped, whatever stops it; what tools show of it
// and do to it agrees.
func TestGroupCommands(t *testing.T) {
	withNode(t)
	must(t, "", "topic", "create", "t")
	must(t, "a\nb\nc\nd\ne\n", "produce", "t")
	if got := must(t, "", "consume", "t", "--group", "g", "-n", "2"); got != "a\nb\n" {
		t.Fatalf("the first two: %q", got)
	}
	if got := must(t, "", "consume", "t", "--group", "g", "--output", "json", "-n", "1"); !strings.Contains(got,
		`"offset":2`) || !strings.Contains(got, `"value":"c"`) {
		t.Errorf("as JSON: %q", got)
	}
	if got := must(t, "", "group", "list"); got != "GROUP  STATE\ng      Empty\n" {
		t.Errorf("list: %q", got)
	}
	got := must(t, "", "group", "describe", "g")
	if !strings.Contains(got, "lag          2\n") || !strings.Contains(got, "t      0          3          5    2    -") {
		t.Errorf("describe:\n%s", got)
	}
	var g struct{ Lag int64 }
	if err := json.Unmarshal([]byte(must(t, "", "group", "describe", "g", "-o", "json")), &g); err != nil || g.Lag != 2 {
		t.Errorf("%+v %v", g, err)
	}
	// Without a limit it ends where there is nothing more.
	if got := must(t, "", "consume", "t", "--group", "g"); got != "d\ne\n" {
		t.Errorf("the rest: %q", got)
	}
	if got := must(t, "", "group", "reset", "g", "t", "--to", "1", "--dry-run"); got !=
		"TOPIC  PARTITION  FROM  TO\nt      0          5     1\n" {
		t.Errorf("dry run: %q", got)
	}
	must(t, "", "group", "reset", "g", "t", "--to", "4", "-p", "0")
	if got := must(t, "", "consume", "t", "--group", "g", "-n", "1"); got != "e\n" {
		t.Errorf("after the reset: %q", got)
	}
	must(t, "", "group", "delete", "g")
	if r := chronik(t, "", "group", "describe", "g"); r.code != exitFailed || !strings.Contains(r.err, "unknown_group") {
		t.Errorf("%+v", r)
	}
	must(t, "", "group", "delete", "g", "--if-exists")
}

// lines is an output that tells when it has so many lines.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
	want int
	full chan struct{}
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.text.Write(b)
	if l.full != nil && bytes.Count(l.text.Bytes(), []byte("\n")) >= l.want {
		close(l.full)
		l.full = nil
	}
	return n, err
}

// An interrupt acknowledges what was printed and leaves the group: the next
// member begins at once, and after it.
func TestGroupInterrupt(t *testing.T) {
	withNode(t)
	must(t, "", "topic", "create", "t")
	must(t, "a\nb\n", "produce", "t")
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	full := make(chan struct{})
	out := &lines{want: 2, full: full}
	done := make(chan int, 1)
	var errs bytes.Buffer
	go func() {
		done <- run(ctx, []string{"consume", "t", "--group", "g", "--follow"},
			Streams{In: strings.NewReader(""), Out: out, Err: &errs})
	}()
	select {
	case <-full:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was printed")
	}
	interrupt()
	if code := <-done; code != exitOK || errs.Len() > 0 {
		t.Errorf("code %d, %s", code, errs.String())
	}
	if got := must(t, "", "group", "list"); !strings.Contains(got, "Empty") {
		t.Errorf("the member has not left: %q", got)
	}
	must(t, "c\n", "produce", "t")
	began := time.Now()
	if got := must(t, "", "consume", "t", "--group", "g", "-n", "1"); got != "c\n" || time.Since(began) > 5*time.Second {
		t.Errorf("%q after %s", got, time.Since(began))
	}
}

func TestGroupUsage(t *testing.T) {
	t.Setenv("CHRONIK_SERVER", "http://127.0.0.1:1")
	for args, says := range map[string]string{
		"consume t --group g --from 3":      "chronik group reset",
		"consume t --group g --partition 1": "exclude each other",
		"group reset g t --to yesterday":    "2026-01-31T12:00:00Z",
		"group reset g t":                   "--to",
		"group":                             "--help",
	} {
		if r := chronik(t, "", strings.Fields(args)...); r.code != exitUsage || !strings.Contains(r.err, says) {
			t.Errorf("%s: %d %q", args, r.code, r.err)
		}
	}
}
