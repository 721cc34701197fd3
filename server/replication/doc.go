// Package replication carries record batches from partition leaders to their
// followers: one connection per pair of brokers and direction, many partitions
// on it, nothing sent while nothing happens.
//
// # Protocol
//
// The follower opens the connection and owns the session, which is the
// connection itself. It sends Fetch messages with the positions that changed:
// where its log ends in memory (Offset) and on disk (Flushed). The leader
// keeps the last position of each partition. Whenever there are batches from
// that offset on, staged ones included, it sends them, once per position that
// asks for them (others tell progress only); the follower appends them in
// memory and sends its next position at once, before its own disk has synced:
// leader's disk, network and follower's disk overlap.
// When the disk has synced, another position tells the new Flushed, which is
// what the leader's high watermark counts. A watermark that moved is sent with
// the next batches; if there are none within 10 ms, alone.
//
// So a record costs two messages up and one down on a busy connection, each
// shared by whatever else happened meanwhile; an idle partition costs no
// message at all, however long it idles. Flow control is the position (one
// answer each), the bound of an answer, and TCP.
//
// Appends whose traces are sampled are told beside the batches that hold them
// (Data.Traced), so that followers need not parse records to show their part.
//
// # Safety
//
// Every position carries the broker epoch and the leader epoch of the
// follower, every answer the leader epoch of the leader; each side drops what
// is not of its own epoch. A follower's log is compared with its leader's by
// epoch only (KIP-101, KIP-279): the leader answers CodeDiverging with the end
// of the last epoch that both may share, the follower truncates and asks
// again. Until a position was accepted nothing is sent, and a follower takes no
// batches that it has not asked for: a batch behind the place where two logs
// part would hide for good that they do. The decisions are package partition's;
// this package moves bytes.
//
// Where the leader's log has been trimmed or compacted, a follower that copies it
// would not learn all of the producers, idempotency keys and fence that the leader
// derived from it. It is sent the leader's saved state first, CodeState, once per
// session, and goes on when that is durable.
package replication
