// Package client talks to a node over its HTTP API, for the command line and
// for tools. It knows nothing of the server's own packages but the record batch
// codec, so it sees what any other client sees.
//
// A Client is made once per node address and is safe for concurrent use:
//
//	c, err := client.New("127.0.0.1:8080")
//	stream, err := c.Produce(ctx, "orders", client.ProduceOptions{})
//	batches, err := c.Fetch(ctx, client.FetchRequest{Topic: "orders"})
//
// An answer that is not a success comes back as a *Problem, which carries what
// the server said: what happened, whether a repeat may help, whether anything
// was applied.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// DefaultServer is where a node listens that was told nothing else.
const DefaultServer = "http://127.0.0.1:8080"

// maxAnswerBytes bounds what is read of an answer that is held in memory.
const maxAnswerBytes = 64 << 20

// ErrServer marks a server address that cannot be used.
var ErrServer = errors.New("server address")

// Client is one node as seen over HTTP.
type Client struct {
	base *url.URL
	http *http.Client
}

// New returns a client of the node at server: HOST:PORT or an http(s) URL;
// empty is DefaultServer. Nothing is dialled yet.
func New(server string) (*Client, error) {
	if server == "" {
		server = DefaultServer
	}
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	base, err := url.Parse(server)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, fmt.Errorf("%w %q: write HOST:PORT or http://HOST:PORT", ErrServer, server)
	}
	base.Path = strings.TrimSuffix(base.Path, "/")
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		MaxIdleConnsPerHost:   512,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 2 * time.Minute,
		DisableCompression:    true,
		WriteBufferSize:       64 << 10,
		ReadBufferSize:        64 << 10,
	}
	return &Client{base: base, http: &http.Client{Transport: transport}}, nil
}

// Through returns a client of the same node whose requests pass rt.
func (c *Client) Through(rt http.RoundTripper) *Client {
	return &Client{base: c.base, http: &http.Client{Transport: rt}}
}

// Server is the address that requests go to.
func (c *Client) Server() string { return c.base.String() }

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Path joins escaped path segments below /v1.
func Path(segments ...string) string {
	var b strings.Builder
	b.WriteString("/v1")
	for _, s := range segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(s))
	}
	return b.String()
}

// Call sends in as JSON (nil: no body) and decodes the answer into out (nil:
// the body is dropped). path is an escaped path as Path makes it, with a query
// where there is one.
func (c *Client) Call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode %s %s: %w", method, path, err)
		}
		body = bytes.NewReader(text)
	}
	req, err := c.request(ctx, method, path, nil, body)
	if err != nil {
		return err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
		if method == http.MethodPatch {
			req.Header.Set("Content-Type", "application/merge-patch+json")
		}
	}
	req.Header.Set("Accept", "application/json")
	resp, err := c.do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := readAll(resp.Body)
	if err != nil || out == nil || len(text) == 0 {
		return err
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%s %s: the answer is not what this version understands: %w", method, path, err)
	}
	return nil
}

func (c *Client) request(
	ctx context.Context, method, path string, query url.Values, body io.Reader,
) (*http.Request, error) {
	target := c.base.String() + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return req, nil
}

// do sends a request; an answer of 400 or more is a *Problem and its body is
// consumed.
func (c *Client) do(req *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if resp.StatusCode < http.StatusBadRequest {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, readProblem(resp)
}

// unreachable explains a connection that was refused, which is nearly always a
// node that is not running, and one that ended without an answer.
func (c *Client) unreachable(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return fmt.Errorf("no node answers at %s (%w): start one with \"chronik serve\", "+
			"or name another with --server or CHRONIK_SERVER", c.base, op.Err)
	}
	var asked *url.Error
	if errors.As(err, &asked) && asked.Err == io.EOF {
		return fmt.Errorf("%s ended the connection without an answer (%w): "+
			"the node went away, or this is not a node's HTTP address", c.base, asked.Err)
	}
	return err
}

// readAll reads a whole answer, bounded.
func readAll(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxAnswerBytes+1))
	if err == nil && len(text) > maxAnswerBytes {
		err = fmt.Errorf("the answer has more than %d bytes", maxAnswerBytes)
	}
	return text, err
}
