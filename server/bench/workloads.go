package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// round runs every workload once, servers and limits in turn.
func (b *bench) round(ctx context.Context, s servers) error {
	for _, w := range []struct {
		name string
		run  func(context.Context, servers) error
	}{
		{"disk", b.disk}, {"W1", b.w1}, {"W2", b.w2}, {"W4", b.w4}, {"W5", b.w5}, {"W6", b.w6},
	} {
		if w.name != "disk" && !b.wanted(w.name) {
			continue
		}
		if err := w.run(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return nil
}

func (b *bench) disk(context.Context, servers) error {
	for _, size := range []int{4 << 10, 64 << 10, 1 << 20} {
		d, err := measureDisk(b.dir, size, b.length/3)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("disk %dK", size>>10)
		b.add(name+" p50", float64(d.p50))
		b.add(name+" bytes/s", d.bytes)
		b.add(name+" syncs/s", d.perSecond)
	}
	return nil
}

// load runs the HTTP generator against p and notes rate, latency and CPU.
func (b *bench) load(ctx context.Context, metric string, p *process, plan loadPlan) error {
	plan.Address, plan.Warmup, plan.Duration = p.address, b.warmup, b.length
	var r loadResult
	cpu := p.cpu()
	if err := child(ctx, &r, plan.args()...); err != nil {
		return fmt.Errorf("%s: %w: %s", metric, err, tail(p.log.Name()))
	}
	if r.Errors > 0 || r.Requests == 0 {
		return fmt.Errorf("%s: %d of %d requests failed: %s", metric, r.Errors, r.Errors+r.Requests, r.First)
	}
	b.note(metric, r, p.cpu()-cpu)
	return nil
}

// natsLoad runs the NATS generator.
func (b *bench) natsLoad(ctx context.Context, metric string, p *process, plan natsPlan) error {
	plan.url, plan.warmup, plan.duration = "nats://"+p.address, b.warmup, b.length
	var r loadResult
	cpu := p.cpu()
	if err := child(ctx, &r, plan.args()...); err != nil {
		return fmt.Errorf("%s: %w", metric, err)
	}
	b.note(metric, r, p.cpu()-cpu)
	return nil
}

// note keeps what a generator measured. The server's CPU seconds are of warm-up
// and measurement together.
func (b *bench) note(metric string, r loadResult, cpu float64) {
	b.add(metric+" /s", r.rate())
	b.add(metric+" p50", float64(r.P50))
	b.add(metric+" p99", float64(r.P99))
	if r.Requests > 0 {
		b.add(metric+" cpu", cpu/(r.rate()*(b.warmup+b.length).Seconds()))
	}
}

func (b *bench) w1(ctx context.Context, s servers) error {
	plan := loadPlan{Connections: connections, Path: "/v1/topics/w1/records", BodyFile: b.file("one")}
	if err := b.load(ctx, "W1 noop", s.noop, plan); err != nil {
		return err
	}
	if err := b.load(ctx, "W1 chronik", s.narrow, plan); err != nil {
		return err
	}
	peer := natsPlan{action: "sync", clients: connections, size: smallValue}
	if err := b.natsLoad(ctx, "W1 nats always", s.always, peer); err != nil {
		return err
	}
	return b.natsLoad(ctx, "W1 nats default", s.lazy, peer)
}

func (b *bench) w2(ctx context.Context, s servers) error {
	plan := loadPlan{Connections: natsClients, Type: batchType}
	plan.Path, plan.BodyFile = "/v1/topics/w2/batches?partition=0", b.file("large")
	if err := b.load(ctx, "W2 chronik 1 KB", s.narrow, plan); err != nil {
		return err
	}
	// As many bytes in a cycle as the yardstick writes in a sync.
	plan.Connections = 16
	if err := b.load(ctx, "W2 chronik 1 KB 16", s.narrow, plan); err != nil {
		return err
	}
	plan.Path, plan.BodyFile, plan.Connections = "/v1/topics/w2small/batches?partition=0", b.file("small"), 16
	if err := b.load(ctx, "W2 chronik 100 B", s.narrow, plan); err != nil {
		return err
	}
	peer := natsPlan{action: "async", clients: natsClients, size: largeValue}
	if err := b.natsLoad(ctx, "W2 nats always", s.always, peer); err != nil {
		return err
	}
	return b.natsLoad(ctx, "W2 nats default", s.lazy, peer)
}

func (b *bench) w4(ctx context.Context, s servers) error {
	plan := loadPlan{Connections: 16, Path: "/v1/topics/w4/records", BodyFile: b.file("one"), Rate: openLoopRate}
	if err := b.load(ctx, "W4 chronik", s.narrow, plan); err != nil {
		return err
	}
	peer := natsPlan{action: "sync", clients: 16, size: smallValue, rate: openLoopRate}
	if err := b.natsLoad(ctx, "W4 nats always", s.always, peer); err != nil {
		return err
	}
	return b.natsLoad(ctx, "W4 nats default", s.lazy, peer)
}

// w5 reads what W2 has written, from the newest gigabyte on, so that the page
// cache has it.
func (b *bench) w5(ctx context.Context, s servers) error {
	for _, topic := range []struct {
		name, metric string
		newest       int64 // records
	}{{"w2", "W5 1 KB", 1 << 20}, {"w2small", "W5 100 B", 5 << 20}} {
		r, err := readTopic(ctx, s.narrow.address, topic.name, topic.newest)
		if err != nil {
			return err
		}
		b.add(topic.metric+" bytes/s", float64(r.bytes)/r.seconds)
		b.add(topic.metric+" records/s", float64(r.records)/r.seconds)
	}
	var r loadResult
	peer := natsPlan{url: "nats://" + s.lazy.address, action: "consume", clients: 1, count: 1 << 20, duration: b.length}
	if err := child(ctx, &r, peer.args()...); err != nil {
		return err
	}
	b.add("W5 nats records/s", r.rate())
	return nil
}

func (b *bench) w6(ctx context.Context, s servers) error {
	plan := loadPlan{
		Connections: connections, Path: "/v1/topics/w6/records?partition={}", Modulo: manyParts, BodyFile: b.file("one"),
	}
	if err := b.load(ctx, "W6 chronik", s.wide, plan); err != nil {
		return err
	}
	plan.Modulo = 1
	return b.load(ctx, "W6 one", s.wide, plan)
}

// batchType is the media type of record batches.
const batchType = "application/vnd.kafka.recordbatch.v2"

func createTopic(ctx context.Context, address, name string, partitions int) error {
	return createReplicated(ctx, address, name, partitions, 1)
}

func createReplicated(ctx context.Context, address, name string, partitions, replicas int) error {
	body := fmt.Sprintf(`{"name":%q,"partitions":%d,"replication_factor":%d}`, name, partitions, replicas)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/v1/topics", bytes.NewBufferString(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusCreated {
		err = fmt.Errorf("create topic %s: %s: %s", name, resp.Status, text)
	}
	return err
}

// partitionInfo is what is needed of a partition's description.
type partitionInfo struct {
	Start int64 `json:"log_start_offset"`
	High  int64 `json:"high_watermark"`
}

func describe(ctx context.Context, address, topic string, partition int) (partitionInfo, error) {
	var info partitionInfo
	url := fmt.Sprintf("http://%s/v1/topics/%s/partitions/%d", address, topic, partition)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return info, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return info, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return info, fmt.Errorf("%s: %s", url, resp.Status)
	}
	return info, json.NewDecoder(resp.Body).Decode(&info)
}

