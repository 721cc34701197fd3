package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/chroniklog/chronik/server/client"
)

// idleStream is how long a stream stays open without a line: below the node's
// own patience with a body that does not arrive.
const idleStream = 5 * time.Second

// ProduceCmd appends records.
type ProduceCmd struct {
	Remote       `embed:""`
	Topic        string      `arg:"" help:"Topic to append to; the node may create it."`
	Key          string      `name:"key" short:"k" help:"Key of every record."`
	Header       []string    `name:"header" short:"H" sep:"none" placeholder:"NAME=VALUE" help:"A header of every record; repeatable."`
	KeySeparator string      `name:"key-separator" short:"K" placeholder:"TEXT" help:"Each line is KEY, this text, VALUE; a line without it has no key."`
	Partition    partitionID `name:"partition" short:"p" default:"-1" placeholder:"N" help:"Partition of every record; the node chooses without it."`
	Acks         string      `name:"acks" enum:"all,leader,none" default:"all" help:"When a record counts as written: ${enum}."`
	File         []string    `name:"file" short:"f" sep:"none" placeholder:"FILE" help:"Append this whole file as one record instead of lines; - is stdin; repeatable."`
	Quiet        bool        `name:"quiet" short:"q" help:"Say nothing on stderr but errors."`
}

// Help shows examples.
func (ProduceCmd) Help() string {
	return `Lines end with a line feed, which is not part of the record; everything else is,
a carriage return too. An empty line is an empty record.

When it fails, the number of acknowledged records is part of the message: records
up to there are safe, those after it may or may not have been written.

Examples:

    echo hello | chronik produce greetings
    tail -F access.log | chronik produce access -H host=web1
    printf 'u1:{"n":1}\nu2:{"n":2}\n' | chronik produce users --key-separator :
    chronik produce images --file a.png -k a.png`
}

// Run appends files or lines.
func (c ProduceCmd) Run(ctx context.Context, streams Streams) error {
	record, err := c.template()
	if err != nil {
		return err
	}
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	p := &producer{
		cmd: c, api: api, record: record, streams: streams, progress: newProgress(streams, "records", c.Quiet),
	}
	if len(c.File) > 0 {
		err = p.files(ctx)
	} else {
		err = p.lines(ctx)
	}
	p.progress.clear()
	if err != nil {
		return fmt.Errorf("%w\nrecords acknowledged: %d", err, p.acknowledged())
	}
	return p.summary()
}

// template is what all records share.
func (c ProduceCmd) template() (client.OutRecord, error) {
	var r client.OutRecord
	if c.Key != "" && c.KeySeparator != "" {
		return r, usagef("--key and --key-separator exclude each other")
	}
	if c.Key != "" {
		r.Key = []byte(c.Key)
	}
	for _, h := range c.Header {
		name, value, ok := strings.Cut(h, "=")
		if !ok || name == "" {
			return r, usagef("--header %q: write NAME=VALUE", h)
		}
		r.Headers = append(r.Headers, client.Header{Name: name, Value: []byte(value)})
	}
	return r, nil
}

// producer is one run of ProduceCmd.
type producer struct {
	cmd      ProduceCmd
	api      *client.Client
	record   client.OutRecord
	streams  Streams
	progress *progress
	stream   *client.Stream // nil while the input is idle
	before   int64          // acknowledged on earlier streams
	bytes    int64          // of values, sent
}

func (p *producer) options() client.ProduceOptions {
	return client.ProduceOptions{Partition: int32(p.cmd.Partition), Acks: p.cmd.Acks}
}

func (p *producer) acknowledged() int64 {
	if p.stream == nil {
		return p.before
	}
	return p.before + p.stream.Acknowledged()
}

// lines appends every line of the input. A stream is opened when lines come
// and closed when none came for a while.
func (p *producer) lines(ctx context.Context) error {
	stop := make(chan struct{})
	defer close(stop)
	chunks, free := readChunks(p.streams.In, stop)
	idle := time.NewTimer(idleStream)
	defer idle.Stop()
	for {
		idle.Reset(idleStream)
		select {
		case c := <-chunks:
			if err := p.chunk(ctx, c); err != nil {
				return err
			}
			if c.err != nil {
				return p.endOf(c.err)
			}
			select {
			case free <- c.lines:
			default:
			}
		case <-idle.C:
			if err := p.closeStream(); err != nil {
				return err
			}
		case <-ctx.Done():
			return errors.Join(errors.New("interrupted"), p.closeStream())
		}
	}
}

// endOf finishes after the input's last chunk.
func (p *producer) endOf(err error) error {
	closed := p.closeStream()
	if errors.Is(err, io.EOF) {
		return closed
	}
	return errors.Join(err, closed)
}

func (p *producer) chunk(ctx context.Context, c chunk) error {
	if len(c.lines) == 0 {
		return nil
	}
	if p.stream == nil {
		// An interrupt must not cut a stream whose records are on their way:
		// closing it waits for their answers.
		stream, err := p.api.Stream(context.WithoutCancel(ctx), p.cmd.Topic, p.options())
		if err != nil {
			return err
		}
		p.stream = stream
	}
	err := eachLine(c.lines, func(line []byte) error {
		p.bytes += int64(len(line))
		return p.stream.Append(p.lineRecord(line))
	})
	if err == nil {
		err = p.stream.Flush()
	}
	p.progress.show(p.acknowledged(), p.bytes)
	return err
}

// lineRecord makes the record of one line; it may alias the line.
func (p *producer) lineRecord(line []byte) client.OutRecord {
	r := p.record
	r.Value = line
	if p.cmd.KeySeparator != "" {
		if key, value, ok := bytes.Cut(line, []byte(p.cmd.KeySeparator)); ok {
			r.Key, r.Value = key, value
		}
	}
	if r.Value == nil {
		r.Value = []byte{}
	}
	return r
}

// closeStream waits for the answers of the open stream, if there is one.
func (p *producer) closeStream() error {
	if p.stream == nil {
		return nil
	}
	err := p.stream.Close()
	p.before += p.stream.Acknowledged()
	p.stream = nil
	return err
}

// files appends each file as one record.
func (p *producer) files(ctx context.Context) error {
	for _, name := range p.cmd.File {
		r := p.record
		var err error
		if name == "-" {
			r.Value, err = io.ReadAll(io.LimitReader(p.streams.In, maxLineBytes))
		} else {
			r.Value, err = os.ReadFile(name)
		}
		if err != nil {
			return err
		}
		placed, err := p.api.Append(ctx, p.cmd.Topic, r, mime.TypeByExtension(filepath.Ext(name)), p.options())
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		p.before++
		p.bytes += int64(len(r.Value))
		p.progress.show(p.before, p.bytes)
		if p.cmd.JSON() {
			if err := writeJSON(p.streams.Out, placed); err != nil {
				return err
			}
		}
	}
	return nil
}

// summary says what was done.
func (p *producer) summary() error {
	seconds := time.Since(p.progress.started).Seconds()
	if p.cmd.JSON() && len(p.cmd.File) == 0 {
		return writeJSON(p.streams.Out, struct {
			Records int64   `json:"records"`
			Bytes   int64   `json:"bytes"`
			Seconds float64 `json:"seconds"`
		}{p.before, p.bytes, seconds})
	}
	if !p.cmd.Quiet {
		fmt.Fprintln(p.streams.Err, p.progress.line(p.before, p.bytes))
	}
	return nil
}
