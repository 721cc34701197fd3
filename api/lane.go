package api

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/partition"
)

// lane is the appends of one request to one partition. They are sent before
// the ones before them are answered, and nevertheless keep their order when the
// leader changes: what follows an append that has to be sent again is held back
// until that is under way.
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
	pending, err := o.send()
	l.mu.Lock()
	o.pending, o.err = pending, err
	l.mu.Unlock()
}

// free tells whether what comes next may be sent: everything before it was,
// and nothing of it is known to be in vain, or can be while something sent to
// the next leader is not.
func (l *lane) free(led *server.Leader) bool {
	for _, o := range l.open {
		if o.held || o.failed() || !ready(o) && (l.led.Node != led.Node || l.led.Epoch != led.Epoch) {
			return false
		}
	}
	return true
}

// failed tells whether the append is known to have to be sent again.
func (o *outcome) failed() bool {
	err := o.err
	if err == nil && o.pending != nil && ready(o) {
		_, err = o.pending.Wait(context.Background()) // it has its answer
	}
	return repeatable(err, o.safe)
}

// await waits for an outcome, the first of the open ones, and sends it as often
// as it takes.
func (l *lane) await(ctx context.Context, s *Server, o *outcome) {
	wait, cancel := context.WithTimeout(ctx, server.FailoverTime)
	defer cancel()
	var doubt error
	for {
		l.release(o)
		err := o.err
		if err == nil {
			o.appended, err = s.await(ctx, o.pending)
		}
		again := l.again(o, err)
		if !again || l.hopeless || !s.broker.AwaitLeader(wait) {
			l.close(o, doubtful(doubt, err), again)
			return
		}
		if unknown(err) {
			doubt = err
		}
		l.mu.Lock()
		o.held = true
		l.moved++
		l.mu.Unlock()
	}
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
			o.held = true
			l.moved++
		case !o.held && !ready(o):
			return
		case !o.held:
			continue
		}
		o.held, o.turn = false, l.moved
		if o.pending, o.err = o.send(); repeatable(o.err, o.safe) {
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
