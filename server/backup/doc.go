// Package backup writes a running cluster's topics, records and group offsets
// into a directory, checks such a directory, and restores it into an empty
// cluster. It is a client of the HTTP API of any node.
//
//	m, err := backup.Take(ctx, client, dir, backup.Options{…})
//	m, err := backup.Verify(ctx, dir, backup.Options{…})   // offline
//	m, err := backup.Restore(ctx, client, dir, backup.Options{…})
//
// # Consistency
//
// The cluster serves meanwhile. Committed offsets are read first, then the
// metadata, then the partitions' ends, then the records: each partition is a
// prefix of its log up to an end that was committed, and no committed offset is
// beyond. What was created later is not in the backup; what was deleted
// meanwhile is left out and named.
//
// Compaction may remove a record before it is read, because a later one has its
// key. The end of a compacted partition is therefore taken after its records:
// from where reading has come to, up to an end that is asked for then, no offset
// may be missing; else it is asked for once more. So whatever was removed had
// its successor below the end.
//
// # The directory
//
//	manifest.json                     what there is; see Manifest
//	logs/TOPICID-PARTITION.log        record batches as they are stored, one after the other
//	logs/TOPICID-PARTITION.state      what the leader remembered at the end: producers, idempotency keys, the fence
//	SHA256SUMS                        of all of them, as sha256sum writes it; last: without it the backup is unfinished
//
// A partition without batches, or without state, has no such file. Batches
// carry their own CRC; a gap between two stands for records that compaction
// removed.
//
// # Restoring
//
// Everything is checked before anything is written. A topic is made with its id
// and without leaders; each partition's batches go to one of its replicas as
// they are, which then leads, in a leader epoch above theirs, and the other
// replicas copy it. Each step can be repeated: an interrupted restoration goes
// on when it is started again.
package backup
