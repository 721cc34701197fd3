// Package group is the classic consumer group: who its members are, in which
// generation, who leads it, and what each member was assigned. It is pure:
// time, member ids and the outcome of writes come in, answers and wishes go
// out, so that a simulator and a golden trace run the real thing.
//
//	g := group.New("billing", group.Config{})
//	for _, e := range g.Step(now, group.Join{Token: 1, NewID: "c-1", …}) {
//		// Reply: answer request 1.  Store: write the group's metadata, then
//		// Step(now, group.Stored{…}).
//	}
//
// # States
//
//	Empty ──join──► Preparing ──all joined, or time──► Completing ──leader's sync, stored──► Stable
//	  ▲                 ▲  │                               │                                   │
//	  └──nobody left────┘  └──────────join, leave, expiry of a member, other protocols─────────┘
//
// A join waits in Preparing until every member has joined again or the
// rebalance's time is over; members that did not are removed. A sync waits in
// Completing for the leader's assignment. An assignment is handed out only
// once it is stored: a coordinator that takes over finds the same generation.
//
// # Time
//
// Every deadline is held by the group: Step with a Tick at Deadline. Members
// whose session ends, new members that never come back with their id (KIP-394),
// and members that do not sync are removed by it.
//
// # Offsets
//
// Committed offsets are beside the group (offsets.go): a commit is judged by
// MayCommit, appended by the coordinator, and kept with the place of its
// record, so that a replay of the log in any pieces ends in the same state.
package group
