package meta

import (
	"maps"
	"slices"
)

// CreateTopic makes a topic with one assignment per partition (see Assign).
// Replicas that are live are in sync from the start; the first of them leads.
type CreateTopic struct {
	ID          ID
	Name        string
	Configs     map[string]string
	Assignments [][]NodeID
	RFExplicit  bool
	Internal    bool
}

func (*CreateTopic) kind() kind { return kindCreateTopic }

func (c *CreateTopic) encode(e *encoder) {
	e.id(c.ID)
	e.str(c.Name)
	e.strMap(c.Configs)
	e.assignment(c.Assignments)
	e.bool(c.RFExplicit)
	e.bool(c.Internal)
}

func (c *CreateTopic) decode(d *decoder) {
	c.ID, c.Name, c.Configs, c.Assignments = d.id(), d.str(), d.strMap(), d.assignment()
	c.RFExplicit, c.Internal = d.bool(), d.bool()
}

func (c *CreateTopic) apply(s *step) Result {
	if len(c.Name) == 0 || len(c.Name) > MaxTopicName || c.ID == (ID{}) {
		return refuse(ErrInvalidCommand, "a topic needs an id and a name of 1 to %d bytes", MaxTopicName)
	}
	if _, ok := s.names[c.Name]; ok {
		return refuse(ErrTopicExists, "%q", c.Name)
	}
	if _, ok := s.topics[c.ID]; ok {
		return refuse(ErrTopicExists, "id %x", c.ID)
	}
	parts, r := s.place(c.Assignments)
	if r.Code != 0 {
		return r
	}
	t := &Topic{
		ID: c.ID, Name: c.Name, Configs: maps.Clone(c.Configs), Partitions: parts,
		RFExplicit: c.RFExplicit, Internal: c.Internal, CreatedMs: s.now,
		Born: int32(len(parts)),
	}
	s.addTopic(t)
	s.saveTopic(t)
	for p := range parts {
		s.savePart(t, int32(p))
	}
	s.emit(TopicCreated{ID: t.ID, Name: t.Name, Partitions: int32(len(parts))})
	return Result{}
}

// maxPlaced bounds the replicas that one command places: its changes must fit
// into one transaction of the store.
const maxPlaced = 10 * MaxPartitions

// place makes new partitions of assignments.
func (s *step) place(assignments [][]NodeID) ([]Partition, Result) {
	if len(assignments) == 0 || len(assignments) > MaxPartitions {
		return nil, refuse(ErrInvalidCommand, "%d partitions; 1 to %d are possible", len(assignments), MaxPartitions)
	}
	total := 0
	for _, replicas := range assignments {
		total += len(replicas)
	}
	if total > maxPlaced {
		return nil, refuse(ErrInvalidCommand, "%d replicas in one command; create the partitions in steps", total)
	}
	parts := make([]Partition, len(assignments))
	for i, replicas := range assignments {
		if r := s.checkReplicas(replicas); r.Code != 0 {
			return nil, r
		}
		p := Partition{Replicas: replicas, Incarnation: 1}
		for _, id := range replicas {
			if s.live(id) {
				p.ISR = append(p.ISR, id)
			}
		}
		if len(p.ISR) == 0 {
			return nil, refuse(ErrNotEnoughBrokers, "none of %v is live", replicas)
		}
		p.Leader = s.electable(&p)
		parts[i] = p
	}
	return parts, Result{}
}

// checkReplicas refuses an assignment that is empty, repeats a broker or names
// one that is not registered.
func (s *step) checkReplicas(replicas []NodeID) Result {
	if len(replicas) == 0 || len(replicas) > MaxReplicas {
		return refuse(ErrInvalidCommand, "%d replicas; 1 to %d are possible", len(replicas), MaxReplicas)
	}
	for i, id := range replicas {
		if s.brokers[id] == nil {
			return refuse(ErrNotEnoughBrokers, "broker %d is not registered", id)
		}
		if slices.Contains(replicas[:i], id) {
			return refuse(ErrInvalidCommand, "broker %d twice in %v", id, replicas)
		}
	}
	return Result{}
}