// readResult is what a catch-up read moved.
type readResult struct {
	bytes, records int64
	seconds        float64
}

// readTopic reads the newest records of partition 0 as record batches over one
// connection. Records are counted by their offsets, not decoded.
func readTopic(ctx context.Context, address, topic string, newest int64) (readResult, error) {
	info, err := describe(ctx, address, topic, 0)
	if err != nil {
		return readResult{}, err
	}
	first := max(info.Start, info.High-newest)
	buffer := make([]byte, 1<<20)
	var r readResult
	begin := time.Now()
	for offset := first; offset < info.High; {
		url := fmt.Sprintf("http://%s/v1/topics/%s/partitions/0/records?offset=%d&max_bytes=%d",
			address, topic, offset, readMaxBytes)
		n, next, err := readOnce(ctx, url, buffer)
		if err != nil {
			return r, err
		}
		if next <= offset {
			return r, fmt.Errorf("no progress at offset %d of %s", offset, topic)
		}
		r.bytes += n
		offset = next
	}
	r.records, r.seconds = info.High-first, time.Since(begin).Seconds()
	return r, nil
}

func readOnce(ctx context.Context, url string, buffer []byte) (n, next int64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, 0, err
	}
	req.Header.Set("Accept", batchType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, 0, fmt.Errorf("%s: %s", url, resp.Status)
	}
	for {
		m, err := resp.Body.Read(buffer)
		n += int64(m)
		if err == io.EOF {
			break
		}
		if err != nil {
			return n, 0, err
		}
	}
	// Where an answer ends is known when it has ended: it may be a trailer.
	next, err = strconv.ParseInt(resp.Header.Get("Log-Next-Offset")+resp.Trailer.Get("Log-Next-Offset"), 10, 64)
	return n, next, err
}

func dialable(address string) error {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}
