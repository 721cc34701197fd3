package kafka_test

import (
	"encoding/binary"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/kafka"
	"github.com/chroniklog/chronik/storage/record"
)

// footprint is what the process holds: bytes of heap and stacks, goroutines.
func footprint() (bytes, goroutines int) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse), runtime.NumGoroutine()
}

// A connection without a request costs two goroutines and some kilobytes,
// this test's own end included.
func TestIdleConnectionsAreCheap(t *testing.T) {
	const conns, perConn = 2000, 40 << 10
	b := start(t, kafka.Limits{})
	b.raw(t).ask(kmsg.NewPtrApiVersionsRequest())
	bytes, goroutines := footprint()
	for range conns {
		b.raw(t).ask(kmsg.NewPtrApiVersionsRequest())
	}
	bytesNow, goroutinesNow := footprint()
	t.Logf("%d bytes, %.2f goroutines each", (bytesNow-bytes)/conns, float64(goroutinesNow-goroutines)/conns)
	if each := (bytesNow - bytes) / conns; each > perConn {
		t.Errorf("%d bytes for each connection, at most %d are expected", each, perConn)
	}
	if more := goroutinesNow - goroutines; more > 2*conns+100 {
		t.Errorf("%d goroutines for %d connections", more, conns)
	}
}

// A connection that asks nothing is closed; one that asks now and then, or
// waits for its answer, is not.
func TestIdleTimeout(t *testing.T) {
	const idle = 800 * time.Millisecond
	b := start(t, kafka.Limits{Idle: idle})
	b.topic(t, "t", 1, nil)
	silent, busy, waiting := b.raw(t), b.raw(t), b.raw(t)
	silent.ask(kmsg.NewPtrApiVersionsRequest())
	began := time.Now()
	for range 5 {
		req := fetchFrom("t", 0, 0)
		req.MaxWaitMillis = 60_000 // the node bounds it
		waiting.ask(req)
		busy.ask(kmsg.NewPtrApiVersionsRequest())
	}
	if took := time.Since(began); took < 3*idle/2 {
		t.Errorf("five waits took %v: too little to show anything", took)
	}
	silent.closed()
}

// The node's memory does not follow the number of clients that do not read.
func TestSlowReadersHoldLittle(t *testing.T) {
	const most = 32 << 20
	b := start(t, kafka.Limits{InFlightBytes: most})
	b.topic(t, "t", 1, nil)
	r := b.raw(t)
	for range 24 {
		r.put("t", 0, strings.Repeat("v", 128<<10))
	}
	before, _ := footprint()
	for range 100 {
		slow := b.raw(t)
		for range 20 {
			slow.send(fetchFrom("t", 0, 0))
		}
	}
	least := 1 << 60 // what is garbage by the end of a collection is not held
	for range 5 {
		b.prompt(t, "t")
		now, _ := footprint()
		least = min(least, now-before)
	}
	t.Logf("%d MiB more than before", least>>20)
	if least > most+8<<20 {
		t.Errorf("%d MiB more than before", least>>20)
	}
}

// A client that does not read is cut off even if nobody else needs anything.
func TestSlowReaderIsCutOff(t *testing.T) {
	b := start(t, kafka.Limits{Transfer: 300 * time.Millisecond})
	b.topic(t, "t", 1, nil)
	r := b.raw(t)
	for range 24 {
		r.put("t", 0, strings.Repeat("v", 64<<10))
	}
	for range 30 { // more than the buffers between take
		r.send(fetchFrom("t", 0, 0))
	}
	time.Sleep(2500 * time.Millisecond) // what the client does instead of reading
	if n, err := io.Copy(io.Discard, r.nc); n > 29<<20 {
		t.Errorf("%d MiB were read after all: %v", n>>20, err)
	}
}

// One client that sends as much as it can does not keep another from its turn.
func TestGreedyAndPolite(t *testing.T) {
	b := start(t, kafka.Limits{InFlightBytes: 16 << 20, ConnBytes: 2 << 20})
	b.topic(t, "t", 2, nil)
	var stop atomic.Bool
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop.Store(true)
	greedy := b.raw(t)
	large := batch(record.CodecNone, strings.Repeat("g", 200<<10))
	wg.Go(func() {
		for !stop.Load() {
			greedy.send(produceTo(9, "t", 0, append([]byte(nil), large...)))
		}
		_ = greedy.nc.Close()
	})
	wg.Go(func() { _, _ = io.Copy(io.Discard, greedy.nc) })
	polite := b.raw(t)
	worst := time.Duration(0)
	for range 50 {
		began := time.Now()
		polite.put("t", 1, "please")
		worst = max(worst, time.Since(began))
	}
	t.Logf("worst %v beside %d greedy records", worst, b.end(t, "t", 0))
	if worst > 3*time.Second {
		t.Errorf("a polite request took %v", worst)
	}
}

// A shutdown amid traffic: what was appended is answered, in order, and no
// fetch is left waiting.
func TestShutdownInTraffic(t *testing.T) {
	const producers, fetchers = 4, 100
	b := start(t, kafka.Limits{})
	b.topic(t, "t", 1, nil)
	b.topic(t, "quiet", 1, nil)
	b.topic(t, "marks", 1, nil)
	var acked, answered atomic.Int64
	var wg sync.WaitGroup
	for range producers {
		r := b.raw(t)
		wg.Go(func() {
			for i := int32(1); ; i++ {
				req := produceTo(9, "t", 0, batch(record.CodecNone, "x"))
				if _, err := r.nc.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, i)); err != nil {
					return
				}
			}
		})
		wg.Go(func() {
			for i := int32(1); ; i++ {
				body, id, err := r.answer()
				if err != nil {
					return
				}
				resp := kmsg.NewPtrProduceResponse()
				resp.Version = 9
				if err := resp.ReadFrom(body[1:]); err != nil || id != i {
					t.Errorf("answer %d where %d is next: %v", id, i, err)
					return
				}
				if produced(resp).ErrorCode == 0 {
					acked.Add(1)
				}
			}
		})
	}
	for range fetchers {
		r := b.raw(t)
		req := fetchFrom("quiet", 0, 0)
		req.MaxWaitMillis = 60_000
		r.send(req)
		r.send(produceTo(9, "marks", 0, batch(record.CodecNone, "the fetch was read"))) // answered after it
		wg.Go(func() {
			if _, _, err := r.answer(); err == nil {
				answered.Add(1)
			}
		})
	}
	for acked.Load() < 200 || b.end(t, "marks", 0) < fetchers {
		time.Sleep(time.Millisecond)
	}
	b.Broker.Drain()
	if err := b.listener.Shutdown(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if got, end := acked.Load(), b.end(t, "t", 0); got != end {
		t.Errorf("%d records were acknowledged, %d are stored", got, end)
	}
	if got := answered.Load(); got != fetchers {
		t.Errorf("%d of %d fetches were answered", got, fetchers)
	}
}

// answer reads whatever answer comes next.
func (r *raw) answer() (body []byte, id int32, err error) {
	head := make([]byte, 8)
	if _, err := io.ReadFull(r.nc, head); err != nil {
		return nil, 0, err
	}
	body = make([]byte, binary.BigEndian.Uint32(head)-4)
	_, err = io.ReadFull(r.nc, body)
	return body, int32(binary.BigEndian.Uint32(head[4:])), err
}