// DeleteTopic removes a topic.
type DeleteTopic struct{ ID ID }

func (*DeleteTopic) kind() kind          { return kindDeleteTopic }
func (c *DeleteTopic) encode(e *encoder) { e.id(c.ID) }
func (c *DeleteTopic) decode(d *decoder) { c.ID = d.id() }

func (c *DeleteTopic) apply(s *step) Result {
	t := s.topics[c.ID]
	if t == nil {
		return refuse(ErrUnknownTopic, "id %x", c.ID)
	}
	s.dropTopic(t)
	s.del(topicKey(t.ID))
	for p := range t.Partitions {
		s.del(partitionKey(t.ID, int32(p)))
	}
	s.emit(TopicDeleted{ID: t.ID, Name: t.Name, Partitions: int32(len(t.Partitions))})
	return Result{}
}

// CreatePartitions adds partitions to a topic that has From of them.
type CreatePartitions struct {
	ID          ID
	From        int32
	Assignments [][]NodeID
}

func (*CreatePartitions) kind() kind { return kindCreatePartitions }

func (c *CreatePartitions) encode(e *encoder) { e.id(c.ID); e.i32(c.From); e.assignment(c.Assignments) }

func (c *CreatePartitions) decode(d *decoder) {
	c.ID, c.From, c.Assignments = d.id(), d.i32(), d.assignment()
}

func (c *CreatePartitions) apply(s *step) Result {
	t := s.topics[c.ID]
	switch {
	case t == nil:
		return refuse(ErrUnknownTopic, "id %x", c.ID)
	case int(c.From) != len(t.Partitions):
		return refuse(ErrConflict, "%q has %d partitions, not %d", t.Name, len(t.Partitions), c.From)
	case len(t.Partitions)+len(c.Assignments) > MaxPartitions:
		return refuse(ErrInvalidCommand, "%q would have more than %d partitions", t.Name, MaxPartitions)
	}
	parts, r := s.place(c.Assignments)
	if r.Code != 0 {
		return r
	}
	t.Partitions = append(t.Partitions, parts...)
	s.partitions += len(parts)
	s.saveTopic(t)
	for i := range parts {
		s.savePart(t, c.From+int32(i))
	}
	s.emit(PartitionsAdded{ID: t.ID, Topic: t.Name, From: c.From, To: int32(len(t.Partitions))})
	return Result{}
}

// AlterConfig sets and removes configs of a topic, or of the cluster when ID
// is zero. Names and values are the proposer's to check.
type AlterConfig struct {
	ID     ID
	Set    map[string]string
	Remove []string
}

func (*AlterConfig) kind() kind          { return kindAlterConfig }
func (c *AlterConfig) encode(e *encoder) { e.id(c.ID); e.strMap(c.Set); e.strs(c.Remove) }
func (c *AlterConfig) decode(d *decoder) { c.ID, c.Set, c.Remove = d.id(), d.strMap(), d.strs() }

func (c *AlterConfig) apply(s *step) Result {
	if c.ID == (ID{}) {
		s.configs = c.merge(s.configs)
		s.put([]byte{keyConfigs}, encodeConfigs(s.configs))
		if len(s.configs) == 0 {
			s.changes[len(s.changes)-1].Value = nil
		}
		s.emit(ConfigChanged{})
		return Result{}
	}
	t := s.topics[c.ID]
	if t == nil {
		return refuse(ErrUnknownTopic, "id %x", c.ID)
	}
	t.Configs = c.merge(t.Configs)
	s.saveTopic(t)
	s.emit(ConfigChanged{TopicID: t.ID, Topic: t.Name})
	return Result{}
}

// merge makes a new map, so that a reader of the old one is not disturbed.
func (c *AlterConfig) merge(old map[string]string) map[string]string {
	next := maps.Clone(old)
	if next == nil {
		next = map[string]string{}
	}
	for _, k := range c.Remove {
		delete(next, k)
	}
	maps.Copy(next, c.Set)
	return next
}
