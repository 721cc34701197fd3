package middleware

import (
	"net/http"
	"strings"
	"time"
)

// streamCharge is what a body without end is charged: its handler holds no
// more than a few lines at once.
const streamCharge = 1 << 20

// Spec says what a route takes.
type Spec struct {
	Method, Pattern string
	// MaxBody is the most bytes of a body, as sent and decompressed. 0: the
	// route takes no body; what is sent is not read.
	MaxBody int64
	// StreamType, when not empty, is the media type whose bodies have no end.
	StreamType string
	// Untraced routes make no spans: health and metrics.
	Untraced bool
}

// Route is one route's handler with what it passes.
type Route struct {
	chain   *Chain
	spec    Spec
	name    string // of the span
	metrics *routeMetrics
	next    http.Handler
}

// Route is the inner half of the chain, around next.
func (c *Chain) Route(spec Spec, next http.Handler) *Route {
	return &Route{
		chain: c, spec: spec, name: spec.Method + " " + spec.Pattern,
		metrics: c.metrics.route(spec.Method, spec.Pattern), next: next,
	}
}

// ServeHTTP implements http.Handler. w must come through the outer half.
func (rt *Route) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	resp := of(w)
	resp.route = rt
	if !rt.spec.Untraced {
		r = rt.trace(resp, r)
	}
	if r.ContentLength != 0 && rt.spec.MaxBody > 0 {
		if err := rt.admit(resp, r); err != nil {
			rt.chain.cfg.Fail(w, r, err)
			return
		}
	}
	if v := r.Header["Accept-Encoding"]; len(v) > 0 {
		resp.accept = negotiate(v[0])
		rt.conditions(r)
	}
	rt.next.ServeHTTP(w, r)
}

// admit decides on a body before any of it is read.
func (rt *Route) admit(resp *Response, r *http.Request) error {
	c := rt.chain
	stream := rt.spec.StreamType != "" && hasType(r.Header, rt.spec.StreamType)
	limit := rt.spec.MaxBody
	if stream {
		limit = 0
	}
	charge := r.ContentLength
	switch {
	case limit > 0 && charge > limit:
		return &BodyTooLargeError{Limit: limit}
	case stream:
		charge = streamCharge
	case charge < 0: // chunked: charged as it comes
		charge = 0
	}
	if charge > 0 {
		if err := c.admission.acquire(charge); err != nil {
			return err
		}
		resp.held = charge
	}
	coding, err := codingOf(r.Header.Get("Content-Encoding"))
	if err != nil {
		return err
	}
	if !stream {
		// A stream's deadline is its handler's, line by line. The server
		// resets the deadline for the connection's next request. It is the
		// machine's clock that counts, whatever Now says.
		_ = http.NewResponseController(resp.ResponseWriter).
			SetReadDeadline(time.Now().Add(c.cfg.BodyTimeout)) // fails on writers without one: tests
	}
	if coding == identity && r.ContentLength > 0 {
		return nil
	}
	resp.body = body{
		src: r.Body, coding: coding, limit: limit, ratio: c.cfg.MaxRatio, stream: stream,
		admission: c.admission, held: &resp.held, codecs: &c.codecs,
	}
	r.Body = &resp.body
	if coding != identity {
		r.Header.Del("Content-Encoding")
		r.ContentLength = -1
	}
	return nil
}

// conditions takes the codings out of the ETags that a client sends back.
func (rt *Route) conditions(r *http.Request) {
	for _, name := range [...]string{"If-None-Match", "If-Match"} {
		for i, v := range r.Header[name] {
			if strings.Contains(v, "-") {
				r.Header[name][i] = plainTags(v)
			}
		}
	}
}

func hasType(h http.Header, mediaType string) bool {
	v := h.Get("Content-Type")
	v, _, _ = strings.Cut(v, ";")
	return strings.EqualFold(strings.TrimSpace(v), mediaType)
}
