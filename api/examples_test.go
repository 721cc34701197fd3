package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"go.yaml.in/yaml/v3"

	"github.com/chroniklog/chronik/api/gen"
	"github.com/chroniklog/chronik/server/servertest"
)

type media map[string]struct{ Example any }

// described is an operation's examples in openapi.yaml.
type described struct {
	OperationID string                  `yaml:"operationId"`
	RequestBody struct{ Content media } `yaml:"requestBody"`
	Responses   map[string]struct{ Content media }
}

func operations(t *testing.T) map[string]map[string]described {
	t.Helper()
	text, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]yaml.Node
	}
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]map[string]described)
	for path, item := range doc.Paths {
		all[path] = make(map[string]described)
		for method, node := range item {
			var op described
			if method == "parameters" {
				continue
			}
			if err := node.Decode(&op); err != nil {
				t.Fatal(err)
			}
			all[path][strings.ToUpper(method)] = op
		}
	}
	return all
}

// Every request of the description, with the examples of its path and body,
// works on a live node when sent in an order that makes sense.
func TestExamplesWork(t *testing.T) {
	n := servertest.Start(t)
	ops := operations(t)
	try(t, n, "PUT /v1/topics/profiles", "application/json", `{"configs":{"cleanup.policy":"compact"}}`)
	tried := make(map[string]bool)
	for _, route := range []string{
		"POST /v1/topics", "PUT /v1/topics/{topic}", "PATCH /v1/topics/{topic}", "POST /v1/topics/{topic}/partitions",
		"POST /v1/topics/{topic}/partitions/{partition}/records", "POST /v1/topics/{topic}/records",
		"POST /v1/topics/{topic}/batches", "PUT /v1/topics/{topic}/partitions/{partition}/fence",
		"PUT /v1/topics/{topic}/keys/{key}", "POST /v1/groups/{group}/poll",
		"GET", "HEAD",
		"POST /v1/cluster/nodes/{node}/drain", "DELETE /v1/cluster/nodes/{node}/drain", "POST /v1/cluster/controller",
		"POST /v1/cluster/elections", "PUT /v1/topics/{topic}/partitions/{partition}/replicas",
		"DELETE /v1/topics/{topic}/partitions/{partition}/replicas",
		"DELETE /v1/groups/{group}/members/{member}", "PUT /v1/groups/{group}/offsets", "DELETE /v1/groups/{group}",
		"DELETE /v1/topics/{topic}/keys/{key}", "DELETE /v1/topics/{topic}/partitions/{partition}/records",
		"DELETE /v1/topics/{topic}",
	} {
		method, only, _ := strings.Cut(route, " ")
		for path, methods := range ops {
			op, ok := methods[method]
			if !ok || only != "" && path != only {
				continue
			}
			tried[method+" "+path] = true
			mediaType, body := example(t, op)
			try(t, n, method+" "+fill(path, op), mediaType, body)
		}
	}
	tried["DELETE /v1/cluster/nodes/{node}"] = true // a node can't remove itself
	// Only in an empty cluster: server/servertest does.
	for _, route := range []string{
		"POST /v1/cluster/restore", "DELETE /v1/cluster/restore", "POST /v1/cluster/restore/topics",
		"PUT /v1/topics/{topic}/partitions/{partition}/restore",
		"POST /v1/topics/{topic}/partitions/{partition}/restore",
		"DELETE /v1/topics/{topic}/partitions/{partition}/restore",
	} {
		tried[route] = true
	}
	for path, methods := range ops {
		for method := range methods {
			if !tried[method+" "+path] {
				t.Errorf("%s %s was not tried", method, path)
			}
		}
	}
}

// fill puts the examples of the path's parameters in.
func fill(path string, op described) string {
	topic := "greetings"
	if strings.Contains(path, "{key}") {
		topic = "profiles"
	}
	path = strings.NewReplacer("{topic}", topic, "{partition}", "0", "{key}", "u1", "{offset}", "0",
		"{node}", "1", "{group}", "workers", "{member}", "http.5f3c1c76-8f0e-4a27-9f0b-6f1f9a1f4c55").Replace(path)
	if op.OperationID == "trimPartition" {
		path += "?before=1"
	}
	if op.OperationID == "readPartition" {
		path += "?offset=0"
	}
	return path
}

// example is the first body that the operation shows; "hello" where any bytes
// will do.
func example(t *testing.T, op described) (mediaType, body string) {
	t.Helper()
	for name, m := range op.RequestBody.Content {
		if m.Example == nil {
			continue
		}
		text, err := json.Marshal(m.Example)
		if err != nil {
			t.Fatal(err)
		}
		return name, string(text)
	}
	if strings.HasPrefix(op.OperationID, "produceRecord") || op.OperationID == "putKey" ||
		op.OperationID == "produceToPartition" {
		return "text/plain", "hello"
	}
	return "", ""
}

func try(t *testing.T, n *servertest.Node, route, mediaType, body string) {
	t.Helper()
	method, path, _ := strings.Cut(route, " ")
	req, err := http.NewRequestWithContext(t.Context(), method, n.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if mediaType != "" {
		req.Header.Set("Content-Type", mediaType)
	}
	resp, err := n.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		t.Errorf("%s %s: %d %s", method, path, resp.StatusCode, text)
	}
}

// The examples of answers are answers that the description allows.
func TestAnswerExamplesAreValid(t *testing.T) {
	doc, err := libopenapi.NewDocument(gen.Spec)
	if err != nil {
		t.Fatal(err)
	}
	v, errs := validator.NewValidator(doc)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	count := 0
	for path, methods := range operations(t) {
		for method, op := range methods {
			for status, r := range op.Responses {
				for mediaType, m := range r.Content {
					if m.Example == nil || mediaType != "application/json" {
						continue
					}
					count++
					checkExample(t, v, method+" "+fill(path, op)+" "+status, m.Example)
				}
			}
		}
	}
	if count == 0 {
		t.Error("no example was found")
	}
}

func checkExample(t *testing.T, v validator.Validator, answer string, example any) {
	t.Helper()
	parts := strings.Fields(answer)
	method, path, status := parts[0], parts[1], parts[2]
	body, err := json.Marshal(example)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(method, "http://127.0.0.1:8080"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	code := map[string]int{"200": 200, "201": 201, "202": 202, "207": 207}[status]
	resp := &http.Response{
		StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Request: req,
		Body: io.NopCloser(bytes.NewReader(body)),
	}
	if ok, errs := v.ValidateHttpResponse(req, resp); !ok {
		t.Errorf("%s: the example is wrong: %v", answer, errs)
	}
}
