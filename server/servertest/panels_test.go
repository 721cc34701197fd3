package servertest

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.yaml.in/yaml/v3"
)

// promtool is what "make alerts" builds.
const promtool = "../../bin/promtool"

// quietPanels are the queries of the dashboard that show nothing while all is
// well, and why.
var quietPanels = map[string]string{
	`panel "Requests that failed", query 1`:    "no request was answered 5xx",
	`panel "Groups; series left out", query 2`: "every group has series",
}

// scrapes are some scrapes of some nodes: the values of each series, of which
// one that came later lacks the first.
type scrapes struct {
	taken  int
	series map[string][]string
}

var sampleLine = regexp.MustCompile(`^(\w+)(?:\{(.*)\})? (\S+)`)

// take scrapes each node.
func (s *scrapes) take(t *testing.T, c *Cluster) {
	t.Helper()
	add := func(name, labels, value string) {
		key := fmt.Sprintf(`%s{%s}`, name, labels)
		for len(s.series[key]) < s.taken {
			s.series[key] = append(s.series[key], "_")
		}
		s.series[key] = append(s.series[key], value)
	}
	for i, n := range c.Nodes {
		of := fmt.Sprintf(`job="chronik",instance="node%d"`, i+1)
		add("up", of, "1")
		for line := range strings.Lines(string(call(t, n, "GET /metrics", "").want(t, http.StatusOK).body)) {
			m := sampleLine.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			v, err := strconv.ParseFloat(m[3], 64)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if labels := of; !math.IsNaN(v) && !math.IsInf(v, 0) {
				if m[2] != "" {
					labels += "," + m[2]
				}
				add(m[1], labels, strconv.FormatFloat(v, 'f', -1, 64))
			}
		}
	}
	s.taken++
}

// of are the series whose names expressions use.
func (s *scrapes) of(exprs map[string]string) (list []map[string]string) {
	words := map[string]bool{}
	for _, expr := range exprs {
		for _, word := range regexp.MustCompile(`\w+`).FindAllString(expr, -1) {
			words[word] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(s.series)) {
		if name, _, _ := strings.Cut(key, "{"); words[name] {
			list = append(list, map[string]string{"series": key, "values": strings.Join(s.series[key], " ")})
		}
	}
	return list
}

// work is some of every kind for the cluster: HTTP and Kafka clients, and groups
// of both.
func work(t *testing.T, c *Cluster, cl *kgo.Client) {
	t.Helper()
	for i, n := range c.Nodes {
		for range 5 {
			produce(t, n, "t", "over HTTP")
		}
		read(t, n, "t", int32(i), "offset=0")
	}
	if err := cl.ProduceSync(t.Context(), kgo.StringRecord("over Kafka")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if got := cl.PollRecords(t.Context(), 10); got.Err() != nil || got.NumRecords() == 0 {
		t.Fatalf("%d records: %v", got.NumRecords(), got.Err())
	}
	if err := cl.CommitUncommittedOffsets(t.Context()); err != nil {
		t.Fatal(err)
	}
	call(t, c.Nodes[0], "POST /v1/groups/g/poll", `{"topics":["t"],"limit":1,"wait_ms":0}`, jsonType).want(t, http.StatusOK)
	call(t, c.Nodes[0], "POST /v1/topics", `{"name":"u","partitions":1}`, jsonType).want(t, http.StatusCreated)
	call(t, c.Nodes[0], "DELETE /v1/topics/u", "").want(t, http.StatusNoContent)
}

// loadedScrapes are scrapes of three nodes with clients at work.
func loadedScrapes(t *testing.T) *scrapes {
	t.Helper()
	c := StartCluster(t, 3)
	create(t, c.Nodes[0], `{"name":"t","partitions":3,"replication_factor":3}`)
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Nodes[0].Kafka), kgo.DefaultProduceTopic("t"),
		kgo.ConsumerGroup("k"), kgo.ConsumeTopics("t"), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	s := &scrapes{series: map[string][]string{}}
	lag := regexp.MustCompile(`chronik_group_lag\{.*group="k"`)
	eventually(t, "the coordinator shows the lag", func() bool {
		work(t, c, cl)
		return slices.ContainsFunc(c.Nodes, func(n *Node) bool {
			return lag.Match(call(t, n, "GET /metrics", "").body)
		})
	})
	for range 5 {
		work(t, c, cl)
		s.take(t, c)
	}
	// Disks are probed in the nodes' own time, whatever clients do.
	begun := probes(t, c)
	eventually(t, "every disk is probed", func() bool {
		now := probes(t, c)
		return now[0] > begun[0] && now[1] > begun[1] && now[2] > begun[2]
	})
	s.take(t, c)
	return s
}

// probes counts the probes of each node's disk.
func probes(t *testing.T, c *Cluster) (list []int) {
	t.Helper()
	count := regexp.MustCompile(`(?m)^chronik_disk_probe_seconds_count (\d+)$`)
	for _, n := range c.Nodes {
		m := count.FindSubmatch(call(t, n, "GET /metrics", "").want(t, http.StatusOK).body)
		if m == nil {
			t.Fatal("a node does not count the probes of its disk")
		}
		v, err := strconv.Atoi(string(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	return list
}

// Every query of the dashboard parses and shows something of a live cluster at
// work, but for those that tell of trouble; and no alert is on there.
func TestPanels(t *testing.T) {
	if _, err := os.Stat(promtool); err != nil {
		t.Skipf("there is no bin/promtool (\"make alerts\" builds it): %v", err)
	}
	exprs := expressions(t)
	for what := range quietPanels {
		if exprs[what] == "" {
			t.Errorf("there is no %s", what)
		}
	}
	s := loadedScrapes(t)
	var queries []map[string]any
	variables := strings.NewReplacer("$job", ".*", "$instance", ".*", "$__rate_interval", "1m", "$__range", "1m")
	for _, what := range slices.Sorted(maps.Keys(exprs)) {
		if !strings.HasPrefix(what, "panel") {
			continue
		}
		// What is not a number is nothing to see, either.
		q := map[string]any{
			"expr": fmt.Sprintf("count((%s) >= -Inf) > bool 0", variables.Replace(exprs[what])), "eval_time": "75s",
			"exp_samples": []map[string]any{{"labels": "{}", "value": 1}},
		}
		if quietPanels[what] != "" {
			q["exp_samples"] = nil
		}
		queries = append(queries, q)
	}
	queries = append(queries, map[string]any{"expr": `ALERTS{alertstate="firing"}`, "eval_time": "75s", "exp_samples": nil})
	alerts, err := filepath.Abs(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	file, err := yaml.Marshal(map[string]any{
		"rule_files": []string{alerts}, "evaluation_interval": "15s",
		"tests": []map[string]any{{"interval": "15s", "input_series": s.of(exprs), "promql_expr_test": queries}},
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "panels_test.yml")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), promtool, "test", "rules", path)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out.Bytes())
	}
}
