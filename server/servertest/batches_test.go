package servertest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// lineResult is one line of an NDJSON answer.
type lineResult struct {
	Partition int32
	Offset    int64
	Error     *struct{ Code, Outcome string }
}

// stream sends lines for topic t to a node as one NDJSON request; before is called before
// each. The results are in the order of the lines.
func stream(t *testing.T, n *Node, idemKey string, lines []string, before func(i int)) []lineResult {
	t.Helper()
	body, w := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.URL+"/v1/topics/t/batches", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	if idemKey != "" {
		req.Header.Set("Idempotency-Key", idemKey)
	}
	var group sync.WaitGroup
	defer group.Wait()
	defer body.CloseWithError(errors.New("the test is over"))
	group.Go(func() {
		for i, line := range lines {
			before(i)
			if _, err := io.WriteString(w, line+"\n"); err != nil {
				return
			}
		}
		_ = w.Close()
	})
	resp, err := n.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	var results []lineResult
	for in := bufio.NewScanner(resp.Body); in.Scan(); {
		var r lineResult
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			t.Fatalf("%s: %v", in.Bytes(), err)
		}
		results = append(results, r)
	}
	if len(results) != len(lines) {
		t.Fatalf("%d results for %d lines", len(results), len(lines))
	}
	return results
}

// A stream of lines through a front node, in full flight, goes on with the next
// leader. When the last one hands over, every line is written once; when it
// dies, nobody knows of those on the way, and of no others, unless the lines
// have a key. The order of a partition's lines is kept in any case.
func TestClusterLinesThroughFailover(t *testing.T) {
	for _, c := range []struct {
		name, key string
		kill      bool
	}{
		{name: "handed over"},
		{name: "killed", kill: true},
		{name: "killed, with a key", kill: true, key: "k"},
	} {
		t.Run(c.name, func(t *testing.T) {
			kill, key := c.kill, c.key
			c := StartCluster(t, 3)
			create(t, c.Nodes[0], `{"name":"t","partitions":2,"replication_factor":3}`)
			leader := partitions(t, c.Nodes[0], "t")[0].Leader
			front := c.Nodes[leader%3]
			var lines []string
			for i := range 6000 {
				lines = append(lines, fmt.Sprintf(`{"value":"r%04d","partition":%d}`, i, i%2))
			}
			results := stream(t, front, key, lines, func(i int) {
				switch {
				case i != 2000:
				case kill:
					c.Nodes[leader-1].Kill()
				default:
					call(t, front, fmt.Sprintf("POST /v1/cluster/nodes/%d/drain", leader), "").want(t, http.StatusAccepted)
				}
			})
			checkLines(t, front, results, kill && key == "")
		})
	}
}

// checkLines holds what was said of lines against the log.
func checkLines(t *testing.T, n *Node, results []lineResult, doubts bool) {
	t.Helper()
	unknown := 0
	said := make([]map[string]int64, 2) // offset of each value; -1: nobody knows
	for p := range said {
		said[p] = map[string]int64{}
	}
	for i, r := range results {
		value, p := fmt.Sprintf("r%04d", i), i%2
		switch {
		case r.Error == nil:
			said[p][value] = r.Offset
		case doubts && r.Error.Outcome == "unknown":
			said[p][value] = -1
			unknown++
		default:
			t.Fatalf("line %d: %+v", i, *r.Error)
		}
	}
	for p := range said {
		last := ""
		for next := int64(0); ; {
			page := read(t, n, "t", int32(p), fmt.Sprintf("offset=%d&limit=1000", next))
			for _, r := range page.Records {
				want, ok := said[p][r.Value]
				if !ok || want >= 0 && want != r.Offset || r.Value <= last {
					t.Fatalf("%s lies at %d of %d behind %q; said was %d, %t", r.Value, r.Offset, p, last, want, ok)
				}
				delete(said[p], r.Value)
				last = r.Value
			}
			if next = page.NextOffset; next >= page.HighWatermark {
				break
			}
		}
		for value, at := range said[p] {
			if at >= 0 {
				t.Errorf("%s was acknowledged at %d of %d and is not there", value, at, p)
			}
		}
	}
	t.Logf("%d lines of %d in doubt", unknown, len(results))
}

// Batches with an Idempotency-Key through a front node, and one with a sequence
// number each, are written once, and acknowledged, whatever happens to the
// leader.
func TestClusterBatchesThroughKill(t *testing.T) {
	c := StartCluster(t, 3)
	create(t, c.Nodes[0], `{"name":"t","partitions":1,"replication_factor":3}`)
	leader := partitions(t, c.Nodes[0], "t")[0].Leader
	front := c.Nodes[leader%3]
	const batches, each = 60, 20
	for b := range batches {
		if b == batches/2 {
			killed := make(chan struct{})
			go func() { defer close(killed); c.Nodes[leader-1].Kill() }()
			defer func() { <-killed }()
		}
		var records []string
		for i := range each {
			records = append(records, fmt.Sprintf(`{"value":"r%04d"}`, b*each+i))
		}
		a := call(t, front, "POST /v1/topics/t/batches", `{"records":[`+strings.Join(records, ",")+`]}`, jsonType,
			fmt.Sprint("Idempotency-Key: b", b))
		a.want(t, http.StatusOK)
	}
	got := 0
	for next := int64(0); ; {
		page := read(t, front, "t", 0, fmt.Sprintf("offset=%d&limit=1000", next))
		for _, r := range page.Records {
			if want := fmt.Sprintf("r%04d", got); r.Value != want {
				t.Fatalf("%q at %d, want %q", r.Value, r.Offset, want)
			}
			got++
		}
		if next = page.NextOffset; next >= page.HighWatermark {
			break
		}
	}
	if got != batches*each {
		t.Errorf("%d records of %d", got, batches*each)
	}
}
