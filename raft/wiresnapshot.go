package raft

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/chroniklog/chronik/raft/wire"
)

// Frame types of a snapshot's connection: the message, then the stream, then
// its end; the receiver answers with done or an error's text.
const (
	frameMessage uint8 = 1
	frameData    uint8 = 2
	frameEnd     uint8 = 3
	frameDone    uint8 = 4
	frameFailed  uint8 = 5
)

const (
	snapshotChunk = 64 << 10
	// snapshotStall is how long one frame may take.
	snapshotStall = 20 * time.Second
	// snapshotInstall is how long the receiver may take to store the stream.
	snapshotInstall = 2 * time.Minute
)

// SendSnapshot implements Transport.
func (t *WireTransport) SendSnapshot(m *pb.Message, write func(io.Writer) error, done func(ok bool)) {
	l := t.link(m.GetTo())
	if l == nil || t.ctx.Err() != nil {
		done(false)
		return
	}
	t.group.Go(func() {
		err := l.sendSnapshot(m, write)
		if err != nil {
			t.logger.Warn("send metadata snapshot", "node", l.member.Node, "error", err)
		}
		done(err == nil)
	})
}

func (l *link) sendSnapshot(m *pb.Message, write func(io.Writer) error) error {
	ctx, cancel := context.WithTimeout(l.ctx, linkDialTimeout)
	defer cancel()
	c, err := l.t.ep.Dial(ctx, l.member.Addr, wire.ClassSnapshot,
		wire.Identity{Node: l.member.Node, Raft: l.member.RaftID})
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(l.ctx, func() { _ = c.Close() })()
	b, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	w := &frameWriter{c: c}
	if err := w.frame(frameMessage, b); err != nil {
		return err
	}
	if err := write(w); err != nil {
		return err
	}
	if err := errors.Join(w.flush(), w.frame(frameEnd, nil)); err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(snapshotInstall)); err != nil {
		return err
	}
	f, err := c.Read(1024)
	if err != nil {
		return err
	}
	if f.Type != frameDone {
		return fmt.Errorf("receiver: %s", f.Payload)
	}
	return nil
}

// frameWriter is the stream as frames.
type frameWriter struct {
	c   *wire.Conn
	buf []byte
}

func (w *frameWriter) frame(typ uint8, b []byte) error {
	if err := w.c.SetWriteDeadline(time.Now().Add(snapshotStall)); err != nil {
		return err
	}
	return w.c.Write(wire.Frame{Type: typ, Payload: b})
}

// Write implements io.Writer.
func (w *frameWriter) Write(b []byte) (int, error) {
	w.buf = append(w.buf, b...)
	if len(w.buf) < snapshotChunk {
		return len(b), nil
	}
	return len(b), w.flush()
}

func (w *frameWriter) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	err := w.frame(frameData, w.buf)
	w.buf = w.buf[:0]
	return err
}

// receiveSnapshot serves one snapshot.
func (t *WireTransport) receiveSnapshot(_ context.Context, c *wire.Conn) {
	defer context.AfterFunc(t.ctx, func() { _ = c.Close() })()
	answer := wire.Frame{Type: frameDone}
	if err := t.takeSnapshot(c); err != nil {
		t.logger.Warn("receive metadata snapshot", "node", c.Remote().Node, "error", err)
		text := err.Error()
		answer = wire.Frame{Type: frameFailed, Payload: []byte(text[:min(len(text), 1000)])}
	}
	if c.SetWriteDeadline(time.Now().Add(snapshotStall)) == nil {
		_ = c.Write(answer) // the sender takes silence for failure
	}
}

func (t *WireTransport) takeSnapshot(c *wire.Conn) error {
	r := &frameReader{c: c}
	f, err := r.next(maxWireMessage)
	if err != nil {
		return err
	}
	m := &pb.Message{}
	if f.Type != frameMessage {
		return fmt.Errorf("%w: snapshot without message", wire.ErrFrame)
	}
	if err := proto.Unmarshal(f.Payload, m); err != nil {
		return err
	}
	if err := t.check(m, c.Remote()); err != nil {
		return err
	}
	if m.GetType() != pb.MsgSnap {
		return fmt.Errorf("%w: %v instead of a snapshot", wire.ErrFrame, m.GetType())
	}
	return t.h.Snapshot(m, r)
}

// frameReader is the frames as a stream.
type frameReader struct {
	c    *wire.Conn
	rest []byte
	end  bool
}

func (r *frameReader) next(limit int) (wire.Frame, error) {
	if err := r.c.SetReadDeadline(time.Now().Add(snapshotStall)); err != nil {
		return wire.Frame{}, err
	}
	return r.c.Read(limit)
}

// Read implements io.Reader.
func (r *frameReader) Read(b []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.end {
			return 0, io.EOF
		}
		f, err := r.next(maxSnapshotFrame + snapshotChunk)
		if err != nil {
			return 0, noEOF(err)
		}
		switch f.Type {
		case frameData:
			r.rest = f.Payload
		case frameEnd:
			r.end = true
		default:
			return 0, fmt.Errorf("%w: type %d in a snapshot", wire.ErrFrame, f.Type)
		}
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// noEOF makes the early end of a connection an error.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
