package api

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/coordinator"
	"github.com/chroniklog/chronik/server/group"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/record"
)

// groupPage is the answer to a poll: records of the partitions of a seat.
type groupPage struct {
	s       *Server
	p       *pollParams
	seat    *coordinator.Seat
	out     *answer
	feeds   []*feed // one for each topic
	wake    chan struct{}
	topic   string // of the feed that gives records now
	left    int64  // records
	room    int64  // bytes
	quota   int64  // records that one turn may still take
	started bool   // a record was written
	skipped error  // why partitions are passed over; nil: none is
}

func newGroupPage(s *Server, w http.ResponseWriter, p *pollParams, seat *coordinator.Seat) *groupPage {
	setReadHeaders(w.Header())
	g := &groupPage{
		s: s, p: p, seat: seat, out: s.newAnswer(w, formatJSON), left: p.limit, room: p.maxBytes,
		wake: make(chan struct{}, 1),
	}
	b := append(g.out.buf.b, `{"member":`...)
	b = appendText(b, p.member)
	if seat.Generation > 0 {
		b = append(b, `,"generation":`...)
		b = strconv.AppendInt(b, int64(seat.Generation), 10)
	}
	b = append(b, `,"assignment":[`...)
	for i := range seat.Assigned {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendAssigned(b, &seat.Assigned[i])
	}
	g.out.buf.b = append(b, `],"records":[`...)
	return g
}

func appendAssigned(b []byte, a *coordinator.Assigned) []byte {
	b = append(b, `{"topic":`...)
	b = appendText(b, a.Topic)
	b = append(b, `,"partition":`...)
	b = strconv.AppendInt(b, int64(a.Partition), 10)
	if a.Offset >= 0 {
		b = append(b, `,"offset":`...)
		b = strconv.AppendInt(b, a.Offset, 10)
	}
	return append(b, '}')
}

// release gives back what the page holds.
func (g *groupPage) release() {
	for _, f := range g.feeds {
		f.close()
	}
	g.out.release()
}

// open prepares the reading. Where the group has committed nothing and the
// member wants the latest records, the place where it begins is committed: the
// records that come until the next poll must not be passed over.
func (g *groupPage) open(ctx context.Context) error {
	var begin []coordinator.Committed
	byTopic := make(map[string]*feed)
	for i := range g.seat.Assigned {
		a := &g.seat.Assigned[i]
		f := byTopic[a.Topic]
		if f == nil {
			t, err := g.s.broker.Topic(a.Topic)
			if err != nil {
				continue // deleted: the next generation will not have it
			}
			f = &feed{
				s: g.s, topic: t, limits: g.s.broker.TopicLimits(t), isolation: partition.ReadCommitted, wake: g.wake,
				group: g.p.group,
			}
			byTopic[a.Topic] = f
			g.feeds = append(g.feeds, f)
		}
		if a.Partition < 0 || a.Partition >= f.topic.Partitions {
			continue
		}
		sp := span{partition: a.Partition, next: max(a.Offset, 0), end: noEnd, floating: true}
		if a.Offset < 0 && g.p.latest {
			o, err := g.s.broker.Offsets(ctx, a.Topic, a.Partition)
			if err != nil {
				return err
			}
			sp.next = f.visible(&o)
			a.Offset = sp.next
			begin = append(begin, coordinator.Committed{
				TopicPartition: a.TopicPartition, Commit: group.Commit{Offset: sp.next, LeaderEpoch: -1},
			})
		}
		f.spans = append(f.spans, sp)
	}
	g.shuffle()
	if len(begin) == 0 {
		return nil
	}
	return g.s.groups.Commit(ctx, coordinator.Committer{
		Group: g.p.group, MemberID: g.p.member, Generation: g.seat.Generation,
	}, begin)
}

// shuffle begins each page at another partition, so that one which has more
// than a page does not hold up the others.
func (g *groupPage) shuffle() {
	rand.Shuffle(len(g.feeds), func(i, j int) { g.feeds[i], g.feeds[j] = g.feeds[j], g.feeds[i] })
	for _, f := range g.feeds {
		if len(f.spans) > 0 {
			f.turn = rand.IntN(len(f.spans))
		}
	}
}

func (g *groupPage) spans() (n int64) {
	for _, f := range g.feeds {
		n += int64(len(f.spans))
	}
	return max(n, 1)
}

// emit implements emitter.
func (g *groupPage) emit(p int32, r *record.Record) bool {
	before := len(g.out.buf.b)
	b := g.out.buf.b
	if g.started {
		b = append(b, ',')
	}
	b = append(b, `{"topic":`...)
	b = appendText(b, g.topic)
	at := len(b)
	b = appendRecordJSON(b, p, r, false)
	b[at] = ',' // the record goes on where its topic has ended
	g.out.buf.b = b
	g.started = true
	g.left--
	g.quota--
	g.room -= int64(len(b) - before)
	if len(b) >= flushAt {
		g.out.write()
	}
	return g.left > 0 && g.room > 0 && g.quota > 0 && g.out.err == nil
}

