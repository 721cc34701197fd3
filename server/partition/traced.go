package partition

// TraceContext is the trace context of an append, which its adapter encodes and
// this package only carries: to the followers, so that their work shows in the
// trace. It is on no disk.
type TraceContext [25]byte

// Traced is an append that is part of a sampled trace.
type Traced struct {
	Offset  int64 // of the append's first record
	Context TraceContext
}

// MaxTraced bounds the traced appends that travel with batches.
const MaxTraced = 64
