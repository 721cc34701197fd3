package api

import (
	"errors"
	"io"
	"net"
	"net/http"
)

// bodyError says what a failed read of the request's body means to the
// client. Every handler passes the error of reading r.Body through it.
func bodyError(err error) error {
	var (
		tooLarge *http.MaxBytesError
		timeout  net.Error
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &tooLarge):
		limit := tooLarge.Limit
		return &Error{
			Code: CodeBodyTooLarge, Detail: "the body is larger than the limit of this operation",
			Members: Members{Limit: &limit}, Cause: err,
		}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &Error{Code: CodeTruncatedBody, Detail: "the body ended before its declared length", Cause: err}
	case errors.As(err, &timeout) && timeout.Timeout():
		return &Error{
			Code: CodeRequestTimeout, Cause: err,
			Detail: "the body did not arrive in time: send it faster or in smaller requests",
		}
	}
	return err
}
