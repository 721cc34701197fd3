package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// Sizes of the cluster's workloads.
const (
	idlePartitions = 1000
	settleIdle     = 5 * time.Second
)

// clusterServers are the processes of the cluster's rounds.
type clusterServers struct {
	one          *process
	three        *trio
	always, lazy *natsTrio
}

// clusterGoals are the rows of the cluster's table.
func clusterGoals() []goal {
	const mb, us = 1e-6, 1e-3
	return []goal{
		{"W1", "one node: 100 B per POST, 64 connections", "W1 chronik /s", "", 0, false, 0, "req/s", 0},
		{"W3", "the same on three nodes, synced on all, over W1", "W3 leader /s", "W1 chronik /s", 0.65, false, 0,
			"req/s", 0},
		{"W3", "… over NATS R3 sync always", "W3 leader /s", "W3 nats always /s", 2.5, false, 0, "req/s", 0},
		{"W3", "… over NATS R3 default (not synced)", "W3 leader /s", "W3 nats default /s", 0, false, 0, "req/s", 0},
		{"W3", "through a follower, over through the leader", "W3 follower /s", "W3 leader /s", 0.5, false, 0, "req/s", 0},
		{"W2", "three nodes: 100 × 1 KB batches, over disk 1 MiB append+fdatasync", "W2 three /s", "disk 1024K bytes/s",
			0, false, batchRecords * largeValue * mb, "MB/s", batchRecords * largeValue},
		{"W4", "three nodes: open loop 1k/s, p50 over fdatasync p50", "W4 three p50", "disk 4K p50", 4.5, true, us, "µs", 0},
		{"W4", "… p99, ms", "W4 three p99", "", 3, true, us, "µs", 1e-6},
		{"W4", "… p50 over NATS R3 sync always", "W4 three p50", "W4 nats always p50", 0, true, us, "µs", 0},
		{"W4", "… p50 over NATS R3 default (not synced)", "W4 three p50", "W4 nats default p50", 0, true, us, "µs", 0},
		{"W10", "leader killed, until a produce is acknowledged, s: median", "W10 seconds", "", 1, true, 0, "s", 0},
		{"W10", "… worst", "W10 worst seconds", "", 2.5, true, 0, "s", 0},
		{"W10", "… over NATS R3 sync always", "W10 seconds", "W10 nats always seconds", 0, true, 0, "s", 0},
		{"W10", "… over NATS R3 default", "W10 seconds", "W10 nats default seconds", 0, true, 0, "s", 0},
		{"idle", "three nodes with 1,000 partitions, % of a core", "idle share", "", 3, true, 100, "%", 100},
		{"lag", "a restarted follower's catch-up, over disk 1 MiB append+fdatasync", "lag bytes/s", "lag disk bytes/s",
			0.5, false, mb, "MB/s", 0},
	}
}

