package partition

import "fmt"

// MaxFenceToken bounds a fence token, in bytes.
const MaxFenceToken = 255

// fence is the partition's fence token, set by a control batch. The empty
// token is no fence.
type fence struct {
	token  string
	offset int64 // of the control record, NoOffset if none was ever written
}

// CheckFence decides on a change of the fence to token, which goes on only if
// expect is nil or the current token.
func (s *State) CheckFence(token string, expect *string) Verdict {
	if s.role != RoleLeader {
		return refuse(s.notLeader(), 0)
	}
	if len(token) > MaxFenceToken {
		return refuse(fmt.Errorf("%w: fence token of %d bytes, at most %d are allowed",
			ErrInvalidAppend, len(token), MaxFenceToken), 0)
	}
	if err := s.enoughReplicas(AcksAll); err != nil {
		return refuse(err, 0)
	}
	if expect != nil && *expect != s.fence.token {
		return refuse(ErrFenced, s.fence.offset+1)
	}
	return Verdict{}
}

// StageFence gives the control record that sets the fence its offset.
func (s *State) StageFence(token string) (offset int64) {
	offset = s.end
	s.end++
	s.fence = fence{token: token, offset: offset}
	return offset
}

// Fence is the current token, empty if there is none, and the offset of the
// control record that set it, NoOffset if there is none.
func (s *State) Fence() (token string, offset int64) { return s.fence.token, s.fence.offset }
