package loadgen

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// errAnswer marks bytes that are no HTTP/1.1 answer.
var errAnswer = errors.New("not an HTTP/1.1 answer")

// answer is what a load needs of an HTTP answer; its body is dropped.
type answer struct {
	status int
	bytes  int64
	closes bool // the server ends the connection after it
}

// readAnswer reads one answer with a Content-Length or in chunks.
func readAnswer(in *bufio.Reader) (answer, error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return answer{}, err
	}
	const prefix = "HTTP/1.1 "
	if len(line) < len(prefix)+3 || string(line[:len(prefix)]) != prefix {
		return answer{}, fmt.Errorf("%w: %.40q", errAnswer, line)
	}
	status, err := strconv.Atoi(string(line[len(prefix) : len(prefix)+3]))
	if err != nil {
		return answer{}, fmt.Errorf("%w: %.40q", errAnswer, line)
	}
	a := answer{status: status}
	length, err := a.headers(in)
	if err != nil {
		return a, err
	}
	switch {
	case status == 204 || status == 304:
		return a, nil
	case length >= 0:
		a.bytes = length
		_, err = in.Discard(int(length))
	default:
		err = a.chunks(in)
	}
	return a, err
}

// headers reads up to the empty line. The length is -1 for chunks.
func (a *answer) headers(in *bufio.Reader) (length int64, err error) {
	chunked := false
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case is(name, "content-length"):
			if length, err = strconv.ParseInt(string(value), 10, 64); err != nil || length < 0 {
				return 0, fmt.Errorf("%w: Content-Length %.40q", errAnswer, value)
			}
		case is(name, "transfer-encoding"):
			chunked = is(value, "chunked")
		case is(name, "connection"):
			a.closes = is(value, "close")
		}
	}
	if chunked {
		return -1, nil
	}
	return length, nil
}

func is(b []byte, lower string) bool {
	return len(b) == len(lower) && strings.EqualFold(string(b), lower)
}

func (a *answer) chunks(in *bufio.Reader) error {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseUint(string(bytes.TrimRight(line, "\r\n")), 16, 32)
		if err != nil {
			return fmt.Errorf("%w: chunk size %.40q", errAnswer, line)
		}
		a.bytes += int64(size)
		if _, err := io.CopyN(io.Discard, in, int64(size)+2); err != nil {
			return err
		}
		if size == 0 {
			return nil
		}
	}
}
