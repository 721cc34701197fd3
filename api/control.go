package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/chroniklog/chronik/api/gen"
)

// control is what the generated server does not check: unknown query
// parameters, the Content-Type, and members of the body that nobody reads. It
// stands between the middleware and the generated handler.
type control struct {
	next      http.Handler
	query     []string      // the parameters that the operation knows
	body      func() any    // what the JSON body is; nil: the operation takes none
	empty     bool          // an absent body is fine
	mediaType string        // of the body
	timeout   time.Duration // for the broker's answer
}

const typeMergePatch = "application/merge-patch+json"

// control wraps the control plane's handlers; others are returned as they are.
func (s *Server) control(method, pattern string, h http.Handler) http.Handler {
	c := &control{next: h, mediaType: typeJSON, timeout: s.limits.AppendTimeout}
	switch method + " " + pattern {
	case "GET /v1/topics":
		c.query = []string{"prefix", "limit", "page_token"}
	case "GET /v1/groups":
		c.query = []string{"prefix", "limit", "page_token"}
	case "PUT /v1/groups/{group}/offsets":
		c.body = func() any { return new(gen.OffsetReset) }
	case "POST /v1/topics":
		c.body = func() any { return new(gen.TopicSpec) }
	case "PUT /v1/topics/{topic}":
		c.body, c.empty = func() any { return new(gen.TopicSettings) }, true
	case "PATCH /v1/topics/{topic}":
		c.body, c.mediaType = func() any { return new(gen.TopicPatch) }, typeMergePatch
	case "POST /v1/topics/{topic}/partitions":
		c.body = func() any { return new(gen.AddPartitions) }
	case "POST /v1/cluster/nodes/{node}/drain":
		c.body, c.empty = func() any { return new(gen.Drain) }, true
	case "POST /v1/cluster/restore":
		c.body = func() any { return new(gen.ClusterRestore) }
	case "POST /v1/cluster/restore/topics":
		c.body = func() any { return new(gen.TopicBackup) }
	case "POST /v1/cluster/controller":
		c.body = func() any { return new(gen.ControllerMove) }
	case "POST /v1/cluster/elections":
		c.body, c.empty = func() any { return new(gen.Election) }, true
	case "PUT /v1/topics/{topic}/partitions/{partition}/replicas":
		c.body = func() any { return new(gen.Reassignment) }
	case "GET /v1/topics/{topic}", "DELETE /v1/topics/{topic}", "GET /v1/topics/{topic}/partitions",
		"GET /v1/topics/{topic}/partitions/{partition}", "HEAD /v1/topics/{topic}/partitions/{partition}",
		"DELETE /v1/topics/{topic}/partitions/{partition}/replicas", "GET /v1/cluster", "GET /v1/cluster/backup",
		"DELETE /v1/cluster/restore",
		"GET /v1/cluster/nodes/{node}", "DELETE /v1/cluster/nodes/{node}", "DELETE /v1/cluster/nodes/{node}/drain",
		"GET /v1/groups/{group}", "DELETE /v1/groups/{group}", "GET /v1/groups/{group}/lag",
		"GET /v1/groups/{group}/offsets", "DELETE /v1/groups/{group}/members/{member}":
	default:
		return h
	}
	return c
}

// ServeHTTP implements http.Handler.
func (c *control) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := readQuery(r.URL.RawQuery, knownQuery(c.query))
	if err == nil && c.body != nil {
		err = c.checkBody(r)
	}
	if err != nil {
		writeProblem(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), c.timeout)
	defer cancel()
	c.next.ServeHTTP(w, r.WithContext(ctx))
}

// knownQuery is a sink that only has readQuery check the names.
type knownQuery []string

func (k knownQuery) names() []string          { return k }
func (k knownQuery) set(string, string) error { return nil }

// checkBody reads the whole body, which the middleware has bounded, judges it
// strictly, and puts it back for the generated code.
func (c *control) checkBody(r *http.Request) error {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return bodyError(err)
	}
	if len(data) == 0 && c.empty {
		r.Body = http.NoBody
		return nil
	}
	if err := c.checkType(r.Header.Get("Content-Type")); err != nil {
		return err
	}
	if err := strictJSON(data, c.body()); err != nil {
		return err
	}
	r.Body = io.NopCloser(strings.NewReader(string(data)))
	return nil
}

func (c *control) checkType(contentType string) error {
	mediaType, _, _ := strings.Cut(contentType, ";")
	if strings.EqualFold(strings.TrimSpace(mediaType), c.mediaType) {
		return nil
	}
	have := "no Content-Type"
	if contentType != "" {
		have = "Content-Type " + clip(contentType)
	}
	option := "--json"
	if c.mediaType != typeJSON {
		option = "-H 'Content-Type: " + c.mediaType + "'"
	}
	return badRequest(CodeUnsupportedMediaType, "this operation reads %s, the request has %s (with curl, use %s)",
		c.mediaType, have, option)
}

// bindingProblem answers for parameters that the generated code can't bind.
func bindingProblem(w http.ResponseWriter, r *http.Request, err error) {
	var format *gen.InvalidParamFormatError
	if errors.As(err, &format) {
		err = badParameter(format.ParamName, "%s", bindingDetail(format.ParamName))
	}
	writeProblem(w, r, err)
}

func bindingDetail(name string) string {
	switch name {
	case "node":
		return "want a node id, a whole number from 1 to 2147483647"
	case "partition", "limit":
		return "want a whole number from 0 to 2147483647"
	}
	return "the value can't be read"
}
