package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// depth says how much of a log is read in every form.
type depth int

const (
	quick    depth = iota // by chronik consume only
	thorough              // in all forms
)

// Bounds of reads.
const (
	pageRecords   = 1000
	getters       = 32
	shortGetEvery = 25 // of the short form: every so many records are read one by one
)

// check reads l back and compares every byte.
func (r *realrun) check(ctx context.Context, l *log, d depth) error {
	if len(l.values) == 0 {
		return nil
	}
	forms := []struct {
		name   string
		read   func(context.Context, *log) error
		stride int // of how many records one is read
	}{
		{"chronik consume", r.checkConsume, 1}, {"chronik consume --exact", r.checkExact, 1},
		{"JSON", r.checkJSON, 1}, {"NDJSON", r.checkNDJSON, 1}, {"format=value", r.checkValues, 1},
		{"one by one", r.checkSingle, r.stride(l)},
	}
	if d == quick {
		forms = forms[:1]
	}
	for _, f := range forms {
		began := time.Now()
		if err := f.read(ctx, l); err != nil {
			return fmt.Errorf("%s/%d as %s: %w", l.topic, l.partition, f.name, err)
		}
		r.report.step(fmt.Sprintf("%s/%d read: %s", l.topic, l.partition, f.name), len(l.values)/f.stride,
			l.bytes()/int64(f.stride), time.Since(began))
	}
	return nil
}

func (r *realrun) checkConsume(ctx context.Context, l *log) error {
	return r.consumeCommand(ctx, l, func(out io.Reader) error { return sameBytes(out, l, "\n") })
}

func (r *realrun) checkExact(ctx context.Context, l *log) error {
	return r.consumeCommand(ctx, l, func(out io.Reader) error { return sameBytes(out, l, "") }, "--exact")
}

// sameBytes compares a stream with the values, each followed by end.
func sameBytes(stream io.Reader, l *log, end string) error {
	in := bufio.NewReaderSize(stream, 1<<20)
	if err := sameValues(in, l.values, 0, end); err != nil {
		return err
	}
	if rest, err := io.Copy(io.Discard, in); rest > 0 || err != nil {
		return fmt.Errorf("%d bytes too many: %w", rest, err)
	}
	return nil
}

func sameValues(in io.Reader, values [][]byte, first int, end string) error {
	var got []byte
	for i, want := range values {
		got = append(got[:0], make([]byte, len(want)+len(end))...)
		if _, err := io.ReadFull(in, got); err != nil {
			return fmt.Errorf("record %d: %w", first+i, err)
		}
		if !bytes.Equal(got[:len(want)], want) || string(got[len(want):]) != end {
			return different(first+i, got, want)
		}
	}
	return nil
}

func different(i int, got, want []byte) error {
	return fmt.Errorf("record %d is %.80q, not %.80q", i, got, want)
}

// readable is a record of the API's JSON.
type readable struct {
	Partition   int     `json:"partition"`
	Offset      int64   `json:"offset"`
	Key         *string `json:"key"`
	KeyEncoding string  `json:"key_encoding"`
	Value       *string `json:"value"`
	Encoding    string  `json:"encoding"`
	// A stream's lines that are no records.
	Heartbeat json.RawMessage `json:"heartbeat"`
	End       json.RawMessage `json:"end"`
	Error     json.RawMessage `json:"error"`
}

func (l *log) same(rec readable, i int) error {
	if rec.Offset != int64(i) || rec.Partition != l.partition || rec.Value == nil {
		return fmt.Errorf("record %d came as %d/%d (value there: %v)", i, rec.Partition, rec.Offset, rec.Value != nil)
	}
	value, err := decoded(*rec.Value, rec.Encoding)
	if err != nil {
		return fmt.Errorf("record %d: %w", i, err)
	}
	if !bytes.Equal(value, l.values[i]) {
		return different(i, value, l.values[i])
	}
	if l.keys != nil && (rec.Key == nil || *rec.Key != l.keys[i]) {
		return fmt.Errorf("record %d has not the key %q", i, l.keys[i])
	}
	return nil
}

func decoded(text, encoding string) ([]byte, error) {
	if encoding == "base64" {
		return base64.StdEncoding.DecodeString(text)
	}
	return []byte(text), nil
}

