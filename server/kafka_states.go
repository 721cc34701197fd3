package server

// PartitionStates describes the partitions of a topic as the metadata says,
// without offsets: unlike Partitions it opens nothing, so that a listing of
// every topic stays cheap. The Replicas and ISR are shared and read-only.
func (b *Broker) PartitionStates(topic string) ([]PartitionInfo, error) {
	e, err := b.dir.topic(topic)
	if err != nil {
		return nil, err
	}
	list := make([]PartitionInfo, len(e.parts))
	for i, p := range e.parts {
		list[i] = p.info()
	}
	return list, nil
}

// PartitionState is PartitionStates for one partition.
func (b *Broker) PartitionState(topic string, p int32) (PartitionInfo, error) {
	_, part, err := b.dir.part(topic, p)
	if err != nil {
		return PartitionInfo{}, err
	}
	return part.info(), nil
}

func (p *part) info() PartitionInfo {
	s := p.state.Load()
	return PartitionInfo{
		Partition: p.number, Leader: s.Leader, LeaderEpoch: s.LeaderEpoch, PartitionEpoch: s.PartitionEpoch,
		Replicas: s.Replicas, ISR: s.ISR, Target: s.Target,
	}
}
