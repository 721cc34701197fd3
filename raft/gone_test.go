package raft

import (
	"testing"
	"testing/cryptotest"
)

// Followers that know that the leader is gone elect another one within ticks,
// not after an election's timeout.
func TestGoneLeaderIsReplaced(t *testing.T) {
	for seed := range uint64(20) {
		cryptotest.SetGlobalRandom(t, seed)
		s := newSimulation(t, seed, 1, 2, 3)
		s.register()
		old := s.leader()
		old.down = true
		for _, id := range s.ids() {
			if c := s.cores[id]; !c.down {
				c.Gone(old.cfg.ID)
			}
		}
		for range graceTicks {
			if s.leader() != nil {
				t.Fatalf("seed %d: elected before all could know", seed)
			}
			s.step()
		}
		if s.leader() == nil {
			t.Fatalf("seed %d: no leader after %d ticks", seed, graceTicks)
		}
		s.settle()
	}
}

// The first in order does not notice, or has too little of the log: the next
// one takes its place.
func TestGoneLeaderIsNoticedByOne(t *testing.T) {
	for seed := range uint64(20) {
		cryptotest.SetGlobalRandom(t, seed)
		s := newSimulation(t, seed, 1, 2, 3)
		s.register()
		old := s.leader()
		old.down = true
		ids := s.ids()
		last := s.cores[ids[len(ids)-1]]
		if last == old {
			last = s.cores[ids[len(ids)-2]]
		}
		last.Gone(old.cfg.ID)
		for i := 0; s.leader() == nil; i++ {
			if i > 3*electionTicks {
				t.Fatalf("seed %d: no leader", seed)
			}
			s.step()
		}
		s.settle()
	}
}

// A leader that lives is not deposed by a follower that takes it for gone.
func TestGoneIsNoProof(t *testing.T) {
	for seed := range uint64(20) {
		cryptotest.SetGlobalRandom(t, seed)
		s := newSimulation(t, seed, 1, 2, 3)
		s.register()
		leader := s.leader()
		term := leader.State().Term
		for i := range 60 {
			for _, id := range s.ids() {
				if c := s.cores[id]; i%5 == 0 && c != leader {
					c.Gone(leader.cfg.ID)
					break // the same one each time
				}
			}
			s.step()
		}
		if s.leader() != leader || leader.State().Term != term {
			t.Fatalf("seed %d: the leader was deposed", seed)
		}
		s.settle()
	}
}
