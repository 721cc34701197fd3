package middleware

import (
	"errors"
	"fmt"
	"time"
)

// The conditions that end a request before its handler, or while its body is
// read. The typed errors match their sentinel and carry the detail.
var (
	// ErrHostNotAllowed: the Host header is none of the node's names.
	ErrHostNotAllowed = errors.New("host not allowed")
	// ErrCrossOrigin: a browser says that another origin's page sent this.
	ErrCrossOrigin = errors.New("cross-origin request")
	// ErrBodyTooLarge: see BodyTooLargeError.
	ErrBodyTooLarge = errors.New("body is too large")
	// ErrDecompressedTooLarge: see DecompressedTooLargeError.
	ErrDecompressedTooLarge = errors.New("decompressed body is too large")
	// ErrTooManyBytes: see TooManyBytesError. Retryable.
	ErrTooManyBytes = errors.New("too many bytes in flight")
	// ErrUnsupportedEncoding: the Content-Encoding is unknown.
	ErrUnsupportedEncoding = errors.New("unsupported content encoding")
	// ErrInvalidCompression: the body is not what its Content-Encoding says.
	ErrInvalidCompression = errors.New("invalid compression")
	// ErrPanic: the handler panicked; the error's text is for the log only.
	ErrPanic = errors.New("panic")
)

// BodyTooLargeError is ErrBodyTooLarge with the route's limit.
type BodyTooLargeError struct {
	Limit int64 // bytes as sent
}

func (e *BodyTooLargeError) Error() string {
	return fmt.Sprintf("the body is larger than %d bytes", e.Limit)
}

// Is matches ErrBodyTooLarge.
func (e *BodyTooLargeError) Is(target error) bool { return target == ErrBodyTooLarge }

// DecompressedTooLargeError is ErrDecompressedTooLarge with the limit that was
// passed: of bytes, or of the ratio to the bytes as sent.
type DecompressedTooLargeError struct {
	Limit int64 // bytes; 0: the ratio was passed
	Ratio int64
}

func (e *DecompressedTooLargeError) Error() string {
	if e.Limit == 0 {
		return fmt.Sprintf("the body grows more than %d times when decompressed", e.Ratio)
	}
	return fmt.Sprintf("the decompressed body is larger than %d bytes", e.Limit)
}

// Is matches ErrDecompressedTooLarge.
func (e *DecompressedTooLargeError) Is(target error) bool { return target == ErrDecompressedTooLarge }

// TooManyBytesError is ErrTooManyBytes with the time after which, at the rate
// of the last seconds, there will be room.
type TooManyBytesError struct {
	Limit      int64
	RetryAfter time.Duration
}

func (e *TooManyBytesError) Error() string {
	return fmt.Sprintf("request bodies of %d bytes are in flight on this node, its limit", e.Limit)
}

// Is matches ErrTooManyBytes.
func (e *TooManyBytesError) Is(target error) bool { return target == ErrTooManyBytes }
