package forward

import (
	"context"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/peer"
	"github.com/chroniklog/chronik/server/replica"
	"github.com/chroniklog/chronik/storage/plog"
)

// Methods of backups; numbers are never reused.
const (
	methodPoint peer.Method = iota + 64
	methodBeginRestore
	methodRestore
)

// Backups is what backups and restorations ask of a node.
type Backups interface {
	// Point is where the log of a partition that is led here ends, committed.
	Point(ctx context.Context, id plog.ID) (replica.Point, error)
	// BeginRestore prepares the log of a partition that is being restored here.
	BeginRestore(ctx context.Context, id plog.ID, start int64, state []byte) (end int64, err error)
	// Restore appends batches to it.
	Restore(ctx context.Context, id plog.ID, batches []byte) (end int64, err error)
}

// Point asks a leader where its log ends.
func (c *Client) Point(ctx context.Context, id plog.ID) (replica.Point, error) {
	d, err := c.ask(ctx, methodPoint, call(ctx, id), ErrUnreachable)
	if err != nil {
		return replica.Point{}, err
	}
	p := replica.Point{LogStart: d.i64(), End: d.i64(), LeaderEpoch: int32(d.i64()), State: d.bytes()}
	return p, d.end()
}

// BeginRestore has a node prepare a log.
func (c *Client) BeginRestore(ctx context.Context, id plog.ID, start int64, state []byte) (end int64, err error) {
	e := call(ctx, id)
	e.i64(start)
	e.bytes(state)
	return c.restored(ctx, methodBeginRestore, e)
}

// Restore has a node append batches.
func (c *Client) Restore(ctx context.Context, id plog.ID, batches []byte) (end int64, err error) {
	e := call(ctx, id)
	e.bytes(batches)
	return c.restored(ctx, methodRestore, e)
}

func (c *Client) restored(ctx context.Context, m peer.Method, e *encoder) (end int64, err error) {
	d, err := c.ask(ctx, m, e, partition.ErrOutcomeUnknown)
	if err != nil {
		return 0, err
	}
	end = d.i64()
	return end, d.end()
}

// backup answers the methods of Backups.
func (h *Handler) backup(ctx context.Context, m peer.Method, id plog.ID, d *decoder, e *encoder) error {
	switch m {
	case methodPoint:
		if err := d.end(); err != nil {
			return err
		}
		p, err := h.Local.Point(ctx, id)
		e.i64(p.LogStart)
		e.i64(p.End)
		e.i64(int64(p.LeaderEpoch))
		e.bytes(p.State)
		return err
	case methodBeginRestore:
		start, state := d.i64(), d.bytes()
		if err := d.end(); err != nil {
			return err
		}
		end, err := h.Local.BeginRestore(ctx, id, start, state)
		e.i64(end)
		return err
	case methodRestore:
		batches := d.bytes()
		if err := d.end(); err != nil {
			return err
		}
		end, err := h.Local.Restore(ctx, id, batches)
		e.i64(end)
		return err
	}
	d.fail("unknown method")
	return d.err
}
