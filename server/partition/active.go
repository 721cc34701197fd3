package partition

import (
	"cmp"
	"slices"
)

// ActiveProducer is an idempotent producer that the partition remembers.
type ActiveProducer struct {
	ID    int64
	Epoch int16
	// LastSequence is of the last record, LastTimestamp the largest of the last
	// batch, in Unix milliseconds.
	LastSequence  int32
	LastTimestamp int64
}

// ActiveProducers are the producers that have not expired at now (Unix
// milliseconds), by id.
func (s *State) ActiveProducers(now int64) []ActiveProducer {
	list := make([]ActiveProducer, 0, len(s.producers.byID))
	for id := range s.producers.byID {
		p := s.producers.get(now, id)
		if p == nil {
			continue
		}
		b := p.newest()
		list = append(list, ActiveProducer{
			ID: id, Epoch: p.epoch, LastSequence: nextSequence(b.seq, b.count-1), LastTimestamp: b.timestamp,
		})
	}
	slices.SortFunc(list, func(a, b ActiveProducer) int { return cmp.Compare(a.ID, b.ID) })
	return list
}
