package forward

import (
	"context"
	"sync"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/peer"
	"github.com/chroniklog/chronik/storage/plog"
)

// Methods about a leadership; numbers are never reused.
const (
	methodConfirmed peer.Method = iota + 32
	methodRemembers
	methodYield
)

// MaxYield bounds the partitions of one Yield.
const MaxYield = 8192

// Leadership is what a leader is asked beside reads and changes.
type Leadership interface {
	// Confirmed is Offsets of a leader that was one after it was asked: those
	// that may have been elected instead of it have confirmed that.
	Confirmed(ctx context.Context, id plog.ID) (partition.Offsets, error)
	// Remembers tells whether the partition remembers an Idempotency-Key.
	Remembers(ctx context.Context, id plog.ID, key string) (bool, error)
	// Yield prepares partitions for another leader: appends are refused for a
	// moment, as between two leaders, and it returns when those in hand have
	// their answers, or do not get them in time. Partitions that are not led
	// here are passed over.
	Yield(ctx context.Context, ids []plog.ID)
}

// Confirmed asks for the offsets of a leader that makes sure that it is one.
func (c *Client) Confirmed(ctx context.Context, id plog.ID) (partition.Offsets, error) {
	d, err := c.ask(ctx, methodConfirmed, call(ctx, id), ErrUnreachable)
	if err != nil {
		return partition.Offsets{}, err
	}
	return d.offsets(), d.end()
}

// Remembers asks whether the partition remembers an Idempotency-Key.
func (c *Client) Remembers(ctx context.Context, id plog.ID, key string) (bool, error) {
	e := call(ctx, id)
	e.str(key)
	d, err := c.ask(ctx, methodRemembers, e, ErrUnreachable)
	if err != nil {
		return false, err
	}
	known := d.bool()
	return known, d.end()
}

// Yield asks the node to prepare partitions that it leads for another leader,
// at most MaxYield of them.
func (c *Client) Yield(ctx context.Context, ids []plog.ID) error {
	e := call(ctx, plog.ID{})
	e.i64(int64(len(ids)))
	for _, id := range ids {
		e.b = append(e.b, id.Topic[:]...)
		e.i64(int64(id.Partition))
	}
	_, err := c.ask(ctx, methodYield, e, ErrUnreachable)
	return err
}

// ids are partitions; each takes 17 bytes at least.
func (d *decoder) ids() []plog.ID {
	n := d.i64()
	if n < 0 || n > MaxYield || n > int64(len(d.b)/17) {
		d.fail("too many partitions")
		return nil
	}
	ids := make([]plog.ID, n)
	for i := range ids {
		copy(ids[i].Topic[:], d.take(16))
		ids[i].Partition = int32(d.i64())
	}
	return ids
}

// lead answers the methods of Leadership.
func (h *Handler) lead(ctx context.Context, m peer.Method, id plog.ID, d *decoder, e *encoder) error {
	switch m {
	case methodConfirmed:
		if err := d.end(); err != nil {
			return err
		}
		o, err := h.Local.Confirmed(ctx, id)
		e.offsets(&o)
		return err
	case methodRemembers:
		key := d.str()
		if err := d.end(); err != nil {
			return err
		}
		known, err := h.Local.Remembers(ctx, id, key)
		e.bool(known)
		return err
	case methodYield:
		ids := d.ids()
		if err := d.end(); err != nil {
			return err
		}
		h.Local.Yield(ctx, ids)
		return nil
	}
	return h.backup(ctx, m, id, d, e)
}

// Handover is a partition that a node leads and is to give up.
type Handover struct {
	ID     plog.ID
	Leader int32
}

// Prepare has the leaders yield that are about to be replaced, all at the same
// time: here is this node's own Yield, there asks another one. It returns when
// they have, or ctx ends. A leader that can't be asked is replaced all the
// same: its appends in hand end with an unknown outcome, as those of one that
// dies.
func Prepare(ctx context.Context, list []Handover, self int32, here Leadership, there func(node int32) *Client) {
	by := map[int32][]plog.ID{}
	for _, h := range list {
		if h.Leader != 0 && len(by[h.Leader]) < MaxYield {
			by[h.Leader] = append(by[h.Leader], h.ID)
		}
	}
	var wg sync.WaitGroup
	for node, ids := range by {
		wg.Go(func() {
			if node == self {
				here.Yield(ctx, ids)
			} else {
				_ = there(node).Yield(ctx, ids)
			}
		})
	}
	wg.Wait()
}
