// Package replica runs one partition on one node: the hands of
// server/partition. A Replica owns a partition.State and a log, takes appends,
// and answers them when the commit cycle or the high watermark says so.
//
// # Appends
//
// One mutex guards a replica; it is never held over I/O. BeginRecord encodes a
// record straight into the open batch and hangs its Pending on that batch's
// gate; BeginBatch stages a client's batch as it is. When a commit cycle of
// the store starts it calls Seal, which closes the open batch and gives it to
// the log; when the sync has returned it calls Flushed, which moves the
// watermark and opens the gates: one closed channel wakes everybody who shared
// a batch. There is no timer and no goroutine per partition or append.
//
// # Bounds
//
// Bytes that are staged and not yet on disk, waiting gates, the open batch and
// the store's backlog are bounded; beyond a bound appends fail at once with
// partition.ThrottledError, whose hint follows the measured rate of the disk.
//
// # Derived state
//
// A snapshot of the producers, idempotency keys and fence is saved beside the
// log every SnapshotBytes, after SnapshotInterval, before a trim and on Close.
// Retention and compaction are told a watermark that never passes the last
// snapshot, so they can't remove what a restart would need to rebuild it. A
// snapshot is saved only when the watermark has passed its offset.
//
// # Leadership
//
// Apply (or BecomeLeader, BecomeFollower) takes metadata. A replica that loses
// the leadership fails every waiter: the outcome of their appends is unknown.
package replica
