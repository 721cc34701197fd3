package forward

import (
	"context"

	"github.com/chroniklog/chronik/server/peer"
	"github.com/chroniklog/chronik/server/telemetry"
	"github.com/chroniklog/chronik/storage/plog"
)

// methodLoad is Load's; numbers are never reused.
const methodLoad peer.Method = 49

// maxCycles bounds the buckets of a load.
const maxCycles = 256

// Loader is a Local that tells how much its node has done.
type Loader interface {
	Load() telemetry.Load
}

// Load asks a node how much it has done. One of an older version, which does
// not know the question, answers ErrMalformed.
func (c *Client) Load(ctx context.Context) (telemetry.Load, error) {
	d, err := c.ask(ctx, methodLoad, call(ctx, plog.ID{}), ErrUnreachable)
	if err != nil {
		return telemetry.Load{}, err
	}
	l := telemetry.Load{Records: d.i64(), Bytes: d.i64(), Read: d.i64()}
	n := d.i64()
	if n < 0 || n > maxCycles {
		d.fail("too many buckets")
		return telemetry.Load{}, d.end()
	}
	l.Cycles = make([]int64, n)
	for i := range l.Cycles {
		l.Cycles[i] = d.i64()
	}
	return l, d.end()
}

// load answers Load.
func (h *Handler) load(d *decoder, e *encoder) error {
	m, ok := h.Local.(Loader)
	if !ok {
		d.fail("unknown method")
	}
	if err := d.end(); err != nil {
		return err
	}
	l := m.Load()
	for _, v := range []int64{l.Records, l.Bytes, l.Read, int64(len(l.Cycles))} {
		e.i64(v)
	}
	for _, v := range l.Cycles {
		e.i64(v)
	}
	return nil
}
