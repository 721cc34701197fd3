package raft

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/chroniklog/chronik/raft/meta"
)

// proposal is a command on its way into the core of this node.
type proposal struct {
	id   meta.ID
	cmd  []byte
	done chan reply // buffered
}

type reply struct {
	result meta.Result
	err    error
}

// waiters are the proposals whose results are awaited. A request that is
// retried while an earlier attempt is still awaited shares its result.
type waiters struct {
	mu      sync.Mutex
	pending map[meta.ID][]*proposal

	applied uint64 // the loop's alone
	moved   broadcast
}

func (w *waiters) init() {
	w.pending = map[meta.ID][]*proposal{}
	w.moved.init()
}

// reached tells, once Status shows it, how far this node has applied.
func (w *waiters) reached(applied uint64) {
	if applied != w.applied {
		w.applied = applied
		w.moved.signal()
	}
}

func (w *waiters) add(p *proposal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending[p.id] = append(w.pending[p.id], p)
}

func (w *waiters) remove(p *proposal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.pending[p.id]
	for i, q := range list {
		if q == p {
			list = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	if len(list) == 0 {
		delete(w.pending, p.id)
		return
	}
	w.pending[p.id] = list
}

func (w *waiters) take(id meta.ID) []*proposal {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.pending[id]
	delete(w.pending, id)
	return list
}

// resolve gives an applied command's result to whoever waits for it.
func (w *waiters) resolve(id meta.ID, r meta.Result) {
	for _, p := range w.take(id) {
		p.done <- reply{result: r}
	}
}

// reject ends one proposal.
func (w *waiters) reject(p *proposal, err error) {
	w.remove(p)
	select {
	case p.done <- reply{err: err}:
	default: // resolved meanwhile
	}
}

// failAll ends all.
func (w *waiters) failAll(err error) {
	w.mu.Lock()
	all := w.pending
	w.pending = map[meta.ID][]*proposal{}
	w.mu.Unlock()
	for _, list := range all {
		for _, p := range list {
			p.done <- reply{err: err}
		}
	}
}

// Propose has the controller apply a command, from any node, and returns its
// result once it is applied and durable here or there; see Await. A refused command's
// error wraps one of meta's sentinels. ErrNoController, ErrBusy, ErrDiskFull
// and ErrClosed: it was not applied. ErrOutcomeUnknown: it may have been, or
// may yet be. Attempts are repeated, with one request id, until the context or
// Options.ProposeTimeout ends.
func (n *Node) Propose(ctx context.Context, cmd meta.Command) (meta.Result, error) {
	req := meta.Request{TimeMs: n.opts.Now().UnixMilli()}
	if _, err := rand.Read(req.ID[:]); err != nil {
		return meta.Result{}, fmt.Errorf("propose: %w", err)
	}
	if _, _, err := meta.Decode(meta.Encode(req, cmd)); err != nil {
		return meta.Result{}, fmt.Errorf("propose %T: %w: %w", cmd, meta.ErrInvalidCommand, err)
	}
	ctx, cancel := context.WithTimeout(ctx, n.opts.ProposeTimeout)
	defer cancel()
	began := time.Now()
	r, err := n.attempts(ctx, req, cmd)
	n.opts.Metrics.Proposed(time.Since(began), err == nil || r.Code != 0)
	if err != nil && r.Code != 0 {
		return r, err // a refusal says what it is about
	}
	if err != nil {
		return r, fmt.Errorf("propose %T: %w", cmd, err)
	}
	return r, nil
}

// Await returns when this node has applied the entry at index, a Result's, so
// that View shows it. A node on a full disk does not get there. ErrClosed, or
// the context's error.
func (n *Node) Await(ctx context.Context, index uint64) error {
	for {
		moved := n.waiters.moved.wait()
		if n.Status().Applied >= index {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("await metadata up to %d: %w", index, ctx.Err())
		case <-n.ctx.Done():
			return ErrClosed
		}
	}
}

// retryPause is the wait between attempts when no change of the controller
// ends it before.
const retryPause = 50 * time.Millisecond

// leaderlessTime is how long a proposal that nobody has seen waits while there
// is no controller: some elections. A majority is missing then.
const leaderlessTime = 5 * time.Second

// attempts proposes until there is a result or a final error.
func (n *Node) attempts(ctx context.Context, req meta.Request, cmd meta.Command) (meta.Result, error) {
	var raw []byte
	sent := false
	led := time.Now()
	for {
		changed := n.changed.wait()
		s := n.Status()
		if s.leader != 0 {
			led = time.Now()
		} else if !sent && time.Since(led) > leaderlessTime {
			return meta.Result{}, n.noController()
		}
		if raw == nil && s.leader != 0 {
			// Only now the image is good enough to tell the request's age.
			req.Seq = n.seq.Load()
			raw = meta.Encode(req, cmd)
		}
		r, err := n.attempt(ctx, s, req.ID, raw)
		if err == nil {
			err = r.Err()
		}
		switch {
		case err == nil:
			return r, nil
		case errors.Is(err, errUncertain):
			sent = true
		case !errors.Is(err, errNotLeader) && !errors.Is(err, errDropped):
			// Refusals of meta answer for the earlier attempts, too, unless
			// those are too old to tell.
			if sent && (r.Code == 0 || errors.Is(err, meta.ErrRequestExpired)) {
				return r, fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
			}
			return r, err
		}
		timer := time.NewTimer(retryPause)
		select {
		case <-timer.C:
		case <-changed:
		case <-ctx.Done():
		case <-n.ctx.Done():
		}
		timer.Stop()
		if cause := n.over(ctx); cause != nil {
			if sent {
				return r, fmt.Errorf("%w: %w", ErrOutcomeUnknown, cause)
			}
			if errors.Is(cause, ErrClosed) {
				return r, cause
			}
			return r, fmt.Errorf("%w: %w", n.noController(), cause)
		}
	}
}

func (n *Node) over(ctx context.Context) error {
	if n.ctx.Err() != nil {
		return ErrClosed
	}
	return ctx.Err()
}

// noController is the error of a proposal that found no one to take it.
func (n *Node) noController() error {
	if s := n.Status(); s.Leader != 0 && s.Leader != n.opts.NodeID {
		return errors.Join(ErrNoController, &NotControllerError{Leader: s.Leader})
	}
	return ErrNoController
}

// errUncertain: the attempt failed after the command was handed over.
var errUncertain = errors.New("no answer")

// attempt proposes once, here or at the controller.
func (n *Node) attempt(ctx context.Context, s Status, id meta.ID, raw []byte) (meta.Result, error) {
	switch {
	case s.Controller():
		return n.local(ctx, id, raw)
	case s.leader == 0 || n.opts.Transport == nil:
		return meta.Result{}, errNotLeader
	}
	return n.forward(ctx, s.leader, raw)
}

// local proposes to this node's core.
func (n *Node) local(ctx context.Context, id meta.ID, raw []byte) (meta.Result, error) {
	p := &proposal{id: id, cmd: raw, done: make(chan reply, 1)}
	n.waiters.add(p)
	select {
	case n.proposals <- p:
	case <-n.ctx.Done():
		n.waiters.remove(p)
		return meta.Result{}, ErrClosed
	default:
		n.waiters.remove(p)
		return meta.Result{}, ErrBusy
	}
	select {
	case r := <-p.done:
		if errors.Is(r.err, errLost) {
			return r.result, fmt.Errorf("%w: %w", errUncertain, r.err)
		}
		return r.result, r.err
	case <-ctx.Done():
	case <-n.ctx.Done():
	}
	n.waiters.remove(p)
	return meta.Result{}, errUncertain
}
