package servertest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	oaerrors "github.com/pb33f/libopenapi-validator/errors"
)

// maxValidated bounds the bodies that are held in memory to be validated;
// larger ones pass unseen.
const maxValidated = 32 << 20

// spec is openapi.yaml, loaded once per process: it is some thousand lines.
var spec = sync.OnceValues(loadSpec)

func loadSpec() (validator.Validator, error) {
	name, err := findUp("openapi.yaml")
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	doc, err := libopenapi.NewDocument(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	v, errs := validator.NewValidator(doc, config.WithFormatAssertions())
	if len(errs) > 0 {
		return nil, fmt.Errorf("%s: %v", name, errs)
	}
	return v, nil
}

// findUp looks for name in the working directory and those above it.
func findUp(name string) (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		candidate := filepath.Join(dir, name)
		if _, serr := os.Stat(candidate); serr == nil {
			return candidate, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("%s: %w", name, os.ErrNotExist)
		}
		dir = parent
	}
	return "", err
}

type deliberatelyBad struct{}

// Bad marks requests made with the returned context as wrong on purpose: the
// request is not held against openapi.yaml; the response still is.
func Bad(ctx context.Context) context.Context { return context.WithValue(ctx, deliberatelyBad{}, true) }

// contract is a RoundTripper that fails the test when an exchange breaks
// openapi.yaml.
type contract struct {
	t    testing.TB
	next http.RoundTripper
	spec validator.Validator
}

func newContract(t testing.TB, next http.RoundTripper) *contract {
	v, err := spec()
	if err != nil {
		t.Fatalf("load openapi.yaml: %v", err)
	}
	return &contract{t: t, next: next, spec: v}
}

// RoundTrip implements http.RoundTripper.
func (c *contract) RoundTrip(req *http.Request) (*http.Response, error) {
	seen, sent, err := c.copyRequest(req)
	if err != nil {
		return nil, err
	}
	resp, err := c.next.RoundTrip(sent)
	if err != nil || seen == nil {
		return resp, err
	}
	if req.Context().Value(deliberatelyBad{}) == nil {
		if ok, errs := c.spec.ValidateHttpRequestSync(seen); !ok {
			c.report("request", req, resp, errs)
		}
	}
	return c.checkResponse(seen, resp)
}

// copyRequest buffers the body so that it can be read twice. It returns no
// request to judge when the body is a live stream or too large.
func (c *contract) copyRequest(req *http.Request) (seen, sent *http.Request, err error) {
	if req.Body == nil || req.Body == http.NoBody {
		seen = req.Clone(context.Background())
		return seen, req, nil
	}
	if req.GetBody == nil && req.ContentLength <= 0 || req.ContentLength > maxValidated || lines(req.Header) {
		return nil, req, nil
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, nil, err
	}
	if err := req.Body.Close(); err != nil {
		return nil, nil, err
	}
	sent = req.Clone(req.Context())
	sent.Body = io.NopCloser(bytes.NewReader(body))
	sent.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	seen = req.Clone(context.Background())
	seen.Body = io.NopCloser(bytes.NewReader(body))
	return seen, sent, nil
}

// checkResponse judges status, headers and body; of a live stream only its
// being declared.
func (c *contract) checkResponse(seen *http.Request, resp *http.Response) (*http.Response, error) {
	judged := *resp
	switch {
	case seen.Method == http.MethodHead || resp.StatusCode == http.StatusNoContent ||
		resp.StatusCode == http.StatusNotModified:
		judged.Body = http.NoBody
	case streamed(resp):
		return resp, nil
	default:
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxValidated+1))
		if err != nil {
			return nil, err
		}
		if len(body) > maxValidated {
			resp.Body = rest{io.MultiReader(bytes.NewReader(body), resp.Body), resp.Body}
			return resp, nil
		}
		if err := resp.Body.Close(); err != nil {
			return nil, err
		}
		resp.Body = io.NopCloser(bytes.NewReader(body))
		judged.Body = io.NopCloser(bytes.NewReader(body))
	}
	if ok, errs := c.spec.ValidateHttpResponse(seen, &judged); !ok {
		c.report("response", seen, resp, errs)
	}
	return resp, nil
}

func (c *contract) report(what string, req *http.Request, resp *http.Response, errs []*oaerrors.ValidationError) {
	var b strings.Builder
	for _, e := range errs {
		fmt.Fprintf(&b, "\n\t%s: %s", e.Message, e.Reason)
		for _, s := range e.SchemaValidationErrors {
			fmt.Fprintf(&b, "\n\t\t%s (%s)", s.Reason, s.FieldPath)
		}
	}
	c.t.Errorf("%s %s %s → %d breaks openapi.yaml:%s", what, req.Method, req.URL, resp.StatusCode, b.String())
}

// streamed tells whether a response is a live stream.
func streamed(resp *http.Response) bool {
	media, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	return media == "text/event-stream" || lines(resp.Header)
}

// lines tells a body of one document per line, which the validator takes for
// one document.
func lines(h http.Header) bool {
	media, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return media == "application/x-ndjson"
}

type rest struct {
	io.Reader
	io.Closer
}
