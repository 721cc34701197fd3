package telemetry

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/chroniklog/chronik/server/partition"
)

const (
	// maxFollowed bounds the appends that are followed at once, each with a
	// goroutine; more are served without spans.
	maxFollowed = 4096
	// maxLinks bounds the links of one commit span, maxCycles the cycles
	// whose members are remembered for them.
	maxLinks, maxCycles = 32, 64
)

// Pending is an append on its way; *replica.Pending satisfies it.
type Pending interface {
	Done() <-chan struct{}
	Wait(ctx context.Context) (partition.Appended, error)
	// Cycle is the commit cycle that synced the append; read after Done, nil
	// when it failed or was a duplicate.
	Cycle() *partition.Cycle
}

// Appends makes the spans of appends: "append" from the call to the answer,
// and below it "commit" with the times of the sync that made the records
// durable. Nil makes none.
//
// An append that is being traced is followed by a goroutine until it is done,
// so that an adapter need not end spans that it did not start, and so that a
// client that left does not cut its append's span short.
type Appends struct {
	tracer trace.Tracer
	traced func(*partition.Cycle, trace.SpanContext) // nil: nobody wants to know
	wg     sync.WaitGroup

	mu       sync.Mutex
	followed map[*Append]struct{}
	cycles   map[uint64][]trace.SpanContext // members, oldest cycle evicted first
	order    []uint64
}

// Append is one append span that has begun.
type Append struct {
	owner   *Appends
	ctx     context.Context //nolint:containedctx // the parent of the commit span
	span    trace.Span
	served  trace.Span // of a forwarded append: the leader's server span; else nil
	pending Pending
	noted   bool // among the members of its cycle; guarded by owner.mu
}

// NewAppends returns nil when tracer is nil. traced, if not nil, is told of the
// cycle of each sampled append.
func NewAppends(tracer trace.Tracer, traced func(*partition.Cycle, trace.SpanContext)) *Appends {
	if tracer == nil {
		return nil
	}
	return &Appends{
		tracer: tracer, traced: traced, followed: map[*Append]struct{}{}, cycles: map[uint64][]trace.SpanContext{},
	}
}

// Start begins the span of an append of count records, or returns nil when the
// request that ctx belongs to is not sampled. Where that request came to another
// node, which forwarded it, this node's server span is begun before it.
func (a *Appends) Start(ctx context.Context, topic string, p, count int32) *Append {
	if a == nil {
		return nil
	}
	var served trace.Span
	if parent := trace.SpanFromContext(ctx); !parent.IsRecording() {
		if sc := parent.SpanContext(); !sc.IsRemote() || !sc.IsSampled() {
			return nil
		}
		ctx, served = a.tracer.Start(ctx, spanServed, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			attrRPCSystem.String(ServiceName), attrRPCMethod.String(spanServed), attrSystem.String(ServiceName),
			attrDestination.String(topic), attrPartition.Int(int(p))))
		if !served.IsRecording() { // the sampler drops what others sampled
			return nil
		}
	}
	ctx, span := a.tracer.Start(ctx, spanAppend, trace.WithAttributes(
		attrSystem.String(ServiceName), attrDestination.String(topic), attrPartition.Int(int(p)),
		attrOperation.String(operationSend), attrOperationType.String(operationSend),
		attrBatchCount.Int(int(count))))
	return &Append{owner: a, ctx: ctx, span: span, served: served}
}

// Trace is what followers are told of the append; nil when ap is.
func (ap *Append) Trace() *partition.TraceContext {
	if ap == nil {
		return nil
	}
	return packContext(ap.span.SpanContext())
}

// end ends the spans: at the given time, or now.
func (ap *Append) end(at ...trace.SpanEndOption) {
	ap.span.End(at...)
	if ap.served != nil {
		ap.served.End(at...)
	}
}

// Context is ctx of Start with the append span in it.
func (ap *Append) Context() context.Context { return ap.ctx }

// Fail ends the span of an append that was refused at once.
func (ap *Append) Fail(err error) { ap.fail(err) }

func (ap *Append) fail(err error, at ...trace.SpanEndOption) {
	Failed(ap.span, err)
	ap.end(at...)
}

// Follow ends the span when p is done.
func (ap *Append) Follow(p Pending) {
	ap.pending = p
	a := ap.owner
	a.mu.Lock()
	full := len(a.followed) >= maxFollowed
	if !full {
		a.followed[ap] = struct{}{}
		a.wg.Add(1)
	}
	a.mu.Unlock()
	if full {
		ap.end()
		return
	}
	go func() {
		defer a.wg.Done()
		<-p.Done()
		ap.finish(trace.WithTimestamp(time.Now()))
	}()
}

// Wait returns when every followed append has ended; call it after the
// replicas were closed, which ends all of them.
func (a *Appends) Wait() {
	if a != nil {
		a.wg.Wait()
	}
}

// finish ends the spans of an append that is done. It takes longer than the
// answer does, which went out at the same time.
func (ap *Append) finish(at trace.SpanEndOption) {
	appended, err := ap.pending.Wait(context.Background()) // is done: does not block
	cycle := ap.pending.Cycle()
	links := ap.owner.leave(ap, cycle)
	if err != nil {
		ap.fail(err, at)
		return
	}
	ap.span.SetAttributes(attrOffset.Int64(appended.Offset), attrLeaderEpoch.Int(int(appended.LeaderEpoch)),
		attrDuplicate.Bool(appended.Duplicate))
	if cycle != nil {
		if ap.owner.traced != nil {
			ap.owner.traced(cycle, ap.span.SpanContext())
		}
		ap.commitSpan(cycle, links)
	}
	ap.end(at)
}

func (ap *Append) commitSpan(c *partition.Cycle, links []trace.Link) {
	way := "direct"
	if c.Journal {
		way = "journal"
	}
	_, span := ap.owner.tracer.Start(ap.ctx, spanCommit, trace.WithTimestamp(c.Start), trace.WithLinks(links...),
		trace.WithAttributes(attrCycle.Int64(int64(c.ID)), attrCycleBytes.Int64(c.Bytes),
			attrCycleBatches.Int(c.Batches), attrCycleWay.String(way),
			attrSyncMicros.Int64(c.End.Sub(c.SyncStart).Microseconds())))
	span.AddEvent("sync", trace.WithTimestamp(c.SyncStart))
	span.End(trace.WithTimestamp(c.End))
}

// leave forgets ap and returns links to the appends that shared its cycle.
func (a *Appends) leave(ap *Append, c *partition.Cycle) []trace.Link {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c == nil {
		delete(a.followed, ap)
		return nil
	}
	for other := range a.followed {
		a.note(other, c.ID)
	}
	delete(a.followed, ap)
	var links []trace.Link
	self := ap.span.SpanContext()
	for _, sc := range a.cycles[c.ID] {
		if !sc.Equal(self) && len(links) < maxLinks {
			links = append(links, trace.Link{SpanContext: sc})
		}
	}
	return links
}

// note adds an append to its cycle's members if that is the given cycle.
func (a *Appends) note(ap *Append, cycle uint64) {
	if ap.noted {
		return
	}
	select {
	case <-ap.pending.Done():
	default:
		return
	}
	if c := ap.pending.Cycle(); c == nil || c.ID != cycle {
		return
	}
	ap.noted = true
	members, known := a.cycles[cycle]
	if !known {
		a.order = append(a.order, cycle)
		if len(a.order) > maxCycles {
			delete(a.cycles, a.order[0])
			a.order = a.order[1:]
		}
	}
	if len(members) <= maxLinks {
		a.cycles[cycle] = append(members, ap.span.SpanContext())
	}
}
