package replica

import (
	"errors"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/plog"
)

// errDeposed is why the waiters of a lost leadership get no answer.
var errDeposed = errors.New("the leadership moved")

// Apply takes what metadata says of the partition; what is older than what is
// known is ignored. Slices are copied, or kept while the log is being cut to
// follow its leader: metadata is applied after that.
func (r *Replica) Apply(l partition.Leadership) {
	r.mu.Lock()
	if r.repairing {
		if r.later == nil || !l.OlderThan(r.later) {
			r.later = &l
		}
		r.mu.Unlock()
		return
	}
	if l.LeaderEpoch > r.st.LeaderEpoch() {
		r.seal() // a batch belongs to the epoch that its records were accepted in
	}
	led, before := r.st.Role() == partition.RoleLeader, r.st.HighWatermark()
	changed := r.st.Apply(l)
	var woken wake
	if led && r.st.Role() != partition.RoleLeader {
		woken = r.failWaiters(errDeposed)
		r.keys.drop()
	}
	moved := r.st.HighWatermark() != before
	woken = append(woken, r.advanced(moved)...)
	r.mu.Unlock()
	woken.open()
	if changed || moved {
		r.changed()
	}
}

// BecomeLeader makes this node the leader in the given epoch.
func (r *Replica) BecomeLeader(epoch, partitionEpoch int32, replicas, isr []int32) {
	r.Apply(partition.Leadership{
		Leader: r.opts.Node, LeaderEpoch: epoch, PartitionEpoch: partitionEpoch, Replicas: replicas, ISR: isr,
	})
}

// BecomeFollower makes another node, 0 for none yet, the leader in the given
// epoch.
func (r *Replica) BecomeFollower(epoch, leader int32) {
	r.Apply(partition.Leadership{Leader: leader, LeaderEpoch: epoch})
}

// Role is what this node is to the partition.
func (r *Replica) Role() partition.Role {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.st.Role()
}

// ISR is the committed in-sync replicas as metadata last told; read-only.
func (r *Replica) ISR() []int32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.st.ISR()
}

// ID names the partition.
func (r *Replica) ID() plog.ID { return r.opts.ID }

// Electable tells the epoch that this node leads in and the other nodes that
// may be elected meanwhile; a NotLeaderError if it does not lead.
func (r *Replica) Electable() (epoch int32, nodes []int32, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	epoch = r.st.LeaderEpoch()
	return epoch, r.st.Electable(), r.st.Leading(epoch)
}

// Tick proposes the change of the ISR that is due; call it about once a
// second on partitions with more than one replica.
func (r *Replica) Tick() {
	now := r.nowMs()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.propose(now)
}

func (r *Replica) propose(now int64) {
	if p := r.st.Propose(now); p != nil {
		r.opts.OnProposal(p)
	}
}

// ProposalFailed tells that the controller refused p for good.
func (r *Replica) ProposalFailed(p *partition.Proposal) {
	r.decide(func() bool { return r.st.ProposalFailed(p) })
}

// Exclude takes nodes that can't join out of a proposal that was not sent yet;
// what is left to ask for, nil if nothing is: see partition.State.Exclude.
func (r *Replica) Exclude(p *partition.Proposal, absent []int32) (left *partition.Proposal) {
	r.decide(func() (advanced bool) {
		left, advanced = r.st.Exclude(p, absent)
		return advanced
	})
	return left
}

// decide runs what ends or changes a proposal, which may move the watermark.
func (r *Replica) decide(change func() (advanced bool)) {
	r.mu.Lock()
	advanced := change()
	woken := r.advanced(advanced)
	r.mu.Unlock()
	woken.open()
	if advanced {
		r.changed()
	}
}
