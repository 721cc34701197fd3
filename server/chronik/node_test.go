package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chroniklog/chronik/server/config"
	"github.com/chroniklog/chronik/server/node"
)

// withNode starts a node in this process and points commands at it. It returns
// the node's HOST:PORT.
func withNode(t *testing.T) string {
	t.Helper()
	cfg := config.Default()
	cfg.DataDir, cfg.HTTP, cfg.Peer, cfg.Kafka = t.TempDir(), "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	n, err := node.Start(t.Context(), cfg, node.Options{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Shutdown(context.Background()); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	t.Setenv("CHRONIK_SERVER", n.URL())
	return strings.TrimPrefix(n.URL(), "http://")
}

// must runs a command that has to succeed and returns its stdout.
func must(t *testing.T, in string, args ...string) string {
	t.Helper()
	got := chronik(t, in, args...)
	if got.code != exitOK {
		t.Fatalf("chronik %s: exit code %d: %s", strings.Join(args, " "), got.code, got.err)
	}
	return got.out
}

// With --output json a record is what the HTTP API gives, to the byte.
func TestConsumeJSONIsTheAPIs(t *testing.T) {
	address := withNode(t)
	must(t, "u1:v1\nu\xff:\xfe\n\"\\\x01:\n", "produce", "t", "-K", ":", "-H", "a=b", "-H", "c=\xff")
	must(t, "plain\n", "produce", "t")
	resp, err := http.Get("http://" + address + "/v1/topics/t/records?format=ndjson&limit=4")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	want, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := must(t, "", "consume", "t", "--output", "json")
	records, _, _ := strings.Cut(string(want), `{"end":`)
	if got != records || strings.Count(got, "\n") != 4 {
		t.Errorf("consume gives\n%s\nthe API\n%s", got, want)
	}
}

func TestProduceAndConsume(t *testing.T) {
	withNode(t)
	binary := "plain\n\nCRLF\r\n\xff\xfe\x00\nüñí\u2028\nno end"
	if got := chronik(t, binary, "produce", "t", "-H", "a=b=c"); got.code != exitOK || got.out != "" {
		t.Fatalf("%+v", got)
	}
	for args, want := range map[string]string{
		"consume t":                                    binary + "\n",
		"consume t --exact":                            strings.ReplaceAll(binary, "\n", ""),
		"consume t -n 1":                               "plain\n",
		"consume t --from 2 -n 1 --delimiter |":        "CRLF\r|",
		"consume t --from -1 -d \\x00":                 "no end\x00",
		"consume t --from latest":                      "",
		"consume t --from 2020-01-01T00:00:00Z -n 1":   "plain\n",
		"consume t --from 2199-01-01T00:00:00Z":        "",
		"consume t --partition 0 --from 5":             "no end\n",
		"consume t --from 5 --key-separator :":         ":no end\n",
		"consume t --from 3 --limit 1 --exact --quiet": "\xff\xfe\x00",
	} {
		if got := must(t, "", strings.Fields(args)...); got != want {
			t.Errorf("chronik %s gives %q, want %q", args, got, want)
		}
	}
	if got := chronik(t, "", "consume", "t", "--partition", "1"); got.code != exitFailed {
		t.Errorf("an unknown partition: %+v", got)
	}
	if got := chronik(t, "", "consume", "t", "--from", "7"); got.code != exitFailed ||
		!strings.Contains(got.err, "ends at offset 6") {
		t.Errorf("an offset beyond the end: %+v", got)
	}
	if got := chronik(t, "", "consume", "unknown"); got.code != exitFailed || !strings.Contains(got.err, "unknown_topic") {
		t.Errorf("an unknown topic: %+v", got)
	}
}

func TestConsumeAsJSON(t *testing.T) {
	withNode(t)
	must(t, "k1=v1\nonly value\n", "produce", "t", "-K", "=", "-H", "h=x")
	must(t, "", "produce", "t", "-k", "whole", "--file", writeTemp(t, "\x00\xff"))
	lines := strings.Split(strings.TrimSpace(must(t, "", "consume", "t", "-o", "json")), "\n")
	want := []string{
		`{"partition":0,"offset":0,"key":"k1","key_encoding":"utf8","value":"v1","encoding":"utf8","headers":[{"name":"h","value":"x","encoding":"utf8"}]}`,
		`{"partition":0,"offset":1,"key":null,"value":"only value","encoding":"utf8","headers":[{"name":"h","value":"x","encoding":"utf8"}]}`,
		`{"partition":0,"offset":2,"key":"whole","value":"AP8=","encoding":"base64"}`,
	}
	if len(lines) != len(want) {
		t.Fatalf("got %q", lines)
	}
	for i, line := range lines {
		if !contains(t, line, want[i]) {
			t.Errorf("record %d is %s, want %s", i, line, want[i])
		}
	}
}

