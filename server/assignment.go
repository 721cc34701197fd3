package server

import (
	"fmt"
	"slices"
)

// checkAssignment judges an explicit assignment: every partition the same
// number of distinct, registered brokers.
func checkAssignment(assignment [][]NodeID, brokers []NodeID) error {
	rf := len(assignment[0])
	if rf == 0 {
		return fmt.Errorf("%w: partition 0 has no replica", ErrInvalidReplication)
	}
	for p, replicas := range assignment {
		if len(replicas) != rf {
			return fmt.Errorf("%w: partition %d has %d replicas and partition 0 has %d",
				ErrInvalidReplication, p, len(replicas), rf)
		}
		for i, r := range replicas {
			if slices.Contains(replicas[:i], r) {
				return fmt.Errorf("%w: partition %d names node %d twice", ErrInvalidReplication, p, r)
			}
			if !slices.Contains(brokers, r) {
				return fmt.Errorf("%w: partition %d names node %d, which is not registered",
					ErrInvalidReplication, p, r)
			}
		}
	}
	return nil
}
