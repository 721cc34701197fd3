package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// The generator is one thread over epoll with plain reads and writes: on two
// cores what it costs is taken from the server, so it must cost little.

// client is one connection. A request is on its way while busy.
type client struct {
	fd   int
	busy bool
	due  time.Time
	in   []byte // what arrived of the answer
}

// generator applies one loadPlan.
type generator struct {
	plan    loadPlan
	make    func(dst []byte, i int64) []byte
	poll    int
	clients map[int32]*client // by descriptor
	free    []*client
	late    []time.Time // requests that are due and found no free connection
	next    int64       // number of the next request
	out     []byte
	begin   time.Time
	measure time.Time // what was due before does not count
	end     time.Time
	result  loadResult
	latency *hdrhistogram.Histogram
}

func applyLoad(p loadPlan, maker func(dst []byte, i int64) []byte) (loadResult, error) {
	g := &generator{
		plan: p, make: maker, clients: make(map[int32]*client),
		latency: hdrhistogram.New(1000, int64(time.Minute), 3),
	}
	defer g.close()
	if err := g.connect(); err != nil {
		return loadResult{}, err
	}
	g.begin = time.Now()
	g.measure = g.begin.Add(p.Warmup)
	g.end = g.measure.Add(p.Duration)
	loop := g.closedLoop
	if p.Rate > 0 {
		loop = g.openLoop
	}
	cpu := selfCPU()
	if err := loop(); err != nil {
		return loadResult{}, err
	}
	r := g.result
	r.Seconds = time.Since(g.measure).Seconds()
	r.P50, r.P99 = g.latency.ValueAtPercentile(50), g.latency.ValueAtPercentile(99)
	r.P999, r.CPU = g.latency.ValueAtPercentile(99.9), selfCPU()-cpu
	return r, nil
}

func (g *generator) connect() error {
	poll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	g.poll = poll
	address, err := net.ResolveTCPAddr("tcp4", g.plan.Address)
	if err != nil {
		return err
	}
	to := &unix.SockaddrInet4{Port: address.Port, Addr: [4]byte(address.IP.To4())}
	for range g.plan.Connections {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		c := &client{fd: fd}
		g.clients[int32(fd)] = c
		g.free = append(g.free, c)
		if err := unix.Connect(fd, to); err != nil {
			return fmt.Errorf("connect to %s: %w", g.plan.Address, err)
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return err
		}
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
		if err := unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
			return err
		}
	}
	return nil
}

func (g *generator) close() {
	for _, c := range g.clients {
		unix.Close(c.fd)
	}
	unix.Close(g.poll)
}

// send writes the next request on c. A request fits the socket's buffer, so a
// blocking write does not wait for long.
func (g *generator) send(c *client, due time.Time) error {
	g.out = g.make(g.out[:0], g.next)
	g.next++
	c.busy, c.due, c.in = true, due, c.in[:0]
	for rest := g.out; len(rest) > 0; {
		n, err := unix.Write(c.fd, rest)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("write: %w", err)
		}
		rest = rest[max(n, 0):]
	}
	return nil
}

func (g *generator) closedLoop() error {
	for _, c := range g.clients {
		if err := g.send(c, time.Now()); err != nil {
			return err
		}
	}
	again := func(c *client, now time.Time) error {
		if now.After(g.end) {
			return nil
		}
		return g.send(c, now)
	}
	for time.Now().Before(g.end) {
		if err := g.turn(100*time.Millisecond, again); err != nil {
			return err
		}
	}
	return nil
}

func (g *generator) openLoop() error {
	interval := float64(time.Second) / g.plan.Rate
	idle := func(c *client, _ time.Time) error {
		g.free = append(g.free, c)
		return nil
	}
	for scheduled := int64(0); ; {
		now := time.Now()
		if now.After(g.end) {
			return nil
		}
		for at := g.at(scheduled, interval); !at.After(now); at = g.at(scheduled, interval) {
			g.late = append(g.late, at)
			scheduled++
		}
		for len(g.late) > 0 && len(g.free) > 0 {
			c := g.free[len(g.free)-1]
			g.free = g.free[:len(g.free)-1]
			if err := g.send(c, g.late[0]); err != nil {
				return err
			}
			g.late = g.late[1:]
		}
		if err := g.turn(time.Until(g.at(scheduled, interval)), idle); err != nil {
			return err
		}
	}
}

func (g *generator) at(i int64, interval float64) time.Time {
	return g.begin.Add(time.Duration(float64(i) * interval))
}

// turn waits at most patience for answers and takes those that are there; done
// is called for each connection whose answer is complete.
func (g *generator) turn(patience time.Duration, done func(*client, time.Time) error) error {
	wait := unix.NsecToTimespec(max(int64(patience), 0))
	watched := []unix.PollFd{{Fd: int32(g.poll), Events: unix.POLLIN}}
	if n, err := unix.Ppoll(watched, &wait, nil); n <= 0 || err != nil {
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("poll: %w", err)
		}
		return nil
	}
	var events [256]unix.EpollEvent
	n, err := unix.EpollWait(g.poll, events[:], 0)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("epoll: %w", err)
	}
	for _, e := range events[:max(n, 0)] {
		c := g.clients[e.Fd]
		complete, err := c.receive()
		if err != nil {
			return err
		}
		if !complete {
			continue
		}
		now := time.Now()
		g.count(c, now)
		if err := done(c, now); err != nil {
			return err
		}
	}
	return nil
}

func (g *generator) count(c *client, now time.Time) {
	c.busy = false
	if c.due.Before(g.measure) || now.After(g.end) {
		return
	}
	if status := string(c.in[9:12]); status[0] != '2' {
		g.result.Errors++
		if g.result.First == "" {
			g.result.First = string(c.in)
		}
		return
	}
	g.result.Requests++
	_ = g.latency.RecordValue(int64(now.Sub(c.due))) // beyond a minute nothing is measured here
}

// receive reads what is there and says whether the answer is complete.
func (c *client) receive() (bool, error) {
	if cap(c.in)-len(c.in) < 1024 {
		c.in = append(make([]byte, 0, 2*cap(c.in)+4096), c.in...)
	}
	n, err := unix.Read(c.fd, c.in[len(c.in):cap(c.in)])
	switch {
	case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read: %w", err)
	case n == 0:
		return false, errors.New("the server closed a connection")
	}
	c.in = c.in[:len(c.in)+n]
	return c.complete()
}

// complete looks for the end of an answer with a Content-Length.
func (c *client) complete() (bool, error) {
	end := bytes.Index(c.in, []byte("\r\n\r\n"))
	if end < 0 {
		return false, nil
	}
	if len(c.in) < 12 || string(c.in[:9]) != "HTTP/1.1 " {
		return false, fmt.Errorf("not an HTTP/1.1 answer: %.40q", c.in)
	}
	const name = "Content-Length: "
	at := bytes.Index(c.in[:end+2], []byte(name))
	if at < 0 {
		if bytes.Contains(c.in[:end], []byte("chunked")) {
			return bytes.HasSuffix(c.in, []byte("0\r\n\r\n")), nil
		}
		return true, nil
	}
	value := c.in[at+len(name) : end+2]
	length, err := strconv.Atoi(string(value[:bytes.IndexByte(value, '\r')]))
	if err != nil {
		return false, fmt.Errorf("the answer's length: %w", err)
	}
	return len(c.in) >= end+4+length, nil
}
