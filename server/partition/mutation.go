package partition

// Mutation switches safeguards of a partition off, for tests that must fail
// then. The zero value is the real partition; nothing but a test makes another.
type Mutation struct {
	// NoMinISR moves the watermark however small the ISR is.
	NoMinISR bool
	// NoTruncation takes every follower's log for a prefix of the leader's.
	NoTruncation bool
	// CommittedISR lets the watermark pass members that a proposal in flight
	// would add.
	CommittedISR bool
}

// Mutate switches safeguards off. It is for tests.
func (s *State) Mutate(m Mutation) { s.mutation = m }
