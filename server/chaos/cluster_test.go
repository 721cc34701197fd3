package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestVictims kills a node of each kind, again and again, under load.
// CHAOS_ROUNDS says how often; "make chaos-reference" does it 20 times.
func TestVictims(t *testing.T) {
	s, rounds := os.Getenv("CHAOS_ROUNDS"), 0
	if s == "" {
		t.Skip("part of make chaos-reference; TestNemeses has two")
	}
	if _, err := fmt.Sscan(s, &rounds); err != nil {
		t.Fatalf("CHAOS_ROUNDS: %v", err)
	}
	for _, n := range []Nemesis{Kill(LeaderOf), Kill(FollowerOf), Kill(Controls)} {
		t.Run(strings.ReplaceAll(n.Name, " ", "-"), func(t *testing.T) {
			suffer(t, seedFromEnv(t), "", func(_ *Scene, round int) (Nemesis, bool) { return n, round < rounds })
		})
	}
}

// TestNemeses lets nemeses strike, in random order, until CHAOS_TIME is over:
// "make chaos" takes five minutes. Every minute a fresh cluster takes over.
// CHAOS_ONLY, parts of names with commas between them, chooses among them.
// Without CHAOS_TIME a leader and a controller are killed, once.
func TestNemeses(t *testing.T) {
	s := os.Getenv("CHAOS_TIME")
	if s == "" {
		each := []Nemesis{Kill(LeaderOf), Kill(Controls)}
		suffer(t, seedFromEnv(t), "", func(_ *Scene, round int) (n Nemesis, more bool) {
			return each[round%len(each)], round < len(each)
		})
		return
	}
	duration, err := time.ParseDuration(s)
	if err != nil {
		t.Fatalf("CHAOS_TIME: %v", err)
	}
	seed, end := seedFromEnv(t), time.Now().Add(duration)
	all := available(t)
	d := deck{all: chosen(all, os.Getenv("CHAOS_ONLY"))}
	for i := uint64(0); time.Now().Before(end); i++ {
		fresh := time.Now().Add(time.Minute)
		t.Run(fmt.Sprintf("cluster-%d", i+1), func(t *testing.T) {
			disk := ""
			if slices.ContainsFunc(d.all, func(n Nemesis) bool { return n.Name == FullDisk().Name }) {
				disk = mount(t, "tmpfs")
			}
			suffer(t, seed+i, disk, func(s *Scene, _ int) (n Nemesis, more bool) {
				if now := time.Now(); now.After(end) || now.After(fresh) {
					return n, false
				}
				return d.next(s), true
			})
		})
		if t.Failed() {
			return
		}
	}
}

// available are the nemeses that can strike here.
func available(t *testing.T) []Nemesis {
	t.Helper()
	all := Nemeses()
	if err := CanTrace(); err != nil {
		t.Logf("no failing syncs: %v", err)
	} else {
		all = append(all, FailingSyncs())
	}
	if os.Getuid() != 0 {
		t.Log("no full disk: mounting one needs root")
	} else {
		all = append(all, FullDisk())
	}
	return all
}

// chosen are the nemeses whose names contain one of the parts.
func chosen(among []Nemesis, parts string) (all []Nemesis) {
	for _, n := range among {
		for part := range strings.SplitSeq(parts, ",") {
			if strings.Contains(n.Name, part) {
				all = append(all, n)
				break
			}
		}
	}
	return all
}

// deck gives every nemesis once, in random order, before it begins anew.
type deck struct{ all, left []Nemesis }

func (d *deck) next(s *Scene) (n Nemesis) {
	if len(d.left) == 0 {
		d.left = append(d.left, d.all...)
		s.Random.Shuffle(len(d.left), func(i, j int) { d.left[i], d.left[j] = d.left[j], d.left[i] })
	}
	n, d.left = d.left[0], d.left[1:]
	return n
}

// suffer runs a cluster under load, lets the nemeses that next chooses strike,
// and checks what the clients were told against what the logs hold. disk, if
// it is not "", is a small file system for one of the nodes.
func suffer(t *testing.T, seed uint64, disk string, next func(s *Scene, round int) (Nemesis, bool)) {
	c := startClusterOn(t, 3, disk, "--journal-bytes", "16MiB", "--max-unwritten-bytes", "32MiB")
	for _, topic := range crowdTopics() {
		createTopic(t, c.Members[0].URL, fmt.Sprintf(
			`{"name":%q,"partitions":3,"replication_factor":3,"configs":{"segment.bytes":"1048576"}}`, topic))
	}
	t.Logf("CHRONIK_CHAOS_SEED=%d", seed)
	s := &Scene{Cluster: c, Random: rand.New(rand.NewPCG(seed, 0)), Topic: "t", Topics: crowdTopics()}
	crowd := NewCrowd(c, seed)
	began := time.Now()
	crowd.Start(t.Context(), seed)
	defer crowd.Stop()
	joined, err := crowd.Resumed(t.Context(), began) // a group that is formed, not one that forms, is to go on
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the group took %d ms to form", joined.Milliseconds())

	for round := 0; ; round++ {
		n, more := next(s, round)
		if !more {
			break
		}
		if err := s.wait(t.Context(), 200*time.Millisecond, time.Second); err != nil {
			t.Fatal(err)
		}
		strike(t, s, crowd, n, round)
	}
	crowd.Quiet()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	report, faults := crowd.Check(ctx, c, artifacts(t))
	t.Log(report)
	if len(faults) > 0 {
		t.Errorf("promises broken:\n%s\n%s", strings.Join(faults, "\n"), c.Logs())
	}
	expectEqualLogs(ctx, t, c)
}

// strike lets one nemesis strike and waits until everything flows again.
func strike(t *testing.T, s *Scene, crowd *Crowd, n Nemesis, round int) {
	t.Helper()
	history := crowd.Load.History
	history.Gap()
	_, before := history.Counts()
	recovered, err := s.Run(t.Context(), n, patience)
	if err != nil {
		t.Fatalf("round %d: %v\n%s", round, err, s.Logs())
	}
	whole := time.Now()
	_, after := history.Counts()
	gap := history.Gap()
	resumed, err := crowd.Resumed(t.Context(), whole)
	if err != nil {
		t.Fatalf("round %d: %s: %v\n%s", round, n.Name, err, s.Logs())
	}
	t.Logf("%-28s %6d acknowledged meanwhile, longest silence %5d ms, in sync %4d ms after it ended, group %4d ms later",
		n.Name, after-before, gap.Milliseconds(), recovered.Milliseconds(), resumed.Milliseconds())
}

// artifacts is where a test leaves what is to be looked at when it has failed.
func artifacts(t *testing.T) string {
	t.Helper()
	if keep := os.Getenv("CHAOS_KEEP"); keep != "" {
		return clusterDir(t)
	}
	return t.ArtifactDir()
}
