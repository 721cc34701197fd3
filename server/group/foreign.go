package group

import "fmt"

// A group is of one protocol as long as it has members. Members of the other
// one are refused here; once the group is empty the coordinator makes it
// another one for who joins.

// onForeign refuses a member of the consumer protocol.
func (g *Group) onForeign(e *ConsumerHeartbeat) {
	err := ErrUnknownGroup
	if e.Epoch == 0 {
		err = fmt.Errorf("%w: they are of the classic protocol; stop them all to change to the consumer protocol",
			ErrInconsistentProtocol)
	}
	g.reply(Reply{Token: e.Token, Err: err, MemberID: e.MemberID})
}

// onClassicJoin refuses a member of the classic protocol. One that comes back
// with an id when nobody is left is sent to join anew without it, as in any
// empty group: clients do so by themselves, and give up on the other error.
func (g *ConsumerGroup) onClassicJoin(t Token, member string) {
	err := ErrUnknownMember
	if len(g.members) > 0 {
		err = fmt.Errorf("%w: they are of the consumer protocol; stop them all to change to the classic protocol",
			ErrInconsistentProtocol)
	}
	g.refuse(Reply{Token: t, Err: err, MemberID: member, Generation: -1})
}
