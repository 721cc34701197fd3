package coordinator

import (
	"context"
	"errors"
	"fmt"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/group"
	"github.com/chroniklog/chronik/storage/record"
)

// ConsumerHeartbeat takes a member of the consumer protocol (KIP-848) in, one
// step further, or out. The reply comes when what it tells is stored.
func (c *Coordinator) ConsumerHeartbeat(
	ctx context.Context, id string, e group.ConsumerHeartbeat,
) (group.Reply, error) {
	r, err := c.ask(ctx, id, e.Epoch == 0, func(t group.Token) group.Event { e.Token = t; return e })
	if errors.Is(err, group.ErrUnknownGroup) {
		err = fmt.Errorf("%w: %q", group.ErrUnknownGroup, id)
	}
	return r, err
}

// suit makes an empty group one of the protocol that a new member speaks.
// Called with mu held.
func (s *shard) suit(e *entry, ev group.Event) error {
	_, consumer := e.g.(*group.ConsumerGroup)
	if e.g.State() != group.Empty {
		return nil
	}
	id := e.g.ID()
	switch x := ev.(type) {
	case group.ConsumerHeartbeat:
		if x.Epoch == 0 && !consumer {
			return s.become(e, group.NewConsumerGroup(id, s.c.o.Group, catalog{s.c.o.Topics}))
		}
	case group.Join:
		if x.MemberID == "" && consumer {
			return s.become(e, group.New(id, s.c.o.Group))
		}
	case group.Attend:
		if consumer {
			return s.become(e, group.New(id, s.c.o.Group))
		}
	}
	return nil
}

// become replaces an empty group and deletes the records of what it was: those
// of its next life come after. Called with mu held.
func (s *shard) become(e *entry, next machine) error {
	keys := e.g.Keys()
	if e.g.Generation() == 0 {
		e.g = next
		return nil // it was never stored
	}
	pending, err := s.write(func(b *record.Builder, now int64) {
		for _, key := range keys {
			b.Append(now, key, nil, nil)
		}
	})
	if err != nil {
		return moved(err)
	}
	e.g = next
	e.writes++
	s.c.wg.Go(func() {
		_, err := s.await(pending)
		s.mu.Lock()
		defer s.mu.Unlock()
		e.wrote()
		if err != nil {
			s.drop() // which of its lives the log has is not known
		}
	})
	return nil
}

// catalog shows the cluster's topics to groups.
type catalog struct{ topics Topics }

// Version implements group.Catalog.
func (c catalog) Version() uint64 { return c.topics.TopicsVersion() }

// Topic implements group.Catalog.
func (c catalog) Topic(name string) (group.CatalogTopic, bool) {
	t, err := c.topics.Topic(name)
	return show(&t), err == nil
}

// TopicByID implements group.Catalog.
func (c catalog) TopicByID(id [16]byte) (group.CatalogTopic, bool) {
	t, err := c.topics.TopicByID(id)
	return show(&t), err == nil
}

// catalogPage is how many topics are looked at at once.
const catalogPage = 1000

// Each implements group.Catalog.
func (c catalog) Each(visit func(group.CatalogTopic)) {
	after := ""
	for {
		list, more := c.topics.Topics("", after, catalogPage)
		for i := range list {
			visit(show(&list[i]))
			after = list[i].Name
		}
		if !more {
			return
		}
	}
}

func show(t *server.Topic) group.CatalogTopic {
	return group.CatalogTopic{ID: t.ID, Name: t.Name, Partitions: t.Partitions}
}
