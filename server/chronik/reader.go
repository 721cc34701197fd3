package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/chroniklog/chronik/server/client"
	"github.com/chroniklog/chronik/storage/record"
)

// Bounds of one partition's reading.
const (
	fetchBytes     = 4 << 20
	fetchWait      = 30 * time.Second
	retryPause     = time.Second
	maxRecordBatch = 1 << 30 // decompressed
)

// reader reads partitions into a sink.
type reader struct {
	api     *client.Client
	cmd     ConsumeCmd
	start   start
	sink    *sink
	streams Streams

	complaints complaints
}

// complaints tells of each trouble once in a while, however many partitions
// have it and however often they try again.
type complaints struct {
	mu   sync.Mutex
	last map[string]time.Time // by the problem's code
}

// complainEvery is how long the same trouble is not told again.
const complainEvery = 30 * time.Second

func (c *complaints) say(out io.Writer, err error, now time.Time) {
	what := "" // no answer, in one way or another
	var problem *client.Problem
	if errors.As(err, &problem) {
		what = problem.Code // the sentence has a trace id
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if last, told := c.last[what]; told && now.Sub(last) < complainEvery {
		return
	}
	if c.last == nil {
		c.last = make(map[string]time.Time)
	}
	c.last[what] = now
	fmt.Fprintf(out, "chronik: %v; trying again\n", err)
}

// partition reads one partition to its end, or for ever with --follow.
func (r *reader) partition(ctx context.Context, p client.Partition) error {
	var err error
	p.LogStartOffset, p.HighWatermark, err = r.api.Offsets(ctx, r.cmd.Topic, p.Partition)
	if err != nil {
		return err
	}
	offset, err := r.start.in(ctx, r.api, r.cmd.Topic, p)
	if err != nil {
		return err
	}
	request := client.FetchRequest{Topic: r.cmd.Topic, Partition: p.Partition, Offset: offset, MaxBytes: fetchBytes}
	if r.cmd.Follow {
		request.Wait = fetchWait
	}
	var batches record.Reader
	for r.cmd.Follow || request.Offset < p.HighWatermark {
		got, err := r.api.Fetch(ctx, request)
		if err != nil {
			if err = r.pauseAfter(ctx, err); err != nil {
				return err
			}
			continue
		}
		end := int64(-1)
		if !r.cmd.Follow {
			end = p.HighWatermark
		}
		if err := r.sink.batches(&batches, p.Partition, span{got.Batches, request.Offset, end}); err != nil {
			return err
		}
		if got.Next <= request.Offset && !r.cmd.Follow {
			return fmt.Errorf("partition %d: the node has no records at offset %d, yet said that it ends at %d",
				p.Partition, request.Offset, p.HighWatermark)
		}
		request.Offset = max(request.Offset, got.Next)
	}
	return nil
}

// pauseAfter waits before another try when following survives err, else
// returns it.
func (r *reader) pauseAfter(ctx context.Context, err error) error {
	var problem *client.Problem
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !r.cmd.Follow || (errors.As(err, &problem) && !problem.Retryable) {
		return err
	}
	pause := retryPause
	if problem != nil && problem.RetryAfter > 0 {
		pause = problem.RetryAfter
	}
	if !r.cmd.Quiet {
		r.complaints.say(r.streams.Err, err, time.Now())
	}
	select {
	case <-time.After(pause):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// span is what of some batches is wanted: records from begin on and, unless
// end is negative, before end.
type span struct {
	batches    []byte
	begin, end int64
}

// sink writes records of all partitions, whole fetches at a time.
type sink struct {
	mu       sync.Mutex
	out      *bufio.Writer
	line     []byte
	format   format
	limit    int64  // 0: none
	full     func() // called once the limit is reached
	records  int64
	bytes    int64
	progress *progress
}

// done says whether the limit was reached.
func (s *sink) done() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limit > 0 && s.records >= s.limit
}

// batches writes the wanted records and flushes them, so that a person or a
// pipe sees each fetch at once.
func (s *sink) batches(r *record.Reader, partition int32, wanted span) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for rest := wanted.batches; len(rest) > 0; {
		var batch []byte
		var err error
		if batch, rest, err = record.Split(rest); err != nil {
			return fmt.Errorf("partition %d: %w", partition, err)
		}
		if err := s.batch(r, partition, batch, wanted); err != nil {
			return fmt.Errorf("partition %d: %w", partition, err)
		}
		if s.limit > 0 && s.records >= s.limit {
			break
		}
	}
	s.progress.show(s.records, s.bytes)
	return s.out.Flush()
}

func (s *sink) batch(r *record.Reader, partition int32, batch []byte, wanted span) error {
	if err := record.CheckCRC(batch); err != nil {
		return err
	}
	header, err := r.Reset(batch, maxRecordBatch)
	if err != nil {
		return err
	}
	if header.Control() {
		return nil
	}
	var rec record.Record
	for r.Next(&rec) {
		if rec.Offset < wanted.begin || (wanted.end >= 0 && rec.Offset >= wanted.end) {
			continue
		}
		if s.limit > 0 && s.records >= s.limit {
			s.full()
			return nil
		}
		s.line = s.format.append(s.line[:0], partition, &rec)
		if _, err := s.out.Write(s.line); err != nil {
			return err
		}
		s.records++
		s.bytes += int64(len(rec.Value))
		if s.records == s.limit {
			s.full()
		}
	}
	return r.Err()
}
