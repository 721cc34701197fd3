package servertest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.yaml.in/yaml/v3"
)

const (
	operationsFile = "../../docs/OPERATIONS.md"
	alertsFile     = "../../deploy/prometheus/alerts.yml"
	alertTestsFile = "../../deploy/prometheus/alerts_test.yml"
	dashboardFile  = "../../deploy/grafana/chronik.json"
)

// family is a metric as /metrics shows it.
type family struct {
	kind, help string
	labels     map[string]bool
}

// scrape reads the families of a node's /metrics.
func scrape(t *testing.T, n *Node, into map[string]*family) {
	t.Helper()
	sample := regexp.MustCompile(`^(\w+)(?:\{(.*)\})? \S`)
	label := regexp.MustCompile(`(\w+)="`)
	for line := range strings.Lines(string(call(t, n, "GET /metrics", "").want(t, http.StatusOK).body)) {
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, help, _ := strings.Cut(strings.TrimSpace(rest), " ")
			if into[name] == nil {
				into[name] = &family{help: help, labels: map[string]bool{}}
			}
		} else if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(strings.TrimSpace(rest), " ")
			into[name].kind = kind
		} else if m := sample.FindStringSubmatch(line); m != nil {
			f := into[m[1]]
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if f == nil {
					f = into[strings.TrimSuffix(m[1], suffix)]
				}
			}
			for _, l := range label.FindAllStringSubmatch(m[2], -1) {
				f.labels[l[1]] = true
			}
		}
	}
}

// liveMetrics is what three nodes show after a little of everything.
func liveMetrics(t *testing.T) map[string]*family {
	t.Helper()
	c := StartCluster(t, 3)
	create(t, c.Nodes[0], `{"name":"t","partitions":3,"replication_factor":3}`)
	for i, n := range c.Nodes {
		produce(t, n, "t", "x")
		read(t, n, "t", int32(i), "offset=0")
	}
	call(t, c.Nodes[0], "POST /v1/groups/g/poll", `{"topics":["t"],"limit":1,"wait_ms":0}`, jsonType)
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Nodes[0].Kafka), kgo.DefaultProduceTopic("t"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.ProduceSync(t.Context(), kgo.StringRecord("y")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	call(t, c.Nodes[0], "PUT /v1/groups/h/offsets", `{"topic":"t","to":"earliest"}`, jsonType).want(t, http.StatusOK)
	live := map[string]*family{}
	eventually(t, "the group's coordinator shows its lag", func() bool { // once it knows where the partitions end
		for _, n := range c.Nodes {
			scrape(t, n, live)
		}
		return live["chronik_group_lag"] != nil
	})
	return live
}

// The dashboard and the alerts name metrics and labels that exist, every alert
// is explained and tested, and docs/OPERATIONS.md lists every metric.
func TestOperations(t *testing.T) {
	live := liveMetrics(t)
	for what, expr := range expressions(t) {
		checkNames(t, live, what, expr)
	}
	page := generated(t, operationsFile, "metrics", metricsTable(t, live))
	tests, err := os.ReadFile(alertTestsFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range alertRules(t) {
		if heading := "\n### " + r.Alert + "\n"; !strings.Contains(page, heading) {
			t.Errorf("%s has no section %q", operationsFile, strings.TrimSpace(heading))
		}
		if want := "docs/OPERATIONS.md#" + strings.ToLower(r.Alert); r.Annotations["runbook"] != want {
			t.Errorf("%s: runbook is %q, want %q", r.Alert, r.Annotations["runbook"], want)
		}
		if r.Annotations["summary"] == "" || r.Labels["severity"] != "critical" && r.Labels["severity"] != "warning" {
			t.Errorf("%s lacks a summary or a severity", r.Alert)
		}
		if !regexp.MustCompile(`\b` + r.Alert + `\b`).Match(tests) {
			t.Errorf("%s does not test %s", alertTestsFile, r.Alert)
		}
	}
}

// The check of names finds what is wrong.
func TestCheckNames(t *testing.T) {
	live := map[string]*family{
		"chronik_a_total": {kind: "counter", labels: map[string]bool{"kind": true}},
		"chronik_b":       {kind: "histogram", labels: map[string]bool{"le": true}},
	}
	for expr, want := range map[string]string{
		`sum by (kind) (rate(chronik_a_total{kind="x",job=~"$job"}[5m])) > 1e3`:      "",
		`histogram_quantile(0.9, sum by (le) (rate(chronik_b_bucket[1m])))`:          "",
		`up == 0 and on (job) increase(chronik_b_count[$__rate_interval]) offset 5m`: "",
		`chronik_a`:                      "chronik_a",
		`chronik_a_total{topic="x"}`:     "topic",
		`sum by (brand) (chronik_b_sum)`: "brand",
		`chronik_a_total_bucket`:         "chronik_a_total_bucket",
	} {
		if got := strings.Join(unknown(live, expr), " "); got != want {
			t.Errorf("%s: unknown %q, want %q", expr, got, want)
		}
	}
}

type alertRule struct {
	Alert, Expr         string
	Labels, Annotations map[string]string
}

func alertRules(t *testing.T) (rules []alertRule) {
	t.Helper()
	raw, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Groups []struct{ Rules []alertRule } }
	if err := yaml.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		rules = append(rules, g.Rules...)
	}
	if len(rules) == 0 {
		t.Fatalf("no rules in %s", alertsFile)
	}
	return rules
}

