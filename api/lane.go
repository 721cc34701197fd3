package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/partition"
)

// lane is the appends of one request to one partition. They are sent before
// the ones before them are answered, and nevertheless keep their order when the
// leader changes: what follows an append that has to be sent again is held back
// until that is under way. A leader takes all that comes from its first append
// on until it is replaced, so what it refuses before, or who else would take it,
// must not matter: it has proven itself before more than one is under way, and
// each is sent to the leader of one epoch only.
//
// One goroutine begins outcomes, one, which may be another, waits for them; both
// in order.
type lane struct {
	broker appender
	topic  string
	number int32

	mu   sync.Mutex
	open []*outcome // begun or held, in order, until they were waited for
	// led is the leadership in which the last one was begun.
	led server.Leader
	// moved counts what had to be sent again: whatever was sent before such an
	// append and comes behind it may have been refused for its absence.
	moved int
	// hopeless: the last one waited in vain for a leader; those behind it try
	// once only.
	hopeless bool
}

// begin sends an append, or holds it back.
func (l *lane) begin(o *outcome) {
	o.lane = l
	led, _ := l.broker.Leader(l.topic, l.number) // of none if the topic is gone: the append says so
	l.mu.Lock()
	o.held = !l.free(&led)
	l.open = append(l.open, o)
	if !o.held {
		l.led, o.turn = led, l.moved
	}
	held := o.held
	l.mu.Unlock()
	if held {
		return
	}
	pending, err := o.send(partition.PinTo(led.Epoch))
	l.mu.Lock()
	o.pending, o.err = pending, err
	l.mu.Unlock()
}

// free tells whether what comes next may be sent: everything before it was,
// and nothing of it is known to be in vain, or can be while what comes next is
// not: the leader has changed, or has yet to take its first append.
func (l *lane) free(led *server.Leader) bool {
	for _, o := range l.open {
		if o.held || o.failed() || !ready(o) && !(led.Proven && l.led.Node == led.Node && l.led.Epoch == led.Epoch) {
			return false
		}
	}
	return true
}

// failed tells whether the append is known to have to be sent again.
func (o *outcome) failed() bool { return repeatable(o.failure(), o.safe) }

// failure is the error that the last attempt ended with, as far as it is known.
func (o *outcome) failure() error {
	if o.err != nil || o.pending == nil || !ready(o) {
		return o.err
	}
	_, err := o.pending.Wait(context.Background()) // it has its answer
	return err
}

// await waits for an outcome, the first of the open ones, and sends it as often
// as it takes: until ctx ends, or no leader has taken it in the time of a
// failover, which begins when it is first refused.
func (l *lane) await(ctx context.Context, s *Server, o *outcome) {
	again, err := l.attempt(ctx, s, o)
	if again && !l.hopeless {
		wait, cancel := context.WithTimeout(ctx, server.FailoverTime)
		defer cancel()
		for again && s.broker.AwaitLeader(wait) {
			l.mu.Lock()
			l.hold(o, err)
			l.mu.Unlock()
			again, err = l.attempt(ctx, s, o)
		}
	}
	l.close(o, doubtful(o.doubt, err), again)
}

// attempt sends an outcome, if it is held, and waits for its answer. What is
// held when ctx ends is not sent any more.
func (l *lane) attempt(ctx context.Context, s *Server, o *outcome) (again bool, err error) {
	if o.held && ctx.Err() != nil {
		return true, fmt.Errorf("%w: the request ended before there was one: %v", server.ErrNoLeader, context.Cause(ctx))
	}
	l.release(o)
	if err = o.err; err == nil {
		o.appended, err = s.await(ctx, o.pending)
	}
	return l.again(o, err), err
}

// hold has an outcome that ended with err sent again.
func (l *lane) hold(o *outcome, err error) {
	if unknown(err) {
		o.doubt = err
	}
	o.held = true
	l.moved++
}

// again tells whether an outcome that ended with err is to be sent again.
func (l *lane) again(o *outcome, err error) bool {
	if repeatable(err, o.safe) {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return o.turn < l.moved &&
		(errors.Is(err, partition.ErrSequenceGap) || errors.Is(err, partition.ErrOffsetConflict))
}

// release sends o, if it is held, and what is held behind it, as far as its
// order allows.
func (l *lane) release(o *outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !o.held {
		return
	}
	l.led, _ = l.broker.Leader(l.topic, l.number)
	for _, o := range l.open {
		switch {
		case !o.held && o.failed():
			l.hold(o, o.failure())
		case !o.held && !ready(o):
			return
		case !o.held:
			continue
		}
		o.held, o.turn = false, l.moved
		o.pending, o.err = o.send(partition.PinTo(l.led.Epoch))
		if o.failed() || !l.led.Proven && !ready(o) {
			return
		}
	}
}

// close takes the first outcome, which has its answer, from the open ones.
func (l *lane) close(o *outcome, err error, inVain bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o.err, o.held = err, false
	l.open = slices.Delete(l.open, 0, 1)
	l.hopeless = inVain
}

// ready tells whether waiting for o would return at once.
func ready(o *outcome) bool {
	switch {
	case o.held:
		return false
	case o.err != nil:
		return true
	case o.pending == nil: // it is just being sent
		return false
	}
	select {
	case <-o.pending.Done():
		return true
	default:
		return false
	}
}
