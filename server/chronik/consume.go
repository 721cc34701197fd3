package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/chroniklog/chronik/server/client"
)

// maxPartitionsAtOnce bounds the requests that one consume holds open.
const maxPartitionsAtOnce = 256

// ConsumeCmd reads records.
type ConsumeCmd struct {
	Remote       `embed:""`
	Topic        string      `arg:"" help:"Topic to read."`
	From         string      `name:"from" default:"earliest" placeholder:"WHERE" help:"Where to start: earliest (without it), latest, an offset, -N for the last N of each partition, or an RFC 3339 time."`
	Group        string      `name:"group" short:"g" placeholder:"NAME" help:"Read as a member of this consumer group: it shares the partitions out among its members and keeps what each has read."`
	Follow       bool        `name:"follow" short:"f" help:"Wait for new records until interrupted, instead of stopping at the end."`
	Limit        count       `name:"limit" short:"n" placeholder:"N" help:"Stop after this many records."`
	Partition    partitionID `name:"partition" short:"p" default:"-1" placeholder:"N" help:"Only this partition."`
	Delimiter    string      `name:"delimiter" short:"d" default:"\\n" placeholder:"TEXT" help:"Text after each value, with Go's escapes; a line feed without it."`
	Exact        bool        `name:"exact" short:"x" help:"Nothing after each value: the exact bytes of the records, one after another."`
	KeySeparator string      `name:"key-separator" short:"K" placeholder:"TEXT" help:"Print each key and this text before its value."`
	Quiet        bool        `name:"quiet" short:"q" help:"Say nothing on stderr but errors."`
}

// Help shows examples.
func (ConsumeCmd) Help() string {
	return `Records of one partition come in their order. With --output json each line is
one record with its partition, offset, timestamp, key and headers, as the HTTP API
gives it. A tombstone has no value and prints nothing in text.

Examples:

    chronik consume greetings
    chronik consume orders --follow --from latest --output json
    chronik consume orders --from 2026-01-31T12:00:00Z -n 100
    chronik consume images --partition 0 --from 7 -n 1 --exact > a.png

With --group the records are acknowledged once they are written, and the next time
the group goes on after them; run it several times to share the work. ^C leaves the
group. A topic that does not exist is created, where the node does so for produce.

    chronik consume orders --group billing --follow`
}

// Run reads until the end that the partitions had when it began, the limit, or
// with --follow an interrupt.
func (c ConsumeCmd) Run(ctx context.Context, streams Streams) error {
	if err := c.checkGroup(); err != nil {
		return err
	}
	start, err := parseStart(c.From)
	if err != nil {
		return err
	}
	format, err := c.format()
	if err != nil {
		return err
	}
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	var partitions []client.Partition
	if c.Group == "" {
		if partitions, err = c.partitions(ctx, api); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sink := &sink{
		out: bufio.NewWriterSize(streams.Out, 256<<10), format: format, limit: int64(c.Limit), full: cancel,
		progress: newProgress(streams, "records", c.Quiet || isTerminal(streams.Out)),
	}
	r := &reader{api: api, cmd: c, start: start, sink: sink, streams: streams}
	if c.Group != "" {
		err = r.group(ctx)
	} else {
		err = c.read(ctx, r, partitions)
	}
	sink.progress.clear()
	if flushed := sink.out.Flush(); err == nil {
		err = flushed
	}
	if sink.done() || (c.Follow && errors.Is(err, context.Canceled)) {
		return nil
	}
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted")
	}
	return err
}

func (c ConsumeCmd) partitions(ctx context.Context, api *client.Client) ([]client.Partition, error) {
	all, err := api.Partitions(ctx, c.Topic)
	if err != nil {
		return nil, err
	}
	if c.Partition >= 0 {
		if int(c.Partition) >= len(all) {
			return nil, fmt.Errorf("topic %s has partitions 0 to %d", c.Topic, len(all)-1)
		}
		all = all[c.Partition : c.Partition+1]
	}
	if len(all) > maxPartitionsAtOnce {
		return nil, fmt.Errorf("topic %s has %d partitions and at most %d are read at once: choose one with --partition",
			c.Topic, len(all), maxPartitionsAtOnce)
	}
	return all, nil
}

// read runs one reader per partition; the first failure stops the others.
func (c ConsumeCmd) read(ctx context.Context, r *reader, partitions []client.Partition) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for _, p := range partitions {
		group.Go(func() {
			if err := r.partition(ctx, p); err != nil {
				cancel(err)
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

// format is the form of one record of the output.
func (c ConsumeCmd) format() (format, error) {
	f := format{json: c.JSON(), keySeparator: c.KeySeparator}
	if c.Exact {
		return f, nil
	}
	delimiter, err := strconv.Unquote(`"` + strings.ReplaceAll(c.Delimiter, `"`, `\"`) + `"`)
	if err != nil {
		return f, usagef("--delimiter %q is no text with escapes such as \\n, \\t or \\x00", c.Delimiter)
	}
	f.delimiter = delimiter
	return f, nil
}

// start is a parsed --from. At most one of its parts is set; with none it is
// the earliest record.
type start struct {
	latest bool
	offset *int64
	tail   int64
	time   time.Time
}

func parseStart(from string) (start, error) {
	switch from {
	case "earliest":
		return start{}, nil
	case "latest":
		return start{latest: true}, nil
	}
	if n, err := strconv.ParseInt(from, 10, 64); err == nil {
		if n < 0 {
			return start{tail: -n}, nil
		}
		return start{offset: &n}, nil
	}
	t, err := time.Parse(time.RFC3339, from)
	if err != nil {
		return start{}, usagef("--from %q: write earliest, latest, an offset, -N, "+
			"or a time such as 2026-01-31T12:00:00Z", from)
	}
	return start{time: t}, nil
}

// in resolves the start to an offset of p.
func (s start) in(ctx context.Context, api *client.Client, topic string, p client.Partition) (int64, error) {
	switch {
	case s.latest:
		return p.HighWatermark, nil
	case s.offset != nil && *s.offset > p.HighWatermark:
		return 0, fmt.Errorf("partition %d ends at offset %d, before %d", p.Partition, p.HighWatermark, *s.offset)
	case s.offset != nil:
		return *s.offset, nil
	case s.tail > 0:
		return max(p.LogStartOffset, p.HighWatermark-s.tail), nil
	case !s.time.IsZero():
		return api.OffsetForTime(ctx, topic, p.Partition, s.time)
	default:
		return p.LogStartOffset, nil
	}
}
