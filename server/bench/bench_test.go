package main

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCompleteAnswers(t *testing.T) {
	for text, want := range map[string]bool{
		"":                                false,
		"HTTP/1.1 200 OK\r\nConte":        false,
		"HTTP/1.1 200 OK\r\nA: b\r\n\r\n": true,
		"HTTP/1.1 201 C\r\nContent-Length: 3\r\n\r\nab":                            false,
		"HTTP/1.1 201 C\r\nContent-Length: 3\r\n\r\nabc":                           true,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n":               false,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n": true,
	} {
		c := client{in: []byte(text)}
		if got, err := c.complete(); got != want || err != nil {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	c := client{in: []byte("SSH-2.0\r\n\r\nxxxxxxx")}
	if _, err := c.complete(); err == nil {
		t.Error("another protocol was taken for HTTP")
	}
}

// serve is a handler that answers 201 and is slow the first time.
func serve(t *testing.T, stall time.Duration) string {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	first := make(chan struct{}, 1)
	first <- struct{}{}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		select {
		case <-first:
			time.Sleep(stall)
		default:
		}
		w.WriteHeader(http.StatusCreated)
		w.Write([]byte("{}"))
	})}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return listener.Addr().String()
}

func TestLoads(t *testing.T) {
	p := loadPlan{Address: serve(t, 0), Connections: 8, Path: "/{}", Modulo: 5, Duration: 200 * time.Millisecond}
	r, err := applyLoad(p, requestMaker(p, []byte("body")))
	if err != nil || r.Errors != 0 || r.Requests < 100 || r.P50 <= 0 || r.P99 < r.P50 {
		t.Errorf("closed loop: %+v, %v", r, err)
	}
	// One connection that is stalled for half of the time makes half late.
	p = loadPlan{Address: serve(t, 200*time.Millisecond), Connections: 1, Path: "/", Rate: 200, Duration: 400 * time.Millisecond}
	r, err = applyLoad(p, requestMaker(p, nil))
	if err != nil || r.Requests < 60 || r.Requests > 81 || r.P99 < int64(150*time.Millisecond) {
		t.Errorf("open loop: %+v, %v", r, err)
	}
}

func TestRecordBatch(t *testing.T) {
	b := recordBatch(3, []byte("abc"))
	length := binary.BigEndian.Uint32(b[8:])
	if int(length)+12 != len(b) || b[16] != 2 || binary.BigEndian.Uint32(b[57:]) != 3 {
		t.Errorf("length %d of %d, magic %d, count %d", length, len(b), b[16], binary.BigEndian.Uint32(b[57:]))
	}
	if sum := crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)); sum != binary.BigEndian.Uint32(b[17:]) {
		t.Errorf("the checksum is %x", sum)
	}
}

func TestTable(t *testing.T) {
	b := &bench{rounds: 3, goals: goals(), series: map[string][]float64{
		"W1 chronik /s": {50_000, 30_000, 40_000}, "W1 noop /s": {80_000, 60_000, 50_000},
		"W8 bytes/partition": {12_000},
	}}
	ratios := b.ratios(goals()[0])
	if want := []float64{0.625, 0.5, 0.8}; !slices.Equal(ratios, want) {
		t.Errorf("ratios are taken round by round: %v, want %v", ratios, want)
	}
	var out strings.Builder
	b.print(&out, time.Second)
	for _, want := range []string{"40k req/s | **0.625** [0.5–0.8] | ≥ 0.6 | met |", "**12** [12–12] | ≤ 10 | missed |"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestClusterStates(t *testing.T) {
	var asked int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		isr := "[1,2]"
		if asked > 2 {
			isr = "[1,2,3]"
		}
		fmt.Fprintf(w, `{"partitions":[{"leader":3,"isr":%s}]}`, isr)
	}))
	defer server.Close()
	trio := &trio{nodes: []*process{{address: server.Listener.Addr().String()}}}
	if err := trio.waitInSync(t.Context(), 0, "t", clusterSize); err != nil || asked != 3 {
		t.Errorf("in sync after %d questions: %v", asked, err)
	}
	if leader, other, err := trio.leader(t.Context(), "t"); leader != 2 || other != 0 || err != nil {
		t.Errorf("led by %d, not by %d: %v", leader, other, err)
	}
}

func TestKafkaTable(t *testing.T) {
	b := &bench{rounds: 1, series: make(map[string][]float64)}
	rate := kafkaRow{phase: "1 node", what: "produce", unit: "records/s", goals: [2]float64{1, 3}}
	other := kafkaRow{phase: "1 node", what: "memory", unit: "MB", scale: 1e-6, less: true}
	cpu := kafkaRow{phase: "1 node", what: "… CPU", of: "produce", unit: "s", less: true}
	for name, factor := range map[string]float64{chronikName: 3, defaultName: 2, flushName: 1.5} {
		s := &kafkaServer{name: name}
		b.measured(rate, s, 100*factor)
		b.measured(other, s, 1e6*factor)
		b.measured(cpu, s, factor)
	}
	var out strings.Builder
	b.printKafka(&out, time.Second)
	want := `
| 1 node | Chronik | Apache Kafka | ratio | flush=1 | ratio | goals |
|-|-|-|-|-|-|-|
| produce | 300 records/s | 200 records/s | **1.5** [1.5–1.5] | 150 records/s | **2** [2–2] | ≥ 1 met, ≥ 3 missed |
| … CPU | 3 s | 2 s | **1.5** [1.5–1.5] | 1.5 s | **2** [2–2] | less is better |
| memory | 3 MB | 2 MB | **1.5** [1.5–1.5] | 1.5 MB | **2** [2–2] | less is better |
`
	if !strings.HasSuffix(out.String(), want) {
		t.Errorf("%s\nwant %s", out.String(), want)
	}
}

func TestAssignments(t *testing.T) {
	a := &assignments{of: make([]int, 2), single: make(chan struct{})}
	for _, step := range []struct{ member, by int }{{0, 2}, {1, 0}, {0, -1}} {
		a.change(step.member, step.by)
		select {
		case <-a.single:
			t.Fatalf("all have one after %+v", step)
		default:
		}
	}
	a.change(1, 1)
	<-a.single
}
