package forward

import (
	"context"

	"github.com/chroniklog/chronik/server/peer"
	"github.com/chroniklog/chronik/storage/plog"
)

// methodMoving is Moving's; numbers are never reused.
const methodMoving peer.Method = 48

// Mover is a Local that tells how far reassignments have come.
type Mover interface {
	// Moving is about how many bytes of the partitions that this node leads
	// are still to be copied before the given node gives its replicas up.
	Moving(ctx context.Context, leaving int32) (bytes int64)
}

// Moving asks how many bytes a leader still has to send before a node gives
// its replicas up.
func (c *Client) Moving(ctx context.Context, leaving int32) (int64, error) {
	e := call(ctx, plog.ID{})
	e.i64(int64(leaving))
	d, err := c.ask(ctx, methodMoving, e, ErrUnreachable)
	if err != nil {
		return 0, err
	}
	n := d.i64()
	return n, d.end()
}

// moving answers Moving.
func (h *Handler) moving(ctx context.Context, d *decoder, e *encoder) error {
	node := d.i64()
	m, ok := h.Local.(Mover)
	if !ok {
		d.fail("unknown method")
	}
	if err := d.end(); err != nil {
		return err
	}
	e.i64(m.Moving(ctx, int32(node)))
	return nil
}