// get asks for records of l from offset on, at most to the log's expected end.
func (r *realrun) get(ctx context.Context, l *log, offset int, query, accept string) (*http.Response, error) {
	url := fmt.Sprintf("http://%s/v1/topics/%s/partitions/%d/records?offset=%d&end=%d&limit=%d%s", r.node.address, l.topic,
		l.partition, offset, len(l.values), pageRecords, query)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := r.node.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)) // the status is the error
		resp.Body.Close()
		return nil, fmt.Errorf("%s: %s: %s", url, resp.Status, text)
	}
	return resp, nil
}

func (r *realrun) checkJSON(ctx context.Context, l *log) error {
	for offset := 0; offset < len(l.values); {
		resp, err := r.get(ctx, l, offset, "", "application/json")
		if err != nil {
			return err
		}
		var page struct {
			Records []readable `json:"records"`
			Next    int        `json:"next_offset"`
		}
		err = json.NewDecoder(resp.Body).Decode(&page)
		resp.Body.Close()
		if err != nil {
			return err
		}
		for i, rec := range page.Records {
			if err := l.same(rec, offset+i); err != nil {
				return err
			}
		}
		if page.Next != offset+len(page.Records) || page.Next == offset {
			return fmt.Errorf("%d records from %d on, next is %d", len(page.Records), offset, page.Next)
		}
		offset = page.Next
	}
	return nil
}

func (r *realrun) checkNDJSON(ctx context.Context, l *log) error {
	for offset := 0; offset < len(l.values); {
		resp, err := r.get(ctx, l, offset, "", "application/x-ndjson")
		if err != nil {
			return err
		}
		from := offset
		n, err := l.sameLines(resp.Body, offset)
		resp.Body.Close()
		if err != nil {
			return err
		}
		if offset += n; offset == from {
			return fmt.Errorf("no record at offset %d", offset)
		}
	}
	return nil
}

// sameLines compares a stream of NDJSON with the records from offset on and
// returns how many came.
func (l *log) sameLines(stream io.Reader, offset int) (n int, err error) {
	for dec := json.NewDecoder(stream); ; {
		var rec readable
		switch err := dec.Decode(&rec); {
		case errors.Is(err, io.EOF):
			return n, nil
		case err != nil:
			return n, err
		case rec.Error != nil:
			return n, fmt.Errorf("after record %d: %s", offset+n, rec.Error)
		case rec.Heartbeat != nil || rec.End != nil:
			continue
		}
		if err := l.same(rec, offset+n); err != nil {
			return n, err
		}
		n++
	}
}

func (r *realrun) checkValues(ctx context.Context, l *log) error {
	for offset := 0; offset < len(l.values); {
		resp, err := r.get(ctx, l, offset, "&format=value", "")
		if err != nil {
			return err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return err
		}
		// Where an answer ends is known when it has ended: it may be a trailer.
		next, err := strconv.Atoi(resp.Header.Get("Log-Next-Offset") + resp.Trailer.Get("Log-Next-Offset"))
		if err != nil || next <= offset || next > len(l.values) {
			return fmt.Errorf("the offset after %d is %d of %d: %w", offset, next, len(l.values), err)
		}
		if err := sameBytes(bytes.NewReader(body), &log{values: l.values[offset:next]}, "\n"); err != nil {
			return fmt.Errorf("from offset %d: %w", offset, err)
		}
		offset = next
	}
	return nil
}

// stride is how far apart the records are that are read one by one.
func (r *realrun) stride(l *log) int {
	if r.in.short && l.keys == nil {
		return shortGetEvery
	}
	return 1
}

// checkSingle reads records one by one, in the short form a part of them.
func (r *realrun) checkSingle(ctx context.Context, l *log) error {
	step := r.stride(l)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var group sync.WaitGroup
	for range getters {
		group.Go(func() {
			g := &getter{address: r.node.address}
			defer g.close()
			for i := int(next.Add(1)-1) * step; i < len(l.values) && ctx.Err() == nil; i = int(next.Add(1)-1) * step {
				if err := l.checkRecord(g, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

func (l *log) checkRecord(g *getter, i int) error {
	got, contentType, err := g.get(l, i)
	switch {
	case err != nil:
		return fmt.Errorf("record %d: %w", i, err)
	case !bytes.Equal(got, l.values[i]):
		return different(i, got, l.values[i])
	case l.types != nil && contentType != l.types[i]:
		return fmt.Errorf("record %d has the type %q, not %q", i, contentType, l.types[i])
	}
	return nil
}
