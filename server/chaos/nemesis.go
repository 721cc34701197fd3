package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// patience is how long a cluster may take from a strike's begin until all its
// replicas are in sync again.
const patience = 60 * time.Second

// Nemesis is a way to make a cluster suffer.
type Nemesis struct {
	Name string
	// Strike does the harm and ends it: when it returns, every process runs
	// again and the network is whole.
	Strike func(ctx context.Context, s *Scene) error
}

// Nemeses are all that need nothing but Go; FullDisk and FailingSyncs need
// more.
func Nemeses() []Nemesis {
	return []Nemesis{
		Kill(LeaderOf), Kill(FollowerOf), Kill(Controls), KillTwo(), KillAll(),
		Pause(LeaderOf), Pause(Controls), KillAndPause(),
		Isolate(), OneWay(), Bridge(), Shatter(), Roll(), EmptyDisk(), CorruptBytes(),
	}
}

// Scene is what a nemesis acts on.
type Scene struct {
	*Cluster
	Random *rand.Rand
	Topic  string   // whose leaders are picked
	Topics []string // all that must be whole again
}

// Victim kinds of Kill.
const (
	AnyNode    = "any"
	LeaderOf   = "leader"
	FollowerOf = "follower"
	Controls   = "controller"
)

// pick finds a node of a kind: one that leads a random partition, one that
// follows it, or the controller.
func (s *Scene) pick(ctx context.Context, kind string) (*Member, error) {
	switch kind {
	case Controls:
		return s.Controller(ctx)
	case LeaderOf, FollowerOf:
		leader, err := s.Leader(ctx, s.Topic, s.partition(ctx))
		if err != nil || kind == LeaderOf {
			return leader, err
		}
		others := s.without(leader)
		return others[s.Random.IntN(len(others))], nil
	}
	return s.Members[s.Random.IntN(len(s.Members))], nil
}

func (s *Scene) partition(ctx context.Context) int32 {
	parts, err := s.Partitions(ctx, s.Members[0], s.Topic)
	if err != nil || len(parts) == 0 {
		return 0
	}
	return int32(s.Random.IntN(len(parts)))
}

func (s *Scene) without(m *Member) (others []*Member) {
	for _, o := range s.Members {
		if o != m {
			others = append(others, o)
		}
	}
	return others
}

