package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"github.com/chroniklog/chronik/server/client"
)

// writer appends lines[from:] to a topic's only partition until it is done or
// the node dies, and returns how many were acknowledged.
type writer func(ctx context.Context, topic string, lines [][]byte) (acknowledged int64, err error)

func (r *realrun) linesByCommand(ctx context.Context) error {
	return r.writeLines(ctx, "lines-by-command", r.produceCommand)
}

func (r *realrun) linesByStream(ctx context.Context) error {
	return r.writeLines(ctx, "lines-by-stream", r.produceStream)
}

// writeLines writes all lines with write: a part, which is then checked, and
// the rest with a kill in the middle. After the kill the log's end tells where
// to go on: there is one writer and one partition.
func (r *realrun) writeLines(ctx context.Context, topic string, write writer) error {
	if err := r.createTopic(ctx, topic, 1); err != nil {
		return err
	}
	all := &log{topic: topic, values: r.in.lines}
	part := &log{topic: topic, values: all.values[:len(all.values)*2/5]}
	if err := r.timedWrite(ctx, write, topic, part.values); err != nil {
		return err
	}
	if err := r.check(ctx, part, thorough); err != nil {
		return fmt.Errorf("before the kill: %w", err)
	}
	if err := r.writeKilled(ctx, write, topic, all.values[len(part.values):]); err != nil {
		return err
	}
	end, err := r.node.highWatermark(ctx, topic, 0)
	if err != nil {
		return err
	}
	if end > int64(len(all.values)) {
		return fmt.Errorf("the log has %d records, more than the %d that were sent", end, len(all.values))
	}
	if err := r.timedWrite(ctx, write, topic, all.values[end:]); err != nil {
		return err
	}
	if err := r.check(ctx, all, thorough); err != nil {
		return fmt.Errorf("after the kill: %w", err)
	}
	r.report.logs = append(r.report.logs, all)
	return nil
}

func (r *realrun) timedWrite(ctx context.Context, write writer, topic string, lines [][]byte) error {
	if len(lines) == 0 {
		return nil
	}
	began := time.Now()
	acknowledged, err := write(ctx, topic, lines)
	if err != nil {
		return err
	}
	if acknowledged != int64(len(lines)) {
		return fmt.Errorf("%d of %d lines were acknowledged, without an error", acknowledged, len(lines))
	}
	r.report.step("written", len(lines), (&log{values: lines}).bytes(), time.Since(began))
	return nil
}

// writeKilled kills the node while lines are written and checks that every
// line that was acknowledged is there again.
func (r *realrun) writeKilled(ctx context.Context, write writer, topic string, lines [][]byte) error {
	before, err := r.node.highWatermark(ctx, topic, 0)
	if err != nil {
		return err
	}
	killed := make(chan error, 1)
	go func() { killed <- r.killAt(ctx, topic, before+int64(len(lines))/4) }()
	acknowledged, err := write(ctx, topic, lines)
	if killErr := <-killed; killErr != nil {
		return killErr
	}
	after, hwErr := r.node.highWatermark(ctx, topic, 0)
	if hwErr != nil {
		return hwErr
	}
	if after < before+acknowledged {
		return fmt.Errorf("%d lines were acknowledged and %d are there", acknowledged, after-before)
	}
	r.report.note("of %d lines on their way %d were acknowledged and %d are there (%v)", len(lines), acknowledged,
		after-before, brief(err))
	return nil
}

// killAt kills the node once the log has reached an offset.
func (r *realrun) killAt(ctx context.Context, topic string, offset int64) error {
	for {
		end, err := r.node.highWatermark(ctx, topic, 0)
		if err != nil {
			return err
		}
		if end >= offset {
			return r.restart(ctx)
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func brief(err error) string {
	if err == nil {
		return "the writer was faster than the kill"
	}
	text := []rune(err.Error())
	return string(text[:min(len(text), 60)])
}

// acknowledgedText is how chronik produce ends when it fails.
var acknowledgedText = regexp.MustCompile(`(\d+) records were acknowledged`)

// produceCommand pipes the lines into chronik produce.
func (r *realrun) produceCommand(ctx context.Context, topic string, lines [][]byte) (int64, error) {
	cmd := r.node.command(ctx, "produce", topic, "--partition", "0")
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, err
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	writeErr := pipeLines(in, lines)
	if err := cmd.Wait(); err != nil {
		m := acknowledgedText.FindSubmatch(said.Bytes())
		if m == nil {
			return 0, fmt.Errorf("%w: %s", err, said.Bytes())
		}
		n, convErr := strconv.ParseInt(string(m[1]), 10, 64)
		if convErr != nil {
			return 0, convErr
		}
		return n, fmt.Errorf("%w: %s", err, said.Bytes())
	}
	return int64(len(lines)), writeErr
}

// pipeLines writes lines to a command that may die.
func pipeLines(in io.WriteCloser, lines [][]byte) error {
	defer in.Close()
	w := bufio.NewWriterSize(in, 256<<10)
	for _, l := range lines {
		if _, err := w.Write(l); err != nil {
			return err
		}
		if err := w.WriteByte('\n'); err != nil {
			return err
		}
	}
	return w.Flush()
}

// produceStream sends the lines over one NDJSON request.
func (r *realrun) produceStream(ctx context.Context, topic string, lines [][]byte) (int64, error) {
	stream, err := r.node.api.Stream(ctx, topic, client.ProduceOptions{Partition: 0})
	if err != nil {
		return 0, err
	}
	for _, l := range lines {
		if err := stream.Append(client.OutRecord{Value: l}); err != nil {
			return stream.Acknowledged(), err
		}
	}
	err = stream.Close()
	return stream.Acknowledged(), err
}

// consumeCommand runs chronik consume and hands its output to compare.
func (r *realrun) consumeCommand(ctx context.Context, l *log, compare func(io.Reader) error, args ...string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	args = append([]string{"consume", l.topic, "--partition", strconv.Itoa(l.partition), "--limit",
		strconv.Itoa(len(l.values))}, args...)
	cmd := r.node.command(ctx, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := compare(out); err != nil {
		cancel()
		return joinWait(err, cmd)
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, said.Bytes())
	}
	return nil
}

func joinWait(err error, cmd *exec.Cmd) error {
	_ = cmd.Wait() // it was cancelled
	return err
}
