package api

import (
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// smallBuffer is the capacity that a pooled buffer starts with, pooledMost
	// the one above which it is left to the collector: one large request must
	// not pin its memory for ever.
	smallBuffer = 4 << 10
	pooledMost  = 512 << 10
)

// buffer is a pooled byte slice; the pool holds pointers, which cost nothing
// to put into an interface.
type buffer struct{ b []byte }

var buffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, smallBuffer)} }}

func getBuffer() *buffer {
	b, _ := buffers.Get().(*buffer)
	b.b = b.b[:0]
	return b
}

func putBuffer(b *buffer) {
	if cap(b.b) <= pooledMost {
		buffers.Put(b)
	}
}

// timers are stopped ones, for waits that rarely run out.
var timers = sync.Pool{New: func() any {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}}

func getTimer(d time.Duration) *time.Timer {
	t, _ := timers.Get().(*time.Timer)
	t.Reset(d)
	return t
}

// putTimer stops t. Since Go 1.23 no stale tick can remain in its channel.
func putTimer(t *time.Timer) {
	t.Stop()
	timers.Put(t)
}

// readBody appends the request's body to dst. limit is the handler's own bound
// on it, whatever the route's admission allows.
func readBody(r *http.Request, dst []byte, limit int64) ([]byte, error) {
	if r.ContentLength == 0 || r.Body == nil {
		return dst, nil
	}
	if r.ContentLength > limit {
		return dst, bodyTooLarge(limit)
	}
	if n := int(r.ContentLength); n > 0 && cap(dst)-len(dst) < n+1 {
		dst = append(make([]byte, 0, len(dst)+n+1), dst...) // +1: room to see the end
	}
	start := len(dst)
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		n, err := r.Body.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if int64(len(dst)-start) > limit {
			return dst, bodyTooLarge(limit)
		}
		switch {
		case err == io.EOF: //nolint:errorlint // io.Reader's contract
			return dst, nil
		case err != nil:
			return dst, bodyError(err)
		case int64(len(dst)-start) == r.ContentLength:
			return dst, nil // the server has what it announced
		}
	}
}

func bodyTooLarge(limit int64) error {
	return &Error{
		Code: CodeBodyTooLarge, Detail: "the body is larger than the limit of this operation",
		Members: Members{Limit: &limit},
	}
}
