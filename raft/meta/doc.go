// Package meta is the cluster's metadata as a deterministic state machine.
//
// A Command says what should change. The proposer picks everything that must
// not differ between nodes (identifiers, times, assignments) and puts it into
// the command; Encode wraps it with a request id. The raft log orders the
// encoded commands, and every node gives them, in that order, to Image.Apply:
//
//	cmd := meta.Encode(meta.Request{ID: id, TimeMs: now, Seq: seq}, &meta.CreateTopic{…})
//	result, changes, events, err := image.Apply(index, cmd)
//
// The result tells the proposer how it went; a refused command is a result
// too, not an error. Changes are what to write to the key-value store so that
// Load makes an equal image again; Events are what happened, for whoever acts
// on it. An error means that this node can't understand a committed command
// and must stop: going on would make it differ from the others.
//
// The package is pure: no input or output, no clock, no goroutine, no
// randomness. Iteration that shows in the outcome is in sorted order.
//
// # Requests
//
// A request id makes a retry harmless: the image remembers the results of the
// last DedupWindow commands and answers a repeat with the first result. A
// request that is older than the window is refused rather than applied twice.
//
// # Epochs
//
// Broker.Epoch is the raft index at which the broker's process registered.
// Partition.LeaderEpoch grows whenever the leader changes or its process is a
// new one; Partition.PartitionEpoch grows with every change of the partition.
// AlterPartition is a compare-and-set on all three.
//
// # Chunks
//
// A command that touches many partitions (a broker's death or registration)
// changes at most SweepLimit of them and says in Result.More that there is
// more to do: the proposer repeats it. This keeps one command's changes below
// the store's transaction limit.
package meta
