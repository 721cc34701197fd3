// Package partition is the mind of one partition, without hands: what to
// accept, which offset it gets, when it may be answered, who is in sync and
// what was seen before. It does no I/O, reads no clock, starts no goroutine
// and draws no random number; every input, time included, is an argument, so
// that a simulator or a golden trace drives the very code that runs in a
// broker. server/replica is the executor that gives it a log and a lock.
//
// # Life of an append
//
// CheckRecord and CheckBatch return a Verdict: append, or answer without
// appending (a duplicate, a conflict). StageRecord and StageBatch then assign
// the offsets and remember what the append means: the producer's window, the
// idempotency key, the record's key, the fence. Staged state counts for the
// next check at once; but whatever is answered from it carries in Cites the
// offset that the high watermark must reach first, since until then a failover
// may undo it.
//
// # Watermark
//
// The high watermark is the lowest flushed offset over the maximal ISR: the
// committed members and those that a proposal in flight would add. It moves
// only while the committed ISR has at least min.insync.replicas members. A
// follower counts with the end offset that it has synced, reported in its
// fetches under the same leader epoch. Until the watermark reaches the start
// of the leader's epoch, tail queries are answered with ErrOffsetNotAvailable:
// what the last leader committed above it is not known yet.
//
// # Derived state
//
// Producer windows, idempotency keys and the fence token derive from the log:
// Replay of a batch leaves the same state as staging it did. Snapshot and
// Restore carry them over trimming, compaction and restarts; a snapshot is
// valid for exactly the offset that it was taken at, and is kept only once the
// watermark has passed it, so no truncation goes below it. The index of keys
// is rebuilt from the log when it is first asked for.
package partition
