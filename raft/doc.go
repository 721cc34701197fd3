// Package raft replicates the cluster's metadata: one raft group whose log
// carries the commands of package meta.
//
//	node, err := raft.Open(ctx, raft.Options{Dir: dir, NodeID: 1, Fatal: fatal})
//	<-node.Ready()
//	result, err := node.Propose(ctx, &meta.CreateTopic{…})
//	node.View(func(m *meta.Image) { … })
//
// # Parts
//
// Core is etcd raft's state machine with the order of writes, messages and
// applies around it; it has no goroutine and no clock, so that a simulator can
// drive it over Memory. Disk is its storage on a real node: two Badger stores
// and a fence file. Node is a goroutine around a Core: it ticks, collects
// messages and proposals while a disk write runs, and gives them to the core
// together. Transport carries messages between nodes.
//
// # Promises
//
// A vote or an acknowledgement leaves the node only after the log transaction
// that it depends on is synced, and the fence file (outside of Badger, which
// forgets synced transactions behind a damaged byte) says so. At the next start
// a log that is behind the fence, has a gap or a bad checksum is not used: a
// sole voter, or a member of a cluster that has no healthy majority without
// it, refuses to start, names the file and deletes nothing; otherwise the node
// moves the log aside and enters anew, as a learner, under a new raft id.
//
// An error of a log, fence or state write is final. It goes to Options.Fatal,
// which must end the process: what the disk holds is not known any more.
//
// # Identity
//
// The node id names the broker. The raft id is random, made with the log: a
// node that lost its log is another raft member, and can't vote a second time
// in a term in which the old one voted.
//
// # Disk full
//
// Proposals are refused with ErrDiskFull, and entries from the leader ignored,
// while less than twice Options.MinFree (32 MiB) is free beside the reserved
// log files; below MinFree any write stops the node, because the next one
// could be a SIGBUS (see storage/kv). The file log/ballast (64 MiB) can be
// deleted to gain room for a start.
package raft
