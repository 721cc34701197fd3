package api

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/chroniklog/chronik/api/gen"
)

// description is what the tests look at of openapi.yaml.
type description struct {
	OpenAPI string                          `yaml:"openapi"`
	Paths   map[string]map[string]yaml.Node `yaml:"paths"`
	Parts   struct {
		Schemas  map[string]yaml.Node  `yaml:"schemas"`
		Problems map[string]problemDoc `yaml:"x-problems"`
	} `yaml:"components"`
	Tags []struct{ Name string } `yaml:"tags"`
}

type problemDoc struct {
	Status    int
	Title     string
	Retryable bool
	Outcome   Outcome
}

type operation struct {
	OperationID string   `yaml:"operationId"`
	Tags        []string `yaml:"tags"`
	Summary     string   `yaml:"summary"`
	Parameters  []yaml.Node
	RequestBody yaml.Node            `yaml:"requestBody"`
	Responses   map[string]yaml.Node `yaml:"responses"`
}

func readDescription(t testing.TB) description {
	t.Helper()
	text, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var d description
	if err := yaml.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// eachOperation visits every operation as "METHOD /path".
func (d description) eachOperation(t testing.TB, visit func(route string, op operation)) {
	t.Helper()
	for path, item := range d.Paths {
		for method, node := range item {
			if method == "parameters" {
				continue
			}
			var op operation
			if err := node.Decode(&op); err != nil {
				t.Fatalf("%s %s: %v", method, path, err)
			}
			visit(strings.ToUpper(method)+" "+path, op)
		}
	}
}

// Every route of the router is described, and everything described is a route.
func TestRoutesAreDescribed(t *testing.T) {
	s := newServer(testDeps(t, &fakeBroker{}))
	_, mux := s.router(testDeps(t, s.broker))
	var routed, described []string
	err := chi.Walk(mux, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		routed = append(routed, method+" "+route)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	readDescription(t).eachOperation(t, func(route string, _ operation) { described = append(described, route) })
	slices.Sort(routed)
	slices.Sort(described)
	if diff := cmp.Diff(described, routed); diff != "" {
		t.Errorf("openapi.yaml (-) and the router (+) differ:\n%s", diff)
	}
}

// The problem table, ErrorCode and x-problems say the same.
func TestCodesAreDescribed(t *testing.T) {
	d := readDescription(t)
	var schema struct{ Enum []string }
	node := d.Parts.Schemas["ErrorCode"]
	if err := node.Decode(&schema); err != nil {
		t.Fatal(err)
	}
	var codes []string
	table := make(map[string]problemDoc)
	for _, r := range problemTable {
		codes = append(codes, r.code)
		table[r.code] = problemDoc{r.status, r.title, r.retryable, r.outcome}
	}
	slices.Sort(codes)
	slices.Sort(schema.Enum)
	if diff := cmp.Diff(schema.Enum, codes); diff != "" {
		t.Errorf("ErrorCode (-) and problemTable (+) differ:\n%s", diff)
	}
	if diff := cmp.Diff(d.Parts.Problems, table); diff != "" {
		t.Errorf("x-problems (-) and problemTable (+) differ:\n%s", diff)
	}
}

// What generators, and readers, need of every operation.
func TestDescriptionIsComplete(t *testing.T) {
	d := readDescription(t)
	if !strings.HasPrefix(d.OpenAPI, "3.1") {
		t.Errorf("openapi: %s, want 3.1", d.OpenAPI)
	}
	ids := make(map[string]string)
	d.eachOperation(t, func(route string, op operation) {
		if other := ids[op.OperationID]; op.OperationID == "" || other != "" {
			t.Errorf("%s: operationId %q is missing or that of %s", route, op.OperationID, other)
		}
		ids[op.OperationID] = route
		if op.Summary == "" || len(op.Tags) != 1 {
			t.Errorf("%s: wants a summary and one tag", route)
		}
		for _, tag := range op.Tags {
			if !slices.ContainsFunc(d.Tags, func(t struct{ Name string }) bool { return t.Name == tag }) {
				t.Errorf("%s: tag %s is not declared", route, tag)
			}
		}
		checkStatuses(t, route, op)
	})
}

// checkStatuses holds that operations declare what any request can meet.
func checkStatuses(t *testing.T, route string, op operation) {
	t.Helper()
	want := []string{"400", "403", "429", "500", "503", "504"}
	if strings.Contains(route, "{topic}") {
		want = append(want, "404")
	}
	if op.RequestBody.Kind != 0 {
		want = append(want, "408", "413", "415")
	}
	_, path, _ := strings.Cut(route, " ")
	if opsPath(path) {
		want = nil
	}
	if strings.HasPrefix(route, "PUT /v1/topics/{topic}") && strings.HasSuffix(route, "{topic}") {
		want = slices.DeleteFunc(want, func(s string) bool { return s == "404" }) // it creates
	}
	for _, status := range want {
		if _, ok := op.Responses[status]; !ok {
			t.Errorf("%s: status %s is not declared", route, status)
		}
	}
}

// References resolve, and every object that needs a description has one.
func TestDescriptionReferences(t *testing.T) {
	text, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	used := make(map[string]bool)
	walkYAML(root.Content[0], func(n *yaml.Node) {
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i].Value, n.Content[i+1]
			if strings.ContainsAny(key, " ") {
				t.Errorf("line %d: the member %q is a piece of text: quote what it was cut from", value.Line, key)
			}
			if key != "$ref" {
				continue
			}
			used[value.Value] = true
			if lookup(root.Content[0], strings.TrimPrefix(value.Value, "#/")) == nil {
				t.Errorf("line %d: %s does not resolve", value.Line, value.Value)
			}
		}
	})
	for _, kind := range []string{"parameters", "headers", "requestBodies", "responses", "schemas"} {
		list := lookup(root.Content[0], "components/"+kind)
		for i := 0; i < len(list.Content); i += 2 {
			name, part := list.Content[i].Value, list.Content[i+1]
			if ref := "#/components/" + kind + "/" + name; !used[ref] {
				t.Errorf("line %d: %s is never used", part.Line, ref)
			}
			if kind != "schemas" && lookup(part, "description") == nil {
				t.Errorf("line %d: %s %s has no description", part.Line, kind, name)
			}
		}
	}
}

func walkYAML(n *yaml.Node, visit func(*yaml.Node)) {
	if n.Kind == yaml.MappingNode {
		visit(n)
	}
	for _, c := range n.Content {
		walkYAML(c, visit)
	}
}

func lookup(n *yaml.Node, path string) *yaml.Node {
	for _, name := range strings.Split(path, "/") {
		var next *yaml.Node
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == name {
				next = n.Content[i+1]
			}
		}
		if next == nil {
			return nil
		}
		n = next
	}
	return n
}

// What is served is what openapi.yaml says.
func TestServedDescriptionIsCurrent(t *testing.T) {
	fresh := t.TempDir() + "/openapi.json"
	out, err := exec.Command("go", "run", "./gen/specjson", "../openapi.yaml", fresh).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(fresh)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != string(gen.Spec) {
		t.Error("api/gen/openapi.json is stale: run make gen")
	}
}

// The generated types know each code, so they were made from this openapi.yaml.
func TestGeneratedCodeIsCurrent(t *testing.T) {
	text, err := os.ReadFile("gen/control.gen.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range problemTable {
		if !strings.Contains(string(text), fmt.Sprintf("ErrorCode = %q", r.code)) {
			t.Errorf("api/gen/control.gen.go lacks the code %s: run make gen", r.code)
		}
	}
}
