package server

import "github.com/chroniklog/chronik/server/partition"

// Mutation switches safeguards of a broker off, for tests that must fail then.
// The zero value is the real broker; no flag, variable or file of a node makes
// another.
type Mutation struct {
	// Unconfirmed lets a leader answer finally without asking whether another
	// was elected.
	Unconfirmed bool
	// Partition is that of every partition.
	Partition partition.Mutation
}
