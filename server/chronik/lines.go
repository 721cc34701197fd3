package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Sizes of the chunks in which stdin is read.
const (
	chunkBytes   = 256 << 10
	maxLineBytes = 64 << 20 // a node refuses far smaller records
)

// errLineTooLong ends a produce whose input has no line breaks.
var errLineTooLong = fmt.Errorf("a line has more than %d bytes: use --file for whole files", maxLineBytes)

// chunk is a run of whole lines, or the reason why there are no more.
type chunk struct {
	lines []byte // ends with '\n', but for the last line of the input
	err   error  // io.EOF at the input's end
}

// readChunks cuts in at line breaks. A chunk is handed on as soon as the input
// pauses, so that a slow producer's lines are not held back. At most two
// chunks wait; recycled buffers come back through free. The goroutine ends at
// the input's end or when stop is closed (a blocked read is left behind: the
// process is about to exit).
func readChunks(in io.Reader, stop <-chan struct{}) (chunks <-chan chunk, free chan<- []byte) {
	out, spare := make(chan chunk, 2), make(chan []byte, 4)
	go func() {
		defer close(out)
		var rest []byte
		for {
			c, left := nextChunk(in, rest, spare)
			rest = left
			select {
			case out <- c:
			case <-stop:
				return
			}
			if c.err != nil {
				return
			}
		}
	}()
	return out, spare
}

// nextChunk reads until there is a line break; rest is what an earlier read
// left, left what this one does.
func nextChunk(in io.Reader, rest []byte, spare <-chan []byte) (c chunk, left []byte) {
	buf := takeBuffer(spare, len(rest))
	n := copy(buf, rest)
	for {
		if n == len(buf) {
			if n >= maxLineBytes {
				return chunk{err: errLineTooLong}, nil
			}
			buf = append(buf, make([]byte, len(buf))...)
		}
		m, err := in.Read(buf[n:])
		fresh := buf[n : n+m]
		end := n + bytes.LastIndexByte(fresh, '\n') + 1
		n += m
		switch {
		case errors.Is(err, io.EOF):
			return chunk{lines: buf[:n], err: io.EOF}, nil
		case err != nil:
			return chunk{err: fmt.Errorf("read the input: %w", err)}, nil
		case bytes.IndexByte(fresh, '\n') >= 0:
			return chunk{lines: buf[:end]}, append([]byte(nil), buf[end:n]...)
		}
	}
}

func takeBuffer(spare <-chan []byte, atLeast int) []byte {
	select {
	case buf := <-spare:
		if buf = buf[:cap(buf)]; len(buf) > atLeast {
			return buf
		}
	default:
	}
	return make([]byte, max(chunkBytes, 2*atLeast))
}

// eachLine calls fn with every line of c, without its line break. The last
// line of the input counts although nothing ends it.
func eachLine(lines []byte, fn func(line []byte) error) error {
	for len(lines) > 0 {
		line, rest, _ := bytes.Cut(lines, []byte{'\n'})
		if err := fn(line); err != nil {
			return err
		}
		lines = rest
	}
	return nil
}
