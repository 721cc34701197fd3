// Package sim is a deterministic simulator of a Chronik cluster.
//
// One thread, one seeded source of chance, one virtual clock. What runs is the
// real code: etcd raft in raft.Core, the image of raft/meta, the controller's
// mind, replica.Replica with partition.State, both sides of the replication
// protocol in its wire format, and plog with journal, segments, checkpoints
// and recovery over vfs.Mem. The simulator adds what a process has around
// them: a network, disks that lose and tear, clocks, the order of events, and
// clients. Broker and node, which are goroutines around those parts, are not
// run; node.go and roles.go do what they do, as short as it can be.
//
//	report, err := sim.Run(sim.Options{Seed: 42})
//
// # A run
//
// First faults: messages are lost, delayed, duplicated and overtake each
// other, links and nodes are cut off, nodes pause, crash at any write with
// their unsynced bytes kept, lost or torn, disks stall, wall clocks jump. All
// the while clients write, with idempotency keys, producer sequences and
// conditions, and read. Then everything heals, and within Options.Heal of
// virtual time there must be a controller, every partition must have its whole
// ISR, and a record must be acknowledged by every partition (liveness). At the
// end the logs are compared with what was acknowledged and seen (safety).
//
// # Replay
//
// Equal options have equal traces: Report.Hash tells. A failing seed is run
// again with Options.Trace. etcd raft draws its election timeouts from
// crypto/rand.Reader, which is the process's: whoever calls Run has to replace
// that by Chance, once.
package sim
