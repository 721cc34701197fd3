package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/chroniklog/chronik/api/gen"
)

// described is as much of openapi.yaml as its examples need.
type described struct {
	Paths      map[string]map[string]json.RawMessage `json:"paths"`
	Components struct {
		Parameters    map[string]parameter   `json:"parameters"`
		RequestBodies map[string]requestBody `json:"requestBodies"`
	} `json:"components"`
}

type parameter struct {
	Ref      string `json:"$ref"`
	Name     string `json:"name"`
	In       string `json:"in"`
	Required bool   `json:"required"`
	Example  any    `json:"example"`
}

type requestBody struct {
	Ref     string `json:"$ref"`
	Content map[string]struct {
		Example json.RawMessage `json:"example"`
	} `json:"content"`
}

type operation struct {
	ID          string      `json:"operationId"`
	Parameters  []parameter `json:"parameters"`
	RequestBody requestBody `json:"requestBody"`
}

// example is one request that the description shows.
type example struct {
	id, method, path string
	parameters       []parameter
	kind             string // Content-Type; empty: no body
	body             []byte
}

// examples lists one request per operation and example body.
func examples(t *testing.T) []example {
	t.Helper()
	var d described
	if err := json.Unmarshal(gen.Spec, &d); err != nil {
		t.Fatal(err)
	}
	var all []example
	for path, item := range d.Paths {
		var shared []parameter
		if raw, ok := item["parameters"]; ok {
			if err := json.Unmarshal(raw, &shared); err != nil {
				t.Fatal(err)
			}
		}
		for method, raw := range item {
			if !slices.Contains([]string{"get", "head", "put", "post", "patch", "delete"}, method) {
				continue
			}
			var op operation
			if err := json.Unmarshal(raw, &op); err != nil {
				t.Fatal(err)
			}
			e := example{id: op.ID, method: strings.ToUpper(method), path: path}
			for _, p := range append(slices.Clone(shared), op.Parameters...) {
				if name, ok := strings.CutPrefix(p.Ref, "#/components/parameters/"); ok {
					p = d.Components.Parameters[name]
				}
				e.parameters = append(e.parameters, p)
			}
			all = append(all, e.bodies(op, d)...)
		}
	}
	return all
}

// bodies makes one example per body that the operation shows. A body of any
// type is sent as some bytes.
func (e example) bodies(op operation, d described) []example {
	body := op.RequestBody
	if name, ok := strings.CutPrefix(body.Ref, "#/components/requestBodies/"); ok {
		body = d.Components.RequestBodies[name]
	}
	if len(body.Content) == 0 {
		return []example{e}
	}
	var all []example
	for kind, content := range body.Content {
		one := e
		one.kind, one.body = kind, content.Example
		switch {
		case kind == "*/*":
			one.kind, one.body = "text/plain", []byte("hello")
		case content.Example == nil:
			continue
		}
		all = append(all, one)
	}
	return all
}

// rank orders examples so that each finds what it needs: create, write, read,
// change, delete.
func (e example) rank() int {
	switch {
	case e.id == "createTopic":
		return 0
	case e.id == "ensureTopic":
		return 1
	case e.method == http.MethodPost && e.id != "addPartitions", e.id == "putKey":
		return 2
	case e.method == http.MethodGet || e.method == http.MethodHead:
		return 3
	case e.id == "deleteTopic":
		return 6
	case e.method == http.MethodDelete:
		return 5
	default:
		return 4
	}
}

// url fills in the parameters' examples. Keys need a compacted topic.
func (e example) url(t *testing.T, address string) string {
	t.Helper()
	path, query := e.path, url.Values{}
	for _, p := range e.parameters {
		value := p.Example
		switch {
		case p.Name == "topic" && strings.Contains(e.path, "/keys/"):
			value = "compacted"
		case p.Name == "before":
			value = 0
		}
		switch {
		case p.In == "path" && value == nil:
			t.Errorf("%s: the parameter %s has no example", e.id, p.Name)
		case p.In == "path":
			path = strings.ReplaceAll(path, "{"+p.Name+"}", url.PathEscape(fmt.Sprint(value)))
		case p.In == "query" && value != nil:
			query.Set(p.Name, fmt.Sprint(value))
		case p.Required:
			t.Errorf("%s: the required parameter %s has no example", e.id, p.Name)
		}
	}
	return "http://" + address + path + "?" + query.Encode()
}

// TestDescribedExamplesWork sends every example request of openapi.yaml to a
// fresh node.
func TestDescribedExamplesWork(t *testing.T) {
	address := withNode(t)
	must(t, "", "topic", "create", "compacted", "-c", "cleanup.policy=compact")
	all := examples(t)
	slices.SortFunc(all, func(a, b example) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.path, b.path), cmp.Compare(a.kind, b.kind))
	})
	for _, e := range all {
		req, err := http.NewRequestWithContext(t.Context(), e.method, e.url(t, address), bytes.NewReader(e.body))
		if err != nil {
			t.Fatal(err)
		}
		if e.kind != "" {
			req.Header.Set("Content-Type", e.kind)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", e.id, err)
		}
		answer, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode >= 300 {
			t.Errorf("%s: %s %s %s: %s: %s, %v", e.id, e.method, req.URL, e.body, resp.Status, answer, err)
		}
	}
	if len(all) < 20 {
		t.Errorf("only %d examples were found", len(all))
	}
}
