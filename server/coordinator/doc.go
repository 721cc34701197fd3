// Package coordinator runs the consumer groups of a node: it gives the pure
// machines of package group a log, a clock and somebody to answer.
//
//	c := coordinator.New(coordinator.Options{Topics: broker, Logs: broker.LedLogs(), …})
//	reply, err := c.Join(ctx, "billing", group.Join{…})
//	defer c.Close()
//
// # Where a group lives
//
// A group belongs to the partition of __consumer_offsets that its name hashes
// to, as in Kafka, and is coordinated by the node that leads that partition.
// The topic is created, replicated and compacted, when the first group is
// looked for.
//
// # Taking over
//
// A shard is one such partition in one leader epoch. It is opened by the first
// request that wants it: once the high watermark has passed the epoch's start,
// everything is replayed, and only then is anything answered; a request waits
// a little for it and then gets ErrLoading. A shard whose partition has another
// leader or epoch is dropped with everything that waits in it
// (ErrNotCoordinator): the next coordinator has what was acknowledged, because
// an answer is given only when the high watermark has passed what it tells.
package coordinator
