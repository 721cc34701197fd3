package record

import "math"

// AppendHole appends batches without records that span the offsets from …
// to-1, in a leader epoch: what stands for records that compaction has removed
// where a log may have no gap. Nothing is appended if there are no such offsets.
func AppendHole(dst []byte, from, to int64, epoch int32) []byte {
	for from < to {
		b := NewBuilder(CodecNone)
		b.Reset(from, epoch)
		last := min(to-1, from+math.MaxInt32-1)
		b.SetLastOffset(last)
		dst = b.Build(dst)
		from = last + 1
	}
	return dst
}