// gather takes records until the page is full or nothing is left. Partitions
// share the page, as those of a topic do. One that can't be read for now does
// not hold up the others.
func (g *groupPage) gather(ctx context.Context) error {
	g.skipped = nil
	for _, f := range g.feeds {
		for i := range f.spans {
			f.spans[i].end = noEnd
			if g.s.leaderless(f.topic.Name, f.spans[i].partition) {
				g.skip(&f.spans[i], server.ErrNoLeader)
			}
		}
	}
	for {
		took := false
		for _, f := range g.feeds {
			if g.left <= 0 || g.room <= 0 || g.out.err != nil || ctx.Err() != nil {
				return nil
			}
			g.topic, g.quota = f.topic.Name, max(g.left/g.spans(), 1)
			_, n, err := f.round(ctx, int(min(g.room, readChunk)), g)
			if err != nil && n == 0 && (f.rewind(err) || g.pass(f.last(), err)) {
				took = true
				continue
			}
			if err != nil {
				return err
			}
			took = took || n > 0
		}
		if !took {
			return nil
		}
	}
}

// leaderless tells whether nobody leads a partition: a read would wait for a
// leader, which may be long.
func (s *Server) leaderless(topic string, p int32) bool {
	info, err := s.broker.PartitionState(topic, p)
	return err == nil && info.Leader == 0
}

// skip leaves a partition out of the page.
func (g *groupPage) skip(sp *span, why error) { sp.end, g.skipped = sp.next, why }

// pass leaves out a partition whose error may pass.
func (g *groupPage) pass(sp *span, err error) bool {
	if problem, _ := problemOf(err); !problem.Retryable {
		return false
	}
	g.skip(sp, err)
	return true
}

// last is the span that round has looked at.
func (f *feed) last() *span { return &f.spans[(f.turn+len(f.spans)-1)%len(f.spans)] }

// rewind starts a partition over whose log ends before the committed offset:
// the topic was deleted and created anew.
func (f *feed) rewind(err error) bool {
	sp := f.last()
	if _, beyond := beyondEnd(err); !beyond || sp.next == 0 {
		return false
	}
	sp.next, sp.floating = 0, true
	return true
}

// readable tells whether some partition has something to read; those that
// can't be asked for now are passed over.
func (g *groupPage) readable(ctx context.Context, f *feed) (bool, error) {
	for i := range f.spans {
		sp := &f.spans[i]
		if g.s.leaderless(f.topic.Name, sp.partition) {
			continue
		}
		o, err := g.s.broker.Offsets(ctx, f.topic.Name, sp.partition)
		if err == nil && f.visible(&o) > sp.next {
			return true, nil
		}
		if err != nil && !g.pass(sp, err) {
			return false, err
		}
	}
	return false, nil
}

// await waits until something is readable and returns true, or false when the
// time is up, the client has gone or the node drains. errSeatMoved: the group
// has another generation.
func (g *groupPage) await(ctx context.Context, d time.Duration, moved <-chan struct{}) (bool, error) {
	if d <= 0 {
		return false, nil
	}
	for _, f := range g.feeds {
		if err := f.watch(); err != nil {
			return false, err
		}
	}
	t := getTimer(d)
	defer putTimer(t)
	for {
		for _, f := range g.feeds {
			if ok, err := g.readable(ctx, f); ok || err != nil {
				return ok, err
			}
		}
		select {
		case <-g.wake:
		case <-moved:
			return false, errSeatMoved
		case <-t.C:
			return false, nil
		case <-ctx.Done():
			return false, nil
		case <-g.s.broker.Draining():
			return false, nil
		}
	}
}

// finish ends the answer.
func (g *groupPage) finish() {
	b := append(g.out.buf.b, ']')
	if g.started {
		b = append(b, `,"ack":"`...)
		b = append(b, g.ack()...)
		b = append(b, '"')
	}
	g.out.buf.b = append(b, "}\n"...)
	g.out.finish()
}

// ack is the token that acknowledges the page.
func (g *groupPage) ack() string {
	a := group.Ack{Group: g.p.group, MemberID: g.p.member, Generation: g.seat.Generation}
	for _, f := range g.feeds {
		for i := range f.spans {
			if sp := &f.spans[i]; sp.gave {
				a.Next = append(a.Next, group.Next{
					Topic: f.topic.ID, Partition: sp.partition, From: g.from(f, sp.partition), Offset: sp.next,
				})
			}
		}
	}
	return a.Token(g.s.groups.Secret())
}

// from is what was committed of a partition when its records were read.
func (g *groupPage) from(f *feed, p int32) int64 {
	for i := range g.seat.Assigned {
		if a := &g.seat.Assigned[i]; a.Partition == p && a.Topic == f.topic.Name {
			return a.Offset
		}
	}
	return -1
}