// runCluster measures three nodes.
func (b *bench) runCluster(ctx context.Context) error {
	b.goals = clusterGoals()
	b.say("three nodes, %d rounds of %v in %s", b.rounds, b.length, b.dir)
	began := time.Now()
	s, err := b.startClusters(ctx)
	if err != nil {
		return err
	}
	if err := b.inRounds(began, func() error { return b.clusterRound(ctx, s) }); err != nil {
		return err
	}
	for _, w := range []struct {
		name string
		run  func(context.Context, clusterServers) error
	}{{"W10", b.failovers}, {"lag", b.catchUps}, {"idle", b.idle}} {
		if !b.wanted(w.name) {
			continue
		}
		b.say("%s, %.0f s so far", w.name, time.Since(began).Seconds())
		if err := w.run(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	b.print(os.Stdout, time.Since(began))
	return nil
}

func (b *bench) startClusters(ctx context.Context) (clusterServers, error) {
	var s clusterServers
	err := b.writeBodies()
	if err != nil {
		return s, err
	}
	if s.one, err = b.startNode(ctx, "one"); err != nil {
		return s, err
	}
	if err := createTopic(ctx, s.one.address, "w1", 1); err != nil {
		return s, err
	}
	if s.three, err = b.startTrio(ctx, "three"); err != nil {
		return s, err
	}
	for topic, partitions := range map[string]int{"w2": 1, "w3": 1, "w4": 1, "w10": clusterSize, "lag": 1} {
		if err := s.three.create(ctx, topic, partitions); err != nil {
			return s, err
		}
	}
	if s.always, err = b.startNatsTrio(ctx, "always", "always"); err != nil {
		return s, err
	}
	s.lazy, err = b.startNatsTrio(ctx, "default", "2m")
	return s, err
}

// clusterRound runs every workload of the rounds once.
func (b *bench) clusterRound(ctx context.Context, s clusterServers) error {
	for _, w := range []struct {
		name string
		run  func(context.Context, clusterServers) error
	}{{"W4", b.latencyThree}, {"W3", b.rateThree}, {"W2", b.batchesThree}} {
		if !b.wanted(w.name) {
			continue
		}
		if err := b.disk(ctx, servers{}); err != nil {
			return fmt.Errorf("disk: %w", err)
		}
		if err := w.run(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return nil
}

func (b *bench) rateThree(ctx context.Context, s clusterServers) error {
	leader, follower, err := s.three.leader(ctx, "w3")
	if err != nil {
		return err
	}
	plan := loadPlan{Connections: connections, Path: "/v1/topics/w1/records", BodyFile: b.file("one")}
	if err := b.load(ctx, "W1 chronik", s.one, plan); err != nil {
		return err
	}
	plan.Path = "/v1/topics/w3/records"
	if err := b.load(ctx, "W3 leader", s.three.nodes[leader], plan); err != nil {
		return err
	}
	if err := b.load(ctx, "W3 follower", s.three.nodes[follower], plan); err != nil {
		return err
	}
	peer := natsPlan{action: "sync", clients: connections, size: smallValue}
	return b.natsThree(ctx, "W3", s, peer)
}

// natsThree runs a load on both clusters of NATS, through the stream's leader.
func (b *bench) natsThree(ctx context.Context, id string, s clusterServers, plan natsPlan) error {
	plan.replicas = clusterSize
	for _, t := range []struct {
		name string
		trio *natsTrio
	}{{"always", s.always}, {"default", s.lazy}} {
		leader, err := t.trio.leader(ctx)
		if err != nil {
			return err
		}
		if err := b.natsLoad(ctx, id+" nats "+t.name, t.trio.nodes[leader], plan); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) batchesThree(ctx context.Context, s clusterServers) error {
	leader, _, err := s.three.leader(ctx, "w2")
	if err != nil {
		return err
	}
	return b.load(ctx, "W2 three", s.three.nodes[leader], b.batchPlan("w2"))
}

// batchPlan is the load of batches of 1 KB records.
func (b *bench) batchPlan(topic string) loadPlan {
	return loadPlan{
		Connections: natsClients, Type: batchType, BodyFile: b.file("large"),
		Path: "/v1/topics/" + topic + "/batches?partition=0",
	}
}

func (b *bench) latencyThree(ctx context.Context, s clusterServers) error {
	leader, _, err := s.three.leader(ctx, "w4")
	if err != nil {
		return err
	}
	plan := loadPlan{Connections: 16, Path: "/v1/topics/w4/records", BodyFile: b.file("one"), Rate: openLoopRate}
	if err := b.load(ctx, "W4 three", s.three.nodes[leader], plan); err != nil {
		return err
	}
	return b.natsThree(ctx, "W4", s, natsPlan{action: "sync", clients: 16, size: smallValue, rate: openLoopRate})
}

// idle looks at the CPU of a cluster that has partitions and nothing to do.
func (b *bench) idle(ctx context.Context, s clusterServers) error {
	s.three.kill()
	s.always.kill()
	s.lazy.kill()
	t, err := b.startTrio(ctx, "idle")
	if err != nil {
		return err
	}
	defer t.kill()
	if err := t.create(ctx, "idle", idlePartitions); err != nil {
		return err
	}
	time.Sleep(settleIdle)
	length := time.Minute
	if b.short {
		length = 20 * time.Second
	}
	from, cpu := time.Now(), t.nodes[0].cpu()
	time.Sleep(length)
	b.add("idle share", (t.nodes[0].cpu()-cpu)/time.Since(from).Seconds())
	return nil
}
