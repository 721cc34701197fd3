package coordinator

import (
	"time"

	"github.com/chroniklog/chronik/server/group"
)

// expireEvery is how often offsets are looked through for old ones.
const expireEvery = 10 * time.Minute

// Expire forgets the offsets that no member has committed for
// Options.OffsetRetention, of groups that have had no members for so long, and
// groups that then hold nothing (KIP-211). It works on the shards that are
// open, waits for the writes, and is called by the coordinator itself from
// time to time.
func (c *Coordinator) Expire() {
	c.mu.Lock()
	list := make([]*shard, 0, len(c.shards))
	for _, s := range c.shards {
		list = append(list, s)
	}
	c.mu.Unlock()
	for _, s := range list {
		select {
		case <-s.loaded:
			s.expire(c.now() - c.o.OffsetRetention.Milliseconds())
		default:
		}
	}
}

// expire forgets what is older than before (Unix milliseconds).
func (s *shard) expire(before int64) {
	s.mu.Lock()
	var ids []string
	for id, e := range s.groups {
		if drop, all := e.expired(before); len(drop) > 0 || all {
			ids = append(ids, id)
		}
	}
	s.mu.Unlock()
	for _, id := range ids {
		err := s.forget(id, func(e *entry) ([]group.TopicPartition, bool, error) {
			drop, all := e.expired(before)
			return drop, all, nil
		})
		if err != nil { // it is tried again
			s.c.o.Logger.Info("offsets were not expired", "group", id, "error", err)
			return
		}
	}
}

// expired are the group's old offsets; all says that nothing else is left of
// it.
func (e *entry) expired(before int64) (drop []group.TopicPartition, all bool) {
	if e.g.State() != group.Empty || e.g.EmptySince() >= before || e.writes > 0 || !e.g.Idle() {
		return nil, false
	}
	for tp, k := range e.offsets {
		if k.At < before {
			drop = append(drop, tp)
		}
	}
	return drop, len(drop) == len(e.offsets)
}
