package meta

import "math"

// RestoreTopic makes a topic as another cluster had it: with its id, and with
// partitions that nobody leads. The first live replica of each is its only
// in-sync one and is to be given the records; until ElectLeaders, unclean,
// makes it the leader, nobody is elected. Partition p begins in leader epoch
// Epochs[p], which is to be above that of every batch that it will be given.
type RestoreTopic struct {
	Topic     CreateTopic
	Epochs    []int32 // one per partition
	CreatedMs int64
	Born      int32
}

func (*RestoreTopic) kind() kind { return kindRestoreTopic }

func (c *RestoreTopic) encode(e *encoder) {
	c.Topic.encode(e)
	e.u64(uint64(len(c.Epochs)))
	for _, v := range c.Epochs {
		e.i32(v)
	}
	e.i64(c.CreatedMs)
	e.i32(c.Born)
}

func (c *RestoreTopic) decode(d *decoder) {
	c.Topic.decode(d)
	for range d.count() {
		c.Epochs = append(c.Epochs, d.i32())
	}
	c.CreatedMs, c.Born = d.i64(), d.i32()
}

// maxRestoredEpoch leaves room for elections.
const maxRestoredEpoch = math.MaxInt32 / 2

func (c *RestoreTopic) apply(s *step) Result {
	if len(c.Epochs) != len(c.Topic.Assignments) {
		return refuse(ErrInvalidCommand, "%d epochs for %d partitions", len(c.Epochs), len(c.Topic.Assignments))
	}
	for p, v := range c.Epochs {
		if v < 0 || v > maxRestoredEpoch {
			return refuse(ErrInvalidCommand, "epoch %d of partition %d", v, p)
		}
	}
	if r := c.Topic.apply(s); r.Code != 0 {
		return r
	}
	t := s.topics[c.Topic.ID]
	t.CreatedMs = c.CreatedMs
	if c.Born > 0 && c.Born <= int32(len(t.Partitions)) {
		t.Born = c.Born
	}
	s.saveTopic(t)
	for i, epoch := range c.Epochs {
		p := &t.Partitions[i]
		p.ISR, p.Leader, p.LeaderEpoch, p.Lost = p.ISR[:1:1], 0, epoch, true
		s.savePart(t, int32(i))
	}
	return Result{}
}

// RestoreProducers takes producers over from another cluster: no producer id
// below Next is given out from now on, and names have the ids and expiry that
// they had. A name that is known already keeps its id.
type RestoreProducers struct {
	Next  int64
	Names []Producer
}

func (*RestoreProducers) kind() kind { return kindRestoreProducers }

func (c *RestoreProducers) encode(e *encoder) {
	e.i64(c.Next)
	e.u64(uint64(len(c.Names)))
	for _, p := range c.Names {
		e.str(p.Name)
		e.i64(p.ID)
		e.i64(p.ExpiresMs)
	}
}

func (c *RestoreProducers) decode(d *decoder) {
	c.Next = d.i64()
	for range d.count() {
		c.Names = append(c.Names, Producer{Name: d.str(), ID: d.i64(), ExpiresMs: d.i64()})
	}
}

// maxProducerID is far above what any cluster hands out.
const maxProducerID = math.MaxInt64 / 2

func (c *RestoreProducers) apply(s *step) Result {
	if c.Next < 0 || c.Next > maxProducerID {
		return refuse(ErrInvalidCommand, "next producer id %d", c.Next)
	}
	for _, p := range c.Names {
		if p.Name == "" || len(p.Name) > MaxProducerName || p.ID < 0 || p.ID >= c.Next {
			return refuse(ErrInvalidCommand, "producer %q with id %d, below %d", p.Name, p.ID, c.Next)
		}
	}
	s.nextProducer = max(s.nextProducer, c.Next)
	s.put([]byte{keyCounter}, encodeCounter(s.nextProducer))
	for _, p := range c.Names {
		if _, ok := s.producers[p.Name]; ok || p.ExpiresMs <= s.now {
			continue
		}
		s.producers[p.Name] = p
		s.expiry.push(p)
		s.put(producerKey(p.Name), encodeProducer(p))
	}
	s.emit(ProducersRestored{Next: c.Next})
	return Result{}
}