// contains says whether the JSON object text has the members of want.
func contains(t *testing.T, text, want string) bool {
	t.Helper()
	var have, wanted map[string]any
	if err := json.Unmarshal([]byte(text), &have); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	for name, value := range wanted {
		if fmt.Sprint(have[name]) != fmt.Sprint(value) {
			return false
		}
	}
	return true
}

func writeTemp(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// lockedBuffer is written by a command and read by its test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// awaitText waits until the buffer has the text.
func (l *lockedBuffer) awaitText(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(l.String(), text); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%q did not come, only %q", text, l.String())
		}
	}
}

func TestFollowEndsCleanlyWhenInterrupted(t *testing.T) {
	withNode(t)
	must(t, "", "topic", "create", "t", "--partitions", "3")
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var out, talk lockedBuffer
	ended := make(chan int)
	go func() {
		ended <- run(ctx, []string{"consume", "t", "--follow"}, Streams{In: strings.NewReader(""), Out: &out, Err: &talk})
	}()
	for i := range 3 {
		must(t, fmt.Sprintf("live %d\n", i), "produce", "t", "--partition", fmt.Sprint(i))
		out.awaitText(t, fmt.Sprintf("live %d\n", i))
	}
	interrupt()
	if code := <-ended; code != exitOK || talk.String() != "" {
		t.Errorf("exit code %d, stderr %q", code, talk.String())
	}
}

func TestTopicCommands(t *testing.T) {
	withNode(t)
	must(t, "", "topic", "create", "b", "-P", "2", "-c", "retention.ms=3600000")
	must(t, "", "topic", "create", "a")
	if got := chronik(t, "", "topic", "create", "a"); got.code != exitFailed || !strings.Contains(got.err, "topic_exists") {
		t.Errorf("created twice: %+v", got)
	}
	must(t, "", "topic", "create", "a", "--if-not-exists")
	if got := must(t, "", "topic", "list"); !strings.Contains(got, "NAME") || strings.Index(got, "a ") > strings.Index(got, "b ") {
		t.Errorf("list: %q", got)
	}
	var listed struct {
		Name       string
		Partitions int
	}
	if err := json.Unmarshal([]byte(must(t, "", "topic", "ls", "b", "-o", "json")), &listed); err != nil || listed.Partitions != 2 {
		t.Errorf("%+v, %v", listed, err)
	}
	must(t, "", "topic", "alter", "b", "-c", "segment.bytes=1048576", "--unset", "retention.ms", "--partitions", "4")
	described := must(t, "", "topic", "describe", "b")
	if !strings.Contains(described, "segment.bytes") || !strings.Contains(described, "PARTITION") ||
		!strings.Contains(described, "\n3  ") {
		t.Errorf("describe: %s", described)
	}
	must(t, "", "topic", "delete", "a", "b")
	must(t, "", "topic", "delete", "a", "--if-exists")
	if got := chronik(t, "", "topic", "describe", "a"); got.code != exitFailed {
		t.Errorf("a deleted topic: %+v", got)
	}
}

func TestClusterAndBench(t *testing.T) {
	withNode(t)
	if got := must(t, "", "cluster", "status"); !strings.Contains(got, "controller         1") {
		t.Errorf("status: %s", got)
	}
	for _, args := range []string{
		"bench produce b --duration 200ms --warmup 0s -c 4 -o json",
		"bench produce b --duration 200ms --warmup 0s -c 4 --batch 10 --rate 200 -o json",
		"bench consume b -o json",
		"bench consume b --duration 200ms --warmup 0s -c 2 --rate 100 -o json",
	} {
		var r benchResult
		if err := json.Unmarshal([]byte(must(t, "", strings.Fields(args)...)), &r); err != nil {
			t.Fatal(err)
		}
		if r.Requests == 0 || r.Records < r.Requests || r.Errors != 0 || r.P50 <= 0 || r.Max < r.P50 {
			t.Errorf("%s: %+v", args, r)
		}
	}
}