// expressions are the PromQL of alerts and dashboard, by what they belong to.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, r := range alertRules(t) {
		all["alert "+r.Alert] = r.Expr
	}
	raw, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Name, Type, Query string }
		}
	}
	if err := json.Unmarshal(raw, &board); err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		for i, target := range p.Targets {
			all[fmt.Sprintf("panel %q, query %d", p.Title, i+1)] = target.Expr
		}
	}
	for _, v := range board.Templating.List {
		if v.Type == "query" {
			all["variable "+v.Name] = v.Query
		}
	}
	if len(all) < 60 {
		t.Fatalf("only %d expressions", len(all))
	}
	return all
}

var (
	exprStrings = regexp.MustCompile(`"[^"]*"`)
	exprRanges  = regexp.MustCompile(`\[[^\]]*\]|offset \w+`)
	exprLabels  = regexp.MustCompile(`\{([^}]*)\}`)
	exprGroups  = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right) ?\(([^)]*)\)`)
	exprNames   = regexp.MustCompile(`[a-zA-Z_:][\w:]*\s*\(?`)
	exprNumbers = regexp.MustCompile(`\b\d[\w.]*`)
	exprWords   = map[string]bool{"and": true, "or": true, "unless": true, "bool": true}
)

// unknown are the names of metrics and labels in an expression that do not
// exist. It reads the language as far as names go; promtool knows the rest.
func unknown(live map[string]*family, expr string) (names []string) {
	expr = exprRanges.ReplaceAllString(exprStrings.ReplaceAllString(expr, ""), "")
	var labels []string
	for _, list := range []*regexp.Regexp{exprLabels, exprGroups} {
		for _, m := range list.FindAllStringSubmatch(expr, -1) {
			labels = append(labels, strings.FieldsFunc(m[1], func(r rune) bool { return strings.ContainsRune(" ,=~!", r) })...)
		}
		expr = list.ReplaceAllString(expr, "")
	}
	known := map[string]bool{"job": true, "instance": true}
	if call := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`).FindStringSubmatch(expr); call != nil {
		expr, labels = call[1], append(labels, call[2])
	}
	for _, name := range exprNames.FindAllString(exprNumbers.ReplaceAllString(expr, ""), -1) {
		if strings.HasSuffix(name, "(") || exprWords[strings.TrimSpace(name)] {
			continue // a function, an operator
		}
		name = strings.TrimSpace(name)
		f := live[name]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if h := live[strings.TrimSuffix(name, suffix)]; f == nil && h != nil && h.kind == "histogram" {
				f = h
			}
		}
		switch {
		case f != nil:
			maps.Copy(known, f.labels)
		case name != "up":
			names = append(names, name)
		}
	}
	for _, l := range labels {
		if !known[l] {
			names = append(names, l)
		}
	}
	return names
}

func checkNames(t *testing.T, live map[string]*family, what, expr string) {
	t.Helper()
	if names := unknown(live, expr); len(names) > 0 {
		t.Errorf("%s: no node has %s: %s", what, strings.Join(names, ", "), expr)
	}
}

// metricsTable is the table of all metrics of our own.
func metricsTable(t *testing.T, live map[string]*family) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| Metric | Type | Labels | What it is |\n|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(live)) {
		f := live[name]
		if !strings.HasPrefix(name, "chronik_") {
			continue
		}
		if f.help == "" || !strings.HasSuffix(f.help, ".") {
			t.Errorf("%s: the help %q is no sentence", name, f.help)
		}
		delete(f.labels, "le")
		labels := strings.Join(slices.Sorted(maps.Keys(f.labels)), ", ")
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, f.kind, labels, f.help)
	}
	return b.String()
}

// generated holds the part of a file between the markers of name against want,
// or, with CHRONIK_UPDATE, writes it there; it returns the file.
func generated(t *testing.T, file, name, want string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- generated: "+name+" -->\n", "<!-- end: "+name+" -->\n"
	head, rest, found := strings.Cut(string(raw), begin)
	got, tail, closed := strings.Cut(rest, end)
	switch {
	case !found || !closed:
		t.Fatalf("%s lacks the markers %s%s", file, begin, end)
	case got == want:
	case os.Getenv("CHRONIK_UPDATE") != "":
		if err := os.WriteFile(file, []byte(head+begin+want+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the %s in %s are not what the code says: run CHRONIK_UPDATE=1 go test ./server/servertest "+
			"-run TestOperations", name, file)
	}
	return string(raw)
}
