package replica

import "github.com/chroniklog/chronik/server/partition"

// LeaderEpochEnd answers a consumer that asks where a leader epoch ended
// (KIP-320, OffsetForLeaderEpoch): the largest epoch here that is not above
// the one asked for, and the offset after its last record. The current epoch
// ends at the log's end. Epoch -1: the epoch asked for is above the current
// one. The error is partition.ErrNotLeader where another node leads.
func (r *Replica) LeaderEpochEnd(epoch int32) (partition.EpochEnd, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	current := r.st.LeaderEpoch()
	if err := r.st.Leading(current); err != nil {
		return partition.EpochEnd{}, err
	}
	last := r.log.LastEpoch()
	switch {
	case epoch > current || epoch < 0:
		return partition.EpochEnd{Epoch: -1, End: -1}, nil
	case epoch == current:
		return partition.EpochEnd{Epoch: epoch, End: r.log.EndOffset()}, nil
	case last < 0: // no record tells: it ended where the log begins
		return partition.EpochEnd{Epoch: epoch, End: r.log.StartOffset()}, nil
	}
	return r.epochEnd(epoch), nil
}

// EpochAt is the leader epoch that the record at an offset was appended in, -1
// if there is no such record yet. The error is partition.ErrNotLeader where
// another node leads.
func (r *Replica) EpochAt(offset int64) (int32, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.st.Leading(r.st.LeaderEpoch()); err != nil {
		return -1, err
	}
	return r.log.EpochAt(offset), nil
}

// ActiveProducers are the idempotent producers that the partition remembers.
// The error is partition.ErrNotLeader where another node leads.
func (r *Replica) ActiveProducers() ([]partition.ActiveProducer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.st.Leading(r.st.LeaderEpoch()); err != nil {
		return nil, err
	}
	return r.st.ActiveProducers(r.nowMs()), nil
}