// wait lets a random time pass.
func (s *Scene) wait(ctx context.Context, least, most time.Duration) error {
	t := time.NewTimer(least + time.Duration(s.Random.Int64N(int64(most-least)+1)))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Kill is SIGKILL of a node of a kind, and its return.
func Kill(kind string) Nemesis {
	return Nemesis{Name: "kill " + kind, Strike: func(ctx context.Context, s *Scene) error {
		m, err := s.pick(ctx, kind)
		if err != nil {
			return err
		}
		s.Cluster.Kill(m)
		if err := s.wait(ctx, 0, 3*time.Second); err != nil {
			return err
		}
		return s.StartNode(ctx, m)
	}}
}

// KillTwo kills the controller and a leader, or two others if one is both.
func KillTwo() Nemesis {
	return Nemesis{Name: "kill leader and controller", Strike: func(ctx context.Context, s *Scene) error {
		a, err := s.pick(ctx, Controls)
		if err != nil {
			return err
		}
		b, err := s.pick(ctx, LeaderOf)
		if err != nil {
			return err
		}
		if a == b {
			b = s.without(a)[0]
		}
		s.Cluster.Kill(a)
		s.Cluster.Kill(b)
		if err := s.wait(ctx, 0, 2*time.Second); err != nil {
			return err
		}
		return s.Start(ctx)
	}}
}

// KillAll is what a power failure is to processes.
func KillAll() Nemesis {
	return Nemesis{Name: "kill all", Strike: func(ctx context.Context, s *Scene) error {
		for _, m := range s.Members {
			s.Cluster.Kill(m)
		}
		return s.Start(ctx)
	}}
}

// Pause is SIGSTOP of a node of a kind through an election, and SIGCONT.
func Pause(kind string) Nemesis {
	return Nemesis{Name: "pause " + kind, Strike: func(ctx context.Context, s *Scene) error {
		m, err := s.pick(ctx, kind)
		if err != nil {
			return err
		}
		if err := s.Cluster.Pause(m); err != nil {
			return err
		}
		return errors.Join(s.wait(ctx, 100*time.Millisecond, 5*time.Second), s.Resume(m))
	}}
}

// KillAndPause kills one node while another is paused.
func KillAndPause() Nemesis {
	return Nemesis{Name: "kill and pause", Strike: func(ctx context.Context, s *Scene) error {
		killed := s.Members[s.Random.IntN(len(s.Members))]
		others := s.without(killed)
		paused := others[s.Random.IntN(len(others))]
		if err := s.Cluster.Pause(paused); err != nil {
			return err
		}
		waited := s.wait(ctx, 0, time.Second)
		s.Cluster.Kill(killed)
		waited = errors.Join(waited, s.wait(ctx, 0, 2*time.Second))
		if err := errors.Join(waited, s.Resume(paused)); err != nil {
			return err
		}
		return s.StartNode(ctx, killed)
	}}
}

// cutting cuts links of three nodes, in random roles, and heals them.
func cutting(name string, cut func(s *Scene, a, b, c int)) Nemesis {
	return Nemesis{Name: name, Strike: func(ctx context.Context, s *Scene) error {
		order := s.Random.Perm(len(s.Members))
		cut(s, order[0]+1, order[1]+1, order[2]+1)
		err := s.wait(ctx, 500*time.Millisecond, 5*time.Second)
		s.Net.Heal(s.Random.IntN(2) == 0)
		return err
	}}
}

// Isolate cuts one node off from the others.
func Isolate() Nemesis {
	return cutting("isolate", func(s *Scene, a, b, c int) {
		for _, other := range []int{b, c} {
			s.Net.Cut(a, other)
			s.Net.Cut(other, a)
		}
	})
}

// OneWay cuts what one node sends; it hears the others.
func OneWay() Nemesis {
	return cutting("one-way partition", func(s *Scene, a, b, c int) {
		s.Net.Cut(a, b)
		s.Net.Cut(a, c)
	})
}

// Bridge leaves one node that reaches both others, which don't reach each
// other.
func Bridge() Nemesis {
	return cutting("bridge", func(s *Scene, a, b, _ int) {
		s.Net.Cut(a, b)
		s.Net.Cut(b, a)
	})
}

// Shatter cuts every link.
func Shatter() Nemesis {
	return cutting("all links cut", func(s *Scene, a, b, c int) {
		for _, l := range []link{{a, b}, {b, a}, {a, c}, {c, a}, {b, c}, {c, b}} {
			s.Net.Cut(l.from, l.to)
		}
	})
}

// Roll restarts every node in good order, one after the other. The next is
// stopped when the last is in sync.
func Roll() Nemesis {
	return Nemesis{Name: "rolling restart", Strike: func(ctx context.Context, s *Scene) error {
		for _, m := range s.Members {
			if err := s.StopNode(ctx, m); err != nil {
				return err
			}
			if err := s.StartNode(ctx, m); err != nil {
				return err
			}
			if err := s.Healthy(ctx, s.Topics...); err != nil {
				return err
			}
		}
		return nil
	}}
}

// EmptyDisk kills a node and takes its data directory away.
func EmptyDisk() Nemesis {
	return Nemesis{Name: "empty disk", Strike: func(ctx context.Context, s *Scene) error {
		m, err := s.pick(ctx, AnyNode)
		if err != nil {
			return err
		}
		s.Cluster.Kill(m)
		if err := s.Wipe(m); err != nil {
			return err
		}
		return s.StartNode(ctx, m)
	}}
}

// Run lets a nemesis strike and returns how long after it ended every replica
// was in sync again. Both may take at most patience.
func (s *Scene) Run(ctx context.Context, n Nemesis, patience time.Duration) (recovered time.Duration, err error) {
	strike, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := n.Strike(strike, s); err != nil {
		return 0, fmt.Errorf("%s: %w", n.Name, err)
	}
	healed := time.Now()
	if err := s.Healthy(strike, s.Topics...); err != nil {
		return 0, fmt.Errorf("%s: not whole again: %w", n.Name, err)
	}
	if m := s.Died(); m != nil {
		return 0, fmt.Errorf("%s: node %d ended by itself, exit code %d:\n%s",
			n.Name, m.ID, m.proc.ExitCode(), m.proc.Log())
	}
	return time.Since(healed), nil
}
