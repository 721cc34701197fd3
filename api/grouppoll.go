package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/coordinator"
	"github.com/chroniklog/chronik/server/group"
)

// postPoll implements POST /v1/groups/{group}/poll.
func (s *Server) postPoll(w http.ResponseWriter, r *http.Request) {
	p, err := s.readPoll(r)
	if err == nil {
		err = s.knownTopics(r.Context(), p.topics)
	}
	if err == nil {
		err = s.poll(w, r, p)
	}
	if err != nil {
		writeProblem(w, r, err)
	}
}

// knownTopics makes sure that the topics exist and are the clients'.
func (s *Server) knownTopics(ctx context.Context, names []string) error {
	ctx, cancel := context.WithTimeout(ctx, s.limits.AppendTimeout)
	defer cancel()
	for _, name := range names {
		t, err := s.broker.ResolveTopic(ctx, name, true)
		if err == nil && t.Internal {
			err = badRequest(CodeReservedTopic, "topic %s is the broker's own and is not shared out", clip(name))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// maxSeatWait bounds one wait for a seat: a node that shuts down answers soon.
const maxSeatWait = 2 * time.Second

// poll seats the member, then reads what it was assigned. While there is
// nothing to read it waits, and takes another seat when the group rebalances.
func (s *Server) poll(w http.ResponseWriter, r *http.Request, p *pollParams) error {
	ctx := r.Context()
	deadline := s.now().Add(p.wait)
	acks, fresh := s.acked(p.ack), p.fresh
	for {
		seat, err := s.groups.Attend(ctx, coordinator.Attendance{
			Group: p.group, Acks: acks, Generation: p.generation(),
			Wait: min(max(deadline.Sub(s.now()), 0), maxSeatWait),
			Attend: group.Attend{
				MemberID: p.member, New: fresh, Instance: p.instance, ClientID: p.clientID, Host: p.host,
				Session: p.session, Topics: p.topics,
			},
		})
		if err != nil && p.committed { // the next poll meets the error
			return s.answerUnseated(w, p)
		}
		if err != nil {
			return p.fenced(err)
		}
		p.committed = p.committed || len(acks) > 0
		acks, fresh = nil, false
		if seat.Generation == 0 && deadline.After(s.now()) && !s.drains() {
			continue
		}
		served, err := s.serveSeat(w, r, p, &seat, deadline)
		if served || err != nil {
			return err
		}
	}
}

// answerUnseated answers without records: the member has no seat now.
func (s *Server) answerUnseated(w http.ResponseWriter, p *pollParams) error {
	g := newGroupPage(s, w, p, &coordinator.Seat{})
	defer g.release()
	g.finish()
	return nil
}

// generation is the one that is acknowledged in.
func (p *pollParams) generation() int32 {
	if p.ack == nil {
		return -1
	}
	return p.ack.Generation
}

// fenced says what an ack that came too late means: to the member it is the
// same whether the group knows it no more or only has moved on.
func (p *pollParams) fenced(err error) error {
	if p.ack != nil && (errors.Is(err, group.ErrIllegalGeneration) || errors.Is(err, group.ErrUnknownMember)) {
		return &Error{Code: CodeFencedGeneration, Cause: err, Detail: "the ack is of generation " +
			strconv.Itoa(int(p.ack.Generation)) + " and the group has moved on: poll without ack; " +
			"what was not acknowledged is served again, to the member that has the partition now"}
	}
	return err
}

// drains tells whether the node begins to shut down.
func (s *Server) drains() bool {
	select {
	case <-s.broker.Draining():
		return true
	default:
		return false
	}
}

// acked is what an ack acknowledges. A topic that was deleted has nothing any
// more that could be.
func (s *Server) acked(ack *group.Ack) (list []coordinator.Acked) {
	if ack == nil {
		return nil
	}
	for _, n := range ack.Next {
		t, err := s.broker.TopicByID(server.TopicID(n.Topic))
		if err != nil {
			continue
		}
		list = append(list, coordinator.Acked{
			TopicPartition: group.TopicPartition{Topic: t.Name, Partition: n.Partition}, From: n.From, Offset: n.Offset,
		})
	}
	return list
}

// serveSeat answers with records of the seat's partitions, or without any when
// the time is up. It returns false when there is another seat to be had.
func (s *Server) serveSeat(
	w http.ResponseWriter, r *http.Request, p *pollParams, seat *coordinator.Seat, deadline time.Time,
) (served bool, err error) {
	g := newGroupPage(s, w, p, seat)
	defer g.release()
	if seat.Generation == 0 {
		g.finish()
		return true, nil
	}
	err = g.fill(r.Context(), deadline)
	switch {
	case seatLost(err), errors.Is(err, errSeatMoved):
		return false, nil
	case err != nil && !g.started && !p.committed:
		return false, err
	}
	// An error after the first record, or after the ack was committed, is left
	// to the next poll: an answer must not say that nothing was done.
	g.finish()
	return true, nil
}

// fill takes the seat's records, waiting for some. The error tells why there
// are none, or no more.
func (g *groupPage) fill(ctx context.Context, deadline time.Time) error {
	if err := g.open(ctx); err != nil {
		return err
	}
	if err := g.gather(ctx); err != nil || g.started {
		return err
	}
	if deadline.After(g.s.now()) {
		moved := g.s.watchSeat(ctx, g.p, g.seat)
		defer moved.stop()
		if err := g.wait(ctx, deadline, moved); err != nil {
			return moved.why(err)
		}
	}
	if g.started {
		return nil
	}
	return g.skipped
}

// wait waits for records and takes them.
func (g *groupPage) wait(ctx context.Context, deadline time.Time, moved *seatWatch) error {
	for {
		more, err := g.await(ctx, deadline.Sub(g.s.now()), moved.seat)
		if err != nil || !more {
			return err
		}
		if err := g.gather(ctx); err != nil || g.started {
			return err
		}
		if g.skipped != nil { // there is something that can't be read for now
			g.s.broker.AwaitLeader(ctx)
		}
	}
}

// errSeatMoved ends a wait for records: the group rebalances.
var errSeatMoved = errors.New("the seat has moved")

// seatLost tells that the group has moved on since the seat was taken.
func seatLost(err error) bool {
	return errors.Is(err, group.ErrRebalance) || errors.Is(err, group.ErrIllegalGeneration) ||
		errors.Is(err, group.ErrUnknownMember)
}

// maxWatch bounds one wait for a rebalance: each looks whether the topics have
// got partitions.
const maxWatch = 10 * time.Second

// seatWatch waits beside a poll for the group's next generation, and keeps the
// member alive.
type seatWatch struct {
	seat   chan struct{} // closed when there may be another seat
	err    error         // why there is none; set before seat is closed
	cancel context.CancelFunc
	done   chan struct{}
}

// watchSeat begins to watch.
func (s *Server) watchSeat(ctx context.Context, p *pollParams, seat *coordinator.Seat) *seatWatch {
	ctx, cancel := context.WithCancel(ctx)
	sw := &seatWatch{seat: make(chan struct{}), cancel: cancel, done: make(chan struct{})}
	h := group.Heartbeat{MemberID: p.member, Generation: seat.Generation}
	go func() {
		defer close(sw.done)
		for ctx.Err() == nil {
			err := s.groups.Watch(ctx, p.group, h, min(p.session/3, maxWatch))
			if err == nil || ctx.Err() != nil {
				continue
			}
			if !seatLost(err) {
				sw.err = err
			}
			close(sw.seat)
			return
		}
	}()
	return sw
}

// why is the error of a wait; errSeatMoved when there is another seat to be
// had.
func (sw *seatWatch) why(err error) error {
	if errors.Is(err, errSeatMoved) && sw.err != nil {
		return sw.err
	}
	return err
}

// stop ends the watch and waits for it.
func (sw *seatWatch) stop() {
	sw.cancel()
	<-sw.done
}
