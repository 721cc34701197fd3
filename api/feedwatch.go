package api

import (
	"context"
	"time"
)

func (sp *span) done() bool { return sp.next >= sp.end }

// done tells whether every span has reached its end.
func (f *feed) done() bool {
	for i := range f.spans {
		if !f.spans[i].done() {
			return false
		}
	}
	return true
}

// stopAtTail ends the read at what is visible now.
func (f *feed) stopAtTail(ctx context.Context) error {
	for i := range f.spans {
		sp := &f.spans[i]
		o, err := f.s.broker.Offsets(ctx, f.topic.Name, sp.partition)
		if err != nil {
			return err
		}
		sp.offsets = o
		sp.end = min(sp.end, max(f.visible(&o), sp.next))
	}
	return nil
}

// readable takes every partition's offsets and tells whether some has
// something to read.
func (f *feed) readable(ctx context.Context) (ok bool, err error) {
	for i := range f.spans {
		sp := &f.spans[i]
		o, err := f.s.broker.Offsets(ctx, f.topic.Name, sp.partition)
		if err != nil {
			return false, err
		}
		sp.offsets = o
		ok = ok || f.visible(&o) > sp.next && !sp.done()
	}
	return ok, nil
}

// watch subscribes to every partition. One slot is enough: a signal means
// look again, and every look sees all that came before it.
func (f *feed) watch() error {
	if f.wake == nil {
		f.wake = make(chan struct{}, 1)
	}
	for i := len(f.cancels); i < len(f.spans); i++ {
		cancel, err := f.s.broker.Subscribe(f.topic.Name, f.spans[i].partition, f.wake)
		if err != nil {
			return err
		}
		f.cancels = append(f.cancels, cancel)
	}
	return nil
}

// close ends the subscriptions.
func (f *feed) close() {
	for _, cancel := range f.cancels {
		cancel()
	}
	f.cancels = nil
}

// await waits until something is readable and returns true, or false when the
// time is up, the client has gone or the node drains.
func (f *feed) await(ctx context.Context, d time.Duration) (bool, error) {
	if d <= 0 {
		return false, nil
	}
	if err := f.watch(); err != nil {
		return false, err
	}
	t := getTimer(d)
	defer putTimer(t)
	for {
		if ok, err := f.readable(ctx); ok || err != nil {
			return ok, err
		}
		select {
		case <-f.wake:
		case <-t.C:
			return false, nil
		case <-ctx.Done():
			return false, nil
		case <-f.s.broker.Draining():
			return false, nil
		}
	}
}

// grow adds partitions that the topic has got meanwhile, from their start. It
// fails when the topic is gone.
func (f *feed) grow() error {
	t, err := f.s.broker.Topic(f.topic.Name)
	switch {
	case err != nil:
		return err
	case t.ID != f.topic.ID:
		return topicIDMismatch(f.topic.Name)
	case !f.whole || int(t.Partitions) <= len(f.spans):
		return nil
	case t.Partitions > maxMerged:
		return tooManyPartitions(t)
	}
	f.addSpans(t.Partitions)
	f.topic = t
	if f.wake != nil {
		return f.watch()
	}
	return nil
}

func (f *feed) addSpans(count int32) {
	for p := int32(len(f.spans)); p < count; p++ {
		f.spans = append(f.spans, span{partition: p, end: noEnd, floating: true})
	}
}
