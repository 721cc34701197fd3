package main

import (
	"context"
	"fmt"
	"mime"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chroniklog/chronik/server/client"
)

// Shape of the topic of files.
const (
	filesTopic      = "files"
	filesPartitions = 4
	fileWriters     = 16
)

// patience is how long one append may be tried again after a kill.
const patience = time.Minute

// log is a partition's expected content: record i has values[i].
type log struct {
	topic     string
	partition int
	values    [][]byte
	keys      []string // nil: none has a key
	types     []string // Content-Types; nil: not looked at
}

func (l *log) bytes() (total int64) {
	for _, v := range l.values {
		total += int64(len(v))
	}
	return total
}

// files writes each file as a record. Each append carries an Idempotency-Key,
// so that one whose answer the kill has cut off can be repeated.
func (r *realrun) files(ctx context.Context) error {
	if err := r.createTopic(ctx, filesTopic, filesPartitions); err != nil {
		return err
	}
	places := make([]client.Placed, len(r.in.files))
	half := len(r.in.files) / 2
	if err := r.writeFiles(ctx, places[:half], 0, func() {}); err != nil {
		return err
	}
	logs, err := r.filesAsLogs(places[:half])
	if err != nil {
		return err
	}
	for _, l := range logs {
		if err := r.check(ctx, l, thorough); err != nil {
			return fmt.Errorf("before the kill: %w", err)
		}
	}
	if err := r.writeFilesKilled(ctx, places, half); err != nil {
		return err
	}
	if logs, err = r.filesAsLogs(places); err != nil {
		return err
	}
	for _, l := range logs {
		if err := r.check(ctx, l, thorough); err != nil {
			return fmt.Errorf("after the kill: %w", err)
		}
	}
	r.report.logs = append(r.report.logs, logs...)
	return nil
}

// createTopic makes a topic for records of any size that the sources have: there
// are lines of more than a megabyte.
func (r *realrun) createTopic(ctx context.Context, name string, partitions int32) error {
	_, err := r.node.api.CreateTopic(ctx, client.TopicSpec{
		Name: name, Partitions: partitions, Configs: map[string]string{"max.message.bytes": "33554432"},
	})
	return err
}

// writeFilesKilled writes files from first on and kills the node when half of
// them were begun.
func (r *realrun) writeFilesKilled(ctx context.Context, places []client.Placed, first int) error {
	killed := make(chan error, 1)
	kill := func() { killed <- r.restart(ctx) }
	if err := r.writeFiles(ctx, places, first, kill); err != nil {
		return err
	}
	return <-killed
}

// restart kills the node and starts it again.
func (r *realrun) restart(ctx context.Context) error {
	r.node.kill()
	from := time.Now()
	err := r.node.start(ctx)
	r.report.note("killed; ready again after %v", time.Since(from).Round(time.Millisecond))
	return err
}

// writeFiles writes files from first on, as many as there are places, from
// several clients and notes where each went. halfWay is called by one of them.
func (r *realrun) writeFiles(ctx context.Context, places []client.Placed, first int, halfWay func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next, bytes atomic.Int64
	next.Store(int64(first))
	to, middle := len(places), (first+len(places))/2
	began := time.Now()
	var group sync.WaitGroup
	for range fileWriters {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < to && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if i == middle {
					halfWay()
				}
				place, err := r.writeFile(ctx, r.in.files[i])
				if err != nil {
					cancel(err)
					return
				}
				places[i] = place
				bytes.Add(int64(len(r.in.files[i].body)))
			}
		})
	}
	group.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	r.report.step("written, one POST each", to-first, bytes.Load(), time.Since(began))
	return nil
}

func (r *realrun) writeFile(ctx context.Context, f file) (client.Placed, error) {
	record := client.OutRecord{Key: []byte(f.path), Value: f.body}
	options := client.ProduceOptions{Partition: -1, IdempotencyKey: idempotencyKey(f.path)}
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline) && ctx.Err() == nil; {
		var place client.Placed
		if place, err = r.node.api.Append(ctx, filesTopic, record, contentType(f.path), options); err == nil {
			return place, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return client.Placed{}, fmt.Errorf("%s: %w", f.path, err)
}

// idempotencyKey is the end of the path: a key has at most 255 bytes.
func idempotencyKey(p string) string { return p[max(0, len(p)-255):] }

func contentType(p string) string {
	if t := mime.TypeByExtension(path.Ext(p)); t != "" {
		return t
	}
	return "application/octet-stream"
}

// filesAsLogs turns places into what each partition must hold. Every offset
// must be taken exactly once: that no append was applied twice.
func (r *realrun) filesAsLogs(places []client.Placed) ([]*log, error) {
	counts := make([]int, filesPartitions)
	for _, p := range places {
		counts[p.Partition]++
	}
	logs := make([]*log, filesPartitions)
	for i, n := range counts {
		logs[i] = &log{
			topic: filesTopic, partition: i, values: make([][]byte, n), keys: make([]string, n), types: make([]string, n),
		}
	}
	for i, p := range places {
		l := logs[p.Partition]
		if p.Offset < 0 || p.Offset >= int64(len(l.values)) || l.values[p.Offset] != nil {
			return nil, fmt.Errorf("%s was given offset %d of partition %d, which has %d records", r.in.files[i].path,
				p.Offset, p.Partition, len(l.values))
		}
		l.values[p.Offset], l.keys[p.Offset] = r.in.files[i].body, r.in.files[i].path
		l.types[p.Offset] = contentType(r.in.files[i].path)
	}
	return logs, nil
}
