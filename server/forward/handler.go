package forward

import (
	"bytes"
	"context"
	"time"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/peer"
	"github.com/chroniklog/chronik/server/replica"
	"github.com/chroniklog/chronik/storage/plog"
	"github.com/chroniklog/chronik/storage/record"
)

// Handler is the leader's side: it carries out what other nodes forward.
type Handler struct {
	Local  Local
	Groups Groups // nil: there are none
	Errors Errors
}

var _ peer.Handler = (*Handler)(nil)

// Begin implements peer.Handler. Appends are staged before it returns, so the
// order of a front node's appends is kept.
func (h *Handler) Begin(ctx context.Context, m peer.Method, payload []byte, reply peer.Reply) func() {
	d := &decoder{b: payload}
	ctx, id := d.called(ctx)
	var pending *replica.Pending
	var err error
	switch m {
	case methodRecord:
		r := d.record()
		if err = d.end(); err == nil {
			pending, err = h.Local.BeginRecord(ctx, id, r)
		}
	case methodBatch:
		pending, err = h.batch(ctx, id, d)
	default:
		return h.ask(ctx, m, id, &decoder{b: bytes.Clone(d.b), err: d.err}, reply)
	}
	if err != nil {
		reply(h.Errors.encode(err), true)
		return nil
	}
	return func() {
		a, err := pending.Wait(ctx)
		if err != nil {
			reply(h.Errors.encode(err), true)
			return
		}
		e := encoder{}
		e.appended(&a)
		reply(e.b, false)
	}
}

func (h *Handler) batch(ctx context.Context, id plog.ID, d *decoder) (*replica.Pending, error) {
	a := partition.BatchAppend{Acks: partition.Acks(d.i64()), Cond: d.conditions()}
	a.Batch = bytes.Clone(d.bytes())
	a.Pin = partition.Pin(d.i64())
	if err := d.end(); err != nil {
		return nil, err
	}
	var err error
	// The front node has validated the records; the bytes may have suffered
	// on their way.
	if err = record.CheckCRC(a.Batch); err != nil {
		return nil, err
	}
	if a.Header, err = record.ParseHeader(a.Batch); err != nil {
		return nil, err
	}
	return h.Local.BeginBatch(ctx, id, a)
}

// ask carries out a question, which may wait.
func (h *Handler) ask(ctx context.Context, m peer.Method, id plog.ID, d *decoder, reply peer.Reply) func() {
	return func() {
		e := encoder{}
		if err := h.answer(ctx, m, id, d, &e); err != nil {
			reply(h.Errors.encode(err), true)
			return
		}
		reply(e.b, false)
	}
}

func (h *Handler) answer(ctx context.Context, m peer.Method, id plog.ID, d *decoder, e *encoder) error {
	switch m {
	case methodRead:
		r := Read{
			Offset: d.i64(), MaxBytes: int(d.i64()), Isolation: partition.Isolation(d.i64()),
			Wait: time.Duration(d.i64()),
		}
		if err := d.end(); err != nil {
			return err
		}
		batches, o, err := h.Local.Read(ctx, id, r)
		e.offsets(&o)
		e.bytes(batches)
		return err
	case methodOffsets:
		if err := d.end(); err != nil {
			return err
		}
		o, err := h.Local.Offsets(ctx, id)
		e.offsets(&o)
		return err
	case methodAwait:
		known := d.offsets()
		if err := d.end(); err != nil {
			return err
		}
		o, err := h.Local.Await(ctx, id, known)
		e.offsets(&o)
		return err
	case methodVisible:
		index := d.i64()
		if err := d.end(); err != nil {
			return err
		}
		return h.Local.Visible(ctx, uint64(index))
	case methodConfirm:
		epoch := d.i64()
		if err := d.end(); err != nil {
			return err
		}
		return h.Local.Confirm(ctx, id, int32(epoch))
	case methodMoving:
		return h.moving(ctx, d, e)
	case methodLoad:
		return h.load(d, e)
	case methodTime:
		ts := d.i64()
		if err := d.end(); err != nil {
			return err
		}
		offset, timestamp, ok, err := h.Local.OffsetForTime(ctx, id, ts)
		e.i64(offset)
		e.i64(timestamp)
		e.bool(ok)
		return err
	}
	return h.change(ctx, m, id, d, e)
}

func (h *Handler) change(ctx context.Context, m peer.Method, id plog.ID, d *decoder, e *encoder) error {
	switch m {
	case methodTrim:
		before := d.i64()
		if err := d.end(); err != nil {
			return err
		}
		start, err := h.Local.Trim(ctx, id, before)
		e.i64(start)
		return err
	case methodFence:
		token, expect := d.str(), d.opt()
		if err := d.end(); err != nil {
			return err
		}
		offset, err := h.Local.SetFence(ctx, id, token, expect)
		e.i64(offset)
		return err
	case methodGroups:
		request := d.bytes()
		if err := d.end(); err != nil || h.Groups == nil {
			d.fail("no groups here")
			return d.err
		}
		answer, err := h.Groups.Serve(ctx, request)
		e.bytes(answer)
		return err
	case methodKey:
		key := d.bytes()
		if err := d.end(); err != nil {
			return err
		}
		offset, live, err := h.Local.KeyOffset(ctx, id, key)
		e.i64(offset)
		e.bool(live)
		return err
	}
	return h.lead(ctx, m, id, d, e)
}
