package forward

import (
	"context"
	"errors"
	"fmt"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/peer"
	"github.com/chroniklog/chronik/server/replica"
	"github.com/chroniklog/chronik/storage/plog"
)

// ErrUnreachable: the leader can't be reached; nothing was applied. Retryable:
// another node may lead soon.
var ErrUnreachable = errors.New("the partition's leader can't be reached")

// Client asks one node, the leader of the partitions that it is asked about.
type Client struct {
	Peer   *peer.Caller
	Errors Errors
}

// Answered is told once how an append ended, and makes of its error, if there
// is one, what Wait returns. It must not block, nor change the answer.
type Answered func(a *partition.Appended, err error) error

// Record forwards the append of one record. Key, Value and Headers are copied
// before it returns.
func (c *Client) Record(ctx context.Context, id plog.ID, r *partition.RecordAppend, done Answered) *replica.Pending {
	e := call(ctx, id)
	e.record(r)
	return c.append(ctx, methodRecord, e, done)
}

// Batch forwards the append of one record batch.
func (c *Client) Batch(ctx context.Context, id plog.ID, r *partition.BatchAppend, done Answered) *replica.Pending {
	e := call(ctx, id)
	e.i64(int64(r.Acks))
	e.conditions(&r.Cond)
	e.bytes(r.Batch)
	e.i64(int64(r.Pin))
	return c.append(ctx, methodBatch, e, done)
}

// append does not tell the leader when the client gives up: what is staged
// can't be taken back, and its answer costs nothing.
func (c *Client) append(ctx context.Context, m peer.Method, e *encoder, done Answered) *replica.Pending {
	pending, resolve := replica.NewRelayed()
	c.Peer.Go(ctx, m, e.b, func(answer []byte, err error) {
		var a partition.Appended
		if err != nil {
			err = c.failed(err, partition.ErrOutcomeUnknown)
		} else {
			d := decoder{b: answer}
			a = d.appended()
			if bad := d.end(); bad != nil {
				err = fmt.Errorf("%w: %w", partition.ErrOutcomeUnknown, bad)
			}
		}
		err = done(&a, err)
		resolve(a, err)
	})
	return pending
}

// failed translates a failed call. lost is what a call matches whose outcome
// is not known.
func (c *Client) failed(err, lost error) error {
	var refusal *peer.Refusal
	switch {
	case errors.As(err, &refusal):
		return c.Errors.decode(refusal.Payload, lost)
	case peer.Unsent(err):
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	case errors.Is(err, peer.ErrLost):
		return fmt.Errorf("%w: %w", lost, err)
	}
	return err // the caller's own context
}

// ask makes a call that changes nothing: one that was lost may be repeated.
func (c *Client) ask(ctx context.Context, m peer.Method, e *encoder, lost error) (decoder, error) {
	answer, err := c.Peer.Call(ctx, m, e.b)
	if err != nil {
		return decoder{}, c.failed(err, lost)
	}
	return decoder{b: answer}, nil
}

// Read asks for batches, which belong to the caller.
func (c *Client) Read(ctx context.Context, id plog.ID, r Read) ([]byte, partition.Offsets, error) {
	e := call(ctx, id)
	e.i64(r.Offset)
	e.i64(int64(r.MaxBytes))
	e.i64(int64(r.Isolation))
	e.i64(int64(r.Wait))
	d, err := c.ask(ctx, methodRead, e, ErrUnreachable)
	if err != nil {
		return nil, partition.Offsets{}, err
	}
	o, batches := d.offsets(), d.bytes()
	return batches, o, d.end()
}

// Offsets asks for a partition's offsets.
func (c *Client) Offsets(ctx context.Context, id plog.ID) (partition.Offsets, error) {
	d, err := c.ask(ctx, methodOffsets, call(ctx, id), ErrUnreachable)
	if err != nil {
		return partition.Offsets{}, err
	}
	return d.offsets(), d.end()
}

// Await waits until the partition's offsets differ from known.
func (c *Client) Await(ctx context.Context, id plog.ID, known partition.Offsets) (partition.Offsets, error) {
	e := call(ctx, id)
	e.offsets(&known)
	d, err := c.ask(ctx, methodAwait, e, ErrUnreachable)
	if err != nil {
		return partition.Offsets{}, err
	}
	return d.offsets(), d.end()
}

// OffsetForTime finds the first record at or after ts.
func (c *Client) OffsetForTime(ctx context.Context, id plog.ID, ts int64) (
	offset, timestamp int64, ok bool, err error,
) {
	e := call(ctx, id)
	e.i64(ts)
	d, err := c.ask(ctx, methodTime, e, ErrUnreachable)
	if err != nil {
		return 0, 0, false, err
	}
	offset, timestamp, ok = d.i64(), d.i64(), d.bool()
	return offset, timestamp, ok, d.end()
}

// Trim deletes the records below before.
func (c *Client) Trim(ctx context.Context, id plog.ID, before int64) (logStart int64, err error) {
	e := call(ctx, id)
	e.i64(before)
	d, err := c.ask(ctx, methodTrim, e, partition.ErrOutcomeUnknown)
	if err != nil {
		return 0, err
	}
	logStart = d.i64()
	return logStart, d.end()
}

// SetFence sets the fence token.
func (c *Client) SetFence(ctx context.Context, id plog.ID, token string, expect *string) (offset int64, err error) {
	e := call(ctx, id)
	e.str(token)
	e.opt(expect)
	d, err := c.ask(ctx, methodFence, e, partition.ErrOutcomeUnknown)
	if err != nil {
		return 0, err
	}
	offset = d.i64()
	return offset, d.end()
}

// KeyOffset finds where a key was last written.
func (c *Client) KeyOffset(ctx context.Context, id plog.ID, key []byte) (offset int64, live bool, err error) {
	e := call(ctx, id)
	e.bytes(key)
	d, err := c.ask(ctx, methodKey, e, ErrUnreachable)
	if err != nil {
		return 0, false, err
	}
	offset, live = d.i64(), d.bool()
	return offset, live, d.end()
}

// Groups asks the node's coordinator of consumer groups. The answer belongs to
// the caller. A request that was lost may have been carried out.
func (c *Client) Groups(ctx context.Context, request []byte) ([]byte, error) {
	e := call(ctx, plog.ID{})
	e.bytes(request)
	d, err := c.ask(ctx, methodGroups, e, ErrUnreachable)
	if err != nil {
		return nil, err
	}
	answer := d.bytes()
	return answer, d.end()
}

// Confirm asks whether the node knows of a later leader epoch than epoch.
func (c *Client) Confirm(ctx context.Context, id plog.ID, epoch int32) error {
	e := call(ctx, id)
	e.i64(int64(epoch))
	_, err := c.ask(ctx, methodConfirm, e, ErrUnreachable)
	return err
}

// Visible waits until the node shows the metadata up to index.
func (c *Client) Visible(ctx context.Context, index uint64) error {
	e := call(ctx, plog.ID{})
	e.i64(int64(index))
	_, err := c.ask(ctx, methodVisible, e, ErrUnreachable)
	return err
}
