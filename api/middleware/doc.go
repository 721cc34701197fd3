// Package middleware is what every HTTP request passes before and after its
// handler. It is laid out for the produce path, where a request costs tens of
// microseconds in all: one pooled ResponseWriter, no closure per request, no
// span unless tracing is on, no body wrapper unless the body is compressed or
// of unknown length.
//
// A Chain has two halves. Wrap stands around the router: it takes the Response
// from the pool, recovers panics, checks Host and origin, and afterwards logs
// and counts. Route stands around one route's handler, where the route is
// known: admission by bytes, the read deadline of the body, the span,
// decompression, and the negotiation of the answer's encoding.
//
//	Wrap ─► router ─► Route ─► handler
//
// The package knows conditions, not answers: Config.Fail turns an error (one
// of the Err… sentinels here, or the handler's) into a response.
package middleware
