package raft

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/raft/wire"
)

// Times of a link.
const (
	linkDialTimeout  = time.Second
	linkWriteTimeout = 5 * time.Second
	// linkPause is the wait after a failed dial; messages are dropped
	// meanwhile.
	linkPause = 100 * time.Millisecond
)

// link sends to one member over two connections.
type link struct {
	t      *WireTransport
	member meta.Member
	ctx    context.Context
	stop   context.CancelFunc

	control, bulk chan *pb.Message
	away          atomic.Bool // the last dial failed
}

func newLink(t *WireTransport, m meta.Member) *link {
	l := &link{t: t, member: m, control: make(chan *pb.Message, controlQueue), bulk: make(chan *pb.Message, bulkQueue)}
	l.ctx, l.stop = context.WithCancel(t.ctx)
	t.group.Go(func() { l.run(wire.ClassControl, l.control) })
	t.group.Go(func() { l.run(wire.ClassBulk, l.bulk) })
	return l
}

// send queues a message, or drops it: raft repeats what matters.
func (l *link) send(m *pb.Message) {
	queue := l.control
	if m.GetType() == pb.MsgApp {
		queue = l.bulk
	}
	select {
	case queue <- m:
	default:
	}
}

// run writes a queue to a connection that is made when there is something to
// write, and anew after it broke.
func (l *link) run(class wire.Class, queue chan *pb.Message) {
	var c *wire.Conn
	var ended <-chan struct{} // closed when c has ended
	defer func() {
		if c != nil {
			_ = c.Close()
		}
	}()
	for {
		var m *pb.Message
		select {
		case <-l.ctx.Done():
			return
		case m = <-queue:
		}
		select {
		case <-ended: // the member was started again since: nothing is lost by that
			c, ended = nil, nil
		default:
		}
		if c == nil {
			c, ended = l.dial(class)
		}
		if c != nil && l.write(c, m, queue) == nil {
			continue
		}
		if c != nil {
			_ = c.Close()
			c, ended = nil, nil
		}
		l.lost(queue)
	}
}

// lost reports the member unreachable, drops what is queued and pauses.
func (l *link) lost(queue chan *pb.Message) {
	l.t.h.Unreachable(l.member.RaftID)
	for range cap(queue) {
		select {
		case <-queue:
			continue
		default:
		}
		break
	}
	timer := time.NewTimer(linkPause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.ctx.Done():
	}
}

// dial connects, nil if that fails; ended is closed with the connection.
func (l *link) dial(class wire.Class) (c *wire.Conn, ended <-chan struct{}) {
	ctx, cancel := context.WithTimeout(l.ctx, linkDialTimeout)
	defer cancel()
	c, err := l.t.ep.Dial(ctx, l.member.Addr, class, wire.Identity{Node: l.member.Node, Raft: l.member.RaftID})
	if err != nil {
		l.unreached(err)
		l.refused(err)
		return nil, nil
	}
	if l.away.Swap(false) {
		l.t.logger.Info("the node can be reached again", "node", l.member.Node, "addr", l.member.Addr)
	}
	over := make(chan struct{})
	// Nothing comes back on these connections but their end: it is noticed
	// here rather than by losing the next message.
	l.t.group.Go(func() {
		defer context.AfterFunc(l.ctx, func() { _ = c.Close() })()
		_, _ = c.Read(0)
		_ = c.Close()
		close(over)
		if class == wire.ClassControl {
			l.watch()
		}
	})
	return c, over
}

// unreached tells of a failed dial: of the first by a warning, of those after it
// for whoever reads the code, until one succeeds.
func (l *link) unreached(err error) {
	if l.ctx.Err() != nil {
		return // nobody wants the member any more
	}
	level := slog.LevelDebug
	if !l.away.Swap(true) {
		level = slog.LevelWarn
	}
	l.t.logger.Log(l.ctx, level, "can't reach a node of the metadata group",
		"node", l.member.Node, "addr", l.member.Addr, "error", err)
}

// write sends a message and whatever else is queued.
func (l *link) write(c *wire.Conn, m *pb.Message, queue chan *pb.Message) error {
	if err := c.SetWriteDeadline(time.Now().Add(linkWriteTimeout)); err != nil {
		return err
	}
	for {
		b, err := proto.Marshal(m)
		if err != nil {
			return err
		}
		if err := c.Buffer(wire.Frame{Payload: b}); err != nil {
			return err
		}
		select {
		case m = <-queue:
			continue
		default:
		}
		return c.Flush()
	}
}
