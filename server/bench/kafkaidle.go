package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	idleMembers   = 1000
	membersAGroup = 10
	idleSettle    = 2 * time.Second // until what opening them cost is over
)

// idleKafka measures what clients cost that do nothing, each time on servers
// that have served nobody else.
func (b *bench) idleKafka(ctx context.Context, began time.Time) error {
	rounds := b.rounds
	defer func() { b.rounds = rounds }()
	b.rounds = (rounds + 1) / 2
	return b.inRounds(began, func() error {
		b.topics++
		for _, name := range []string{chronikName, defaultName} {
			if err := b.idleServer(ctx, name, fmt.Sprintf("%s-idle%d", name, b.topics)); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	})
}

func (b *bench) idleServer(ctx context.Context, name, directory string) (err error) {
	var s *kafkaServer
	if name == chronikName {
		s, err = b.startChronik(ctx, directory, 1)
	} else {
		s, err = b.startKafka(ctx, directory, 1, "")
	}
	if err != nil {
		return err
	}
	defer s.kill()
	s.name = name
	if err := s.create(ctx, "idle", membersAGroup); err != nil {
		return err
	}
	time.Sleep(idleSettle)
	for _, kind := range []struct {
		action, what string
		n            int
	}{{"connections", "2,000 connections", idleConns}, {"members", "1,000 members in 100 groups", idleMembers}} {
		before := s.resident()
		plan := kafkaPlan{topic: "idle", action: kind.action, clients: kind.n, pids: s.pids(), duration: 2 * b.length}
		r, err := b.generate(ctx, s, plan)
		if err != nil {
			return err
		}
		row := kafkaRow{phase: "idle clients, 1 node", what: kind.what + ": memory each", unit: "KB", scale: 1e-3, less: true}
		b.measured(row, s, (r.Resident-before)/float64(kind.n))
		row.what, row.unit, row.scale, row.of = "… resident memory", "MB", 1e-6, row.what
		b.measured(row, s, r.Resident)
		row.what, row.unit, row.scale = "… CPU, of one core", "%", 100
		b.measured(row, s, r.Busy/r.Seconds)
		row.what, row.unit, row.scale = "… until all are there", "s", 1
		b.measured(row, s, r.Whole)
	}
	return nil
}

func (s *kafkaServer) pids() string {
	var all []string
	for _, p := range s.nodes {
		all = append(all, strconv.Itoa(p.pid()))
	}
	return strings.Join(all, ",")
}

// watch reads what the servers take while nobody asks for anything.
func (p kafkaPlan) watch(ctx context.Context, r *kafkaResult) error {
	var pids []int
	for _, text := range strings.Split(p.pids, ",") {
		pid, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		pids = append(pids, pid)
	}
	cpu := func() (total float64) {
		for _, pid := range pids {
			total += processCPU(pid)
		}
		return total
	}
	time.Sleep(idleSettle)
	before, from := cpu(), time.Now()
	select {
	case <-time.After(p.duration):
	case <-ctx.Done():
		return ctx.Err()
	}
	r.Busy, r.Seconds = cpu()-before, time.Since(from).Seconds()
	for _, pid := range pids {
		r.Resident += float64(residentBytes(pid))
	}
	return nil
}

// connections opens connections and sends one request on each.
func (p kafkaPlan) connections(ctx context.Context) (r kafkaResult, err error) {
	begin := time.Now()
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	request := kmsg.NewRequestFormatter(kmsg.FormatterClientID("idle")).
		AppendRequest(nil, kmsg.NewPtrApiVersionsRequest(), 1)
	for range p.clients {
		conn, err := net.Dial("tcp", p.seeds)
		if err != nil {
			return r, err
		}
		open = append(open, conn)
		if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			return r, err
		}
		if _, err := conn.Write(request); err != nil {
			return r, err
		}
		var length [4]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return r, err
		}
		if _, err := io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(length[:]))); err != nil {
			return r, err
		}
	}
	r.Whole = time.Since(begin).Seconds()
	return r, p.watch(ctx, &r)
}

// members are franz-go's consumers with their defaults, each with a partition
// of its own, on which nothing is written.
func (p kafkaPlan) members(ctx context.Context) (r kafkaResult, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	var polls sync.WaitGroup
	defer polls.Wait()
	defer cancel()
	a := &assignments{of: make([]int, p.clients), single: make(chan struct{})}
	begin := time.Now()
	for i := range p.clients {
		client, err := p.client(kgo.ConsumerGroup(fmt.Sprintf("g%d", i/membersAGroup)), kgo.ConsumeTopics(p.topic),
			kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, now map[string][]int32) {
				a.change(i, len(now[p.topic]))
			}),
			kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
				a.change(i, -len(gone[p.topic]))
			}))
		if err != nil {
			return r, err
		}
		polls.Go(func() { // the client ends with this process: leaving a thousand times is not what is measured
			for ctx.Err() == nil {
				client.PollFetches(ctx)
			}
		})
	}
	select {
	case <-a.single:
	case <-ctx.Done():
		return r, errors.Join(fmt.Errorf("%d of %d members have one partition", a.singles(), p.clients), ctx.Err())
	}
	r.Whole = time.Since(begin).Seconds()
	return r, p.watch(ctx, &r)
}

// assignments are how many partitions each member has.
type assignments struct {
	mu     sync.Mutex
	of     []int
	once   sync.Once
	single chan struct{} // closed when every member has one
}

func (a *assignments) change(member, by int) {
	a.mu.Lock()
	a.of[member] += by
	a.mu.Unlock()
	if a.singles() == len(a.of) {
		a.once.Do(func() { close(a.single) })
	}
}

func (a *assignments) singles() (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, have := range a.of {
		if have == 1 {
			n++
		}
	}
	return n
}
