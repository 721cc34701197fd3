package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// once runs what is measured a single time, after the rounds.
func (b *bench) once(ctx context.Context, s servers) error {
	for _, w := range []struct {
		name string
		run  func(context.Context, servers) error
	}{{"W7", b.w7}, {"W8", b.w8}, {"W9", b.w9}} {
		if !b.wanted(w.name) {
			continue
		}
		b.say("%s", w.name)
		if err := w.run(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return nil
}

// w7 creates topics of one partition from several clients at once; the topic
// of many partitions was timed when the servers started.
func (b *bench) w7(ctx context.Context, s servers) error {
	count := 4000
	if b.short {
		count = 1000
	}
	node, err := b.startNode(ctx, "topics")
	if err != nil {
		return err
	}
	defer node.kill()
	from := time.Now()
	var group sync.WaitGroup
	errs := make(chan error, createClients)
	for c := range createClients {
		group.Go(func() {
			for i := c; i < count; i += createClients {
				if err := createTopic(ctx, node.address, fmt.Sprintf("t%d", i), 1); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		})
	}
	group.Wait()
	for range createClients {
		if err := <-errs; err != nil {
			return err
		}
	}
	b.add("W7 topics/s", float64(count)/time.Since(from).Seconds())
	for name, p := range map[string]*process{"always": s.always, "default": s.lazy} {
		before := residentBytes(p.pid())
		var r loadResult
		peer := natsPlan{url: "nats://" + p.address, action: "streams", clients: createClients, count: count}
		if err := child(ctx, &r, peer.args()...); err != nil {
			return err
		}
		b.add("W7 nats "+name+" /s", r.rate())
		b.add("W8 nats "+name+" bytes", float64(residentBytes(p.pid())-before)/float64(count))
	}
	return nil
}

// w8 looks at memory: of a node that was started on many partitions and does
// nothing, and of connections that do nothing.
func (b *bench) w8(ctx context.Context, s servers) error {
	s.wide.stop()
	wide, err := b.startNode(ctx, "wide")
	if err != nil {
		return err
	}
	defer wide.kill()
	empty, err := b.startNode(ctx, "empty")
	if err != nil {
		return err
	}
	defer empty.kill()
	const settle = 3 * time.Second
	time.Sleep(settle)
	idle := residentBytes(wide.pid()) - residentBytes(empty.pid())
	b.add("W8 bytes/partition", float64(idle)/manyParts)
	for name, p := range map[string]*process{"noop": s.noop, "chronik": empty} {
		before := residentBytes(p.pid())
		closeAll, err := idleConnections(p.address, idleConns)
		if err != nil {
			closeAll()
			return err
		}
		time.Sleep(settle)
		b.add("W8 "+name+" bytes/connection", float64(residentBytes(p.pid())-before)/idleConns)
		closeAll()
	}
	return nil
}

// idleConnections opens connections and sends one request on each.
func idleConnections(address string, n int) (closeAll func(), err error) {
	open := make([]net.Conn, 0, n)
	closeAll = func() {
		for _, c := range open {
			c.Close()
		}
	}
	for range n {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return closeAll, err
		}
		open = append(open, conn)
		if _, err := fmt.Fprintf(conn, "GET /livez HTTP/1.1\r\nHost: %s\r\n\r\n", address); err != nil {
			return closeAll, err
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return closeAll, err
		}
		resp.Body.Close()
	}
	return closeAll, nil
}

// w9 kills nodes without warning and measures until they serve again: one with
// many partitions, one with much data.
func (b *bench) w9(ctx context.Context, s servers) error {
	if err := b.restart(ctx, "wide", "w6"); err != nil {
		return err
	}
	want := int64(10 << 30)
	if b.short {
		want = 1 << 30
	}
	info, err := describe(ctx, s.narrow.address, "w2", 0)
	if err != nil {
		return err
	}
	for have := info.High * largeValue; have < want; have = info.High * largeValue {
		plan := loadPlan{
			Address: s.narrow.address, Connections: natsClients, Duration: 2 * time.Second, Type: batchType,
			Path: "/v1/topics/w2/batches?partition=0", BodyFile: b.file("large"),
		}
		var r loadResult
		if err := child(ctx, &r, plan.args()...); err != nil {
			return err
		}
		if info, err = describe(ctx, s.narrow.address, "w2", 0); err != nil {
			return err
		}
	}
	b.add("W9 data bytes", float64(info.High*largeValue))
	b.add("disk bytes per value byte", float64(directoryBytes(b.file("data-narrow")))/b.valueBytes(ctx, s.narrow.address))
	s.narrow.kill()
	return b.restart(ctx, "narrow", "w2")
}

// valueBytes is what was written to the narrow node, without overhead.
func (b *bench) valueBytes(ctx context.Context, address string) float64 {
	total := 0.0
	sizes := map[string]int64{"w1": smallValue, "w2": largeValue, "w2small": smallValue, "w4": smallValue}
	for topic, size := range sizes {
		if info, err := describe(ctx, address, topic, 0); err == nil {
			total += float64(info.High * size)
		}
	}
	return total
}

// restart opens a directory that a killed node left, checks that it did not
// lose what it had, kills it and opens it again. Both openings count.
func (b *bench) restart(ctx context.Context, name, topic string) error {
	var before partitionInfo
	for again := range 2 {
		from := time.Now()
		node, err := b.startNode(ctx, name)
		if err != nil {
			return err
		}
		b.add("W9 "+name+" seconds", time.Since(from).Seconds())
		info, err := describe(ctx, node.address, topic, 0)
		if err != nil {
			return err
		}
		if again == 1 && info != before {
			return fmt.Errorf("%s had %+v before a kill and has %+v after it", topic, before, info)
		}
		before = info
		node.kill()
	}
	return nil
}
