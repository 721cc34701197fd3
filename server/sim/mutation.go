package sim

import "github.com/chroniklog/chronik/server/partition"

// Mutation switches safeguards off, one or several, to prove that the
// simulator notices. The zero value is the real system. A mutation is a field
// of a struct that only tests fill: no flag, variable or file leads to it.
type Mutation struct {
	// NoSync acknowledges what is not synced.
	NoSync bool
	// ForgetVotes has every crash lose the raft vote, and no fence tells.
	ForgetVotes bool
	// Partition is the core's and the replica's.
	Partition partition.Mutation
}
