package main

import (
	"context"
	"flag"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// serveNoop answers every request like an append that does nothing: it reads
// the body and writes a constant answer with the headers that a node writes.
// It is the limit of what net/http leaves to do.
func serveNoop(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("noop", flag.ContinueOnError)
	address := flags.String("http", "127.0.0.1:0", "where to listen")
	if err := flags.Parse(args); err != nil {
		return err
	}
	const answer = `{"partition":0,"offset":1234567,"timestamp":1767225600000,"duplicate":false}` + "\n"
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
			header := w.Header()
			header.Set("Content-Type", "application/json")
			header.Set("Location", "/v1/topics/w1/partitions/0/records/1234567")
			header.Set("Content-Length", strconv.Itoa(len(answer)))
			w.WriteHeader(http.StatusCreated)
			io.WriteString(w, answer)
		})}
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { server.Close() })
	if err := server.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return nil
}
