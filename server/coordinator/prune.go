package coordinator

import (
	"errors"
	"maps"
	"slices"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/group"
)

// pruneEvery is how often offsets are looked through at most for those of
// topics that are gone, in milliseconds: topics may come by the thousand.
const pruneEvery = 1000

// pruning is a shard's search for offsets of deleted topics.
type pruning struct {
	due  bool   // an offset of a deleted topic came after the last search began
	seen uint64 // version of the topics that the last search has seen to its end
	runs bool
	at   int64 // when the last one began, Unix milliseconds
}

// identified are offsets with the ids of their topics. A topic that this node
// does not know has none: the node that asks may be ahead of it.
func (s *shard) identified(offsets map[group.TopicPartition]group.Commit) map[group.TopicPartition]group.Commit {
	named := make(map[group.TopicPartition]group.Commit, len(offsets))
	for tp, o := range offsets {
		o.TopicID = [16]byte{}
		if t, err := s.c.o.Topics.Topic(tp.Topic); err == nil {
			o.TopicID = t.ID
		}
		named[tp] = o
	}
	return named
}

// orphaned tells whether an offset's topic was deleted. This node knows every
// topic that a coordinator of this log has known: its leadership came after.
func (s *shard) orphaned(k *group.Kept) bool {
	if k.TopicID == ([16]byte{}) {
		return false
	}
	_, err := s.c.o.Topics.TopicByID(k.TopicID)
	return errors.Is(err, server.ErrUnknownTopic)
}

// startPruning has the offsets of deleted topics searched for when topics have
// changed. Called with mu held.
func (s *shard) startPruning(now int64) {
	p, version := &s.prune, s.c.o.Topics.TopicsVersion()
	if p.runs || !p.due && p.seen == version || now-p.at < pruneEvery {
		return
	}
	p.runs, p.due, p.at = true, false, now
	s.c.wg.Go(func() {
		err := s.pruneAll()
		s.mu.Lock()
		defer s.mu.Unlock()
		p.runs = false
		if p.seen = version; err != nil {
			p.due = true
			s.c.o.Logger.Info("offsets of deleted topics were not forgotten yet", "partition", s.p, "error", err)
		}
	})
}

// pruneAll writes tombstones for the offsets of deleted topics, whether their
// groups have members or not, as Kafka does.
func (s *shard) pruneAll() error {
	s.mu.Lock()
	ids := slices.Sorted(maps.Keys(s.groups))
	s.mu.Unlock()
	for _, id := range ids {
		err := s.forget(id, func(e *entry) (drop []group.TopicPartition, all bool, err error) {
			for tp, k := range e.offsets {
				if s.orphaned(&k) {
					drop = append(drop, tp)
				}
			}
			return drop, false, nil
		})
		if err != nil && !errors.Is(err, group.ErrUnknownGroup) {
			return err
		}
	}
	return nil
}
