package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
)

// errAnswer marks an answer that is not what the node gives for a record.
var errAnswer = errors.New("unexpected answer")

// getter reads records one by one over a connection of its own. There are
// millions to read, and net/http's client costs more than the node does.
type getter struct {
	address string
	conn    net.Conn
	in      *bufio.Reader
	out     []byte
	body    []byte
}

func (g *getter) close() {
	if g.conn != nil {
		g.conn.Close()
	}
}

// get returns a record's value, valid until the next call, and its type.
func (g *getter) get(l *log, offset int) (value []byte, contentType string, err error) {
	if g.conn == nil {
		if g.conn, err = net.Dial("tcp", g.address); err != nil {
			return nil, "", err
		}
		g.in = bufio.NewReaderSize(g.conn, 64<<10)
	}
	g.out = fmt.Appendf(g.out[:0], "GET /v1/topics/%s/partitions/%d/records/%d HTTP/1.1\r\nHost: %s\r\n\r\n",
		l.topic, l.partition, offset, g.address)
	if _, err := g.conn.Write(g.out); err != nil {
		return nil, "", err
	}
	status, err := g.in.ReadSlice('\n')
	if err != nil {
		return nil, "", err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200 ")) {
		return nil, "", fmt.Errorf("%w: %q", errAnswer, status)
	}
	length, contentType, err := g.headers()
	if err != nil {
		return nil, "", err
	}
	if cap(g.body) < length {
		g.body = make([]byte, length)
	}
	value = g.body[:length]
	_, err = io.ReadFull(g.in, value)
	return value, contentType, err
}

// headers reads up to the empty line.
func (g *getter) headers() (length int, contentType string, err error) {
	length = -1
	for {
		line, err := g.in.ReadSlice('\n')
		if err != nil {
			return 0, "", err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch string(name) {
		case "Content-Length":
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, "", err
			}
		case "Content-Type":
			contentType = string(value)
		}
	}
	if length < 0 {
		return 0, "", fmt.Errorf("%w: no Content-Length", errAnswer)
	}
	return length, contentType, nil
}
