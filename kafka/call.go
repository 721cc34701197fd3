package kafka

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/trace"
)

// call is one request, from its frame to its answer.
type call struct {
	frame       *frame
	api         *api
	version     int16
	correlation int32
	clientID    string
	received    time.Time
	req         kmsg.Request // decoded, unless begin did it its own way
	produce     *produce     // a produce request that was dispatched
	// unsupported is set for a version of ApiVersions that is not spoken: its
	// body is not looked at.
	unsupported bool
	// traced is the span of the call, or of one of its parts, if it has any.
	traced trace.SpanContext
}

// receive reads a request's header, decodes its body and begins what must
// begin in the order of the requests.
func (c *conn) receive(f *frame) (*call, error) {
	call := &call{frame: f, received: time.Now()}
	key, version := f.key, int16(binary.BigEndian.Uint16(f.b[2:]))
	call.version, call.correlation = version, int32(binary.BigEndian.Uint32(f.b[4:]))
	call.api = c.k.find(key)
	switch {
	case call.api == nil:
		return nil, fmt.Errorf("%w: unknown key %d", errProtocol, key)
	case version >= call.api.min && version <= call.api.max:
	case key == keyApiVersions:
		call.version, call.unsupported = 0, true
		return call, nil
	default:
		return nil, fmt.Errorf("%w: %s has no version %d here", errProtocol, call.api.name, version)
	}
	r := reader{b: f.b[8:]}
	call.clientID = r.nullableString(false)
	if version >= call.api.flexible {
		r.tags()
	}
	if r.bad {
		return nil, fmt.Errorf("%w: header of %s is cut short", errProtocol, call.api.name)
	}
	if call.api.begin != nil {
		return call, call.api.begin(c, call, r.b)
	}
	call.req = kmsg.RequestForKey(key)
	call.req.SetVersion(version)
	if err := f.decode(func() error { return call.req.ReadFrom(r.b) }); err != nil {
		return nil, fmt.Errorf("%w: %s version %d: %w", errProtocol, call.api.name, version, err)
	}
	return call, nil
}

// plain makes an answer of a handler that only computes a response.
func plain[R kmsg.Request](handle func(*Listener, context.Context, R) kmsg.Response) answerFunc {
	return func(ctx context.Context, c *call, out *output) error {
		resp := handle(c.frame.c.k, ctx, c.req.(R))
		resp.SetVersion(c.version)
		out.buf = resp.AppendTo(out.buf)
		return nil
	}
}

// deadline bounds a handler by the timeout that its request brings.
func deadline(ctx context.Context, millis int32) (context.Context, context.CancelFunc) {
	d := time.Duration(max(millis, 0)) * time.Millisecond
	return context.WithTimeout(ctx, min(d, maxTimeout))
}

// allocateTimeout bounds the wait for producer ids, of which the request says
// nothing.
const allocateTimeout = 30 * time.Second

// maxTimeout bounds the time that a client may have the node wait.
const maxTimeout = 5 * time.Minute

// once tells what a request has asked for before. Where an answer is larger
// than its question, asking again must not multiply it.
type once[K comparable] map[K]struct{}

func (o once[K]) again(k K) bool {
	_, asked := o[k]
	o[k] = struct{}{}
	return asked
}
