package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// produceTimeout bounds one produce; the next one may find another leader.
const produceTimeout = 3 * time.Second

// failovers kills leaders, the controller every other time.
func (b *bench) failovers(ctx context.Context, s clusterServers) error {
	kills, peerKills := 10, 3
	if b.short {
		kills, peerKills = 4, 1
	}
	worst := 0.0
	for i := range kills {
		gap, err := b.failover(ctx, s.three, i%2 == 1)
		if err != nil {
			return err
		}
		b.add("W10 seconds", gap.Seconds())
		worst = max(worst, gap.Seconds())
	}
	b.add("W10 worst seconds", worst)
	for range peerKills {
		for name, t := range map[string]*natsTrio{"always": s.always, "default": s.lazy} {
			gap, err := b.natsFailover(ctx, t)
			if err != nil {
				return err
			}
			b.add("W10 nats "+name+" seconds", gap.Seconds())
		}
	}
	return nil
}

// failover kills the leader of a partition, which is the controller or is not,
// and measures until a survivor acknowledges a record of that partition. The
// killed node is started again and waited for.
func (b *bench) failover(ctx context.Context, t *trio, controller bool) (time.Duration, error) {
	var state clusterState
	if err := getJSON(ctx, "http://"+t.nodes[0].address+"/v1/cluster", &state); err != nil {
		return 0, err
	}
	partitions, err := t.partitions(ctx, 0, "w10")
	if err != nil {
		return 0, err
	}
	p := slices.IndexFunc(partitions, func(p partitionState) bool { return (p.Leader == state.Controller) == controller })
	if p < 0 {
		p = 0
	}
	victim := partitions[p].Leader - 1
	front := (victim + 1) % clusterSize
	url := fmt.Sprintf("http://%s/v1/topics/w10/records?partition=%d", t.nodes[front].address, p)
	if err := produce(ctx, url); err != nil {
		return 0, err
	}
	from := time.Now()
	t.nodes[victim].kill()
	if err := await(ctx, "a produce after a kill", func(ctx context.Context) (bool, error) {
		err := produce(ctx, url)
		return err == nil, err
	}); err != nil {
		return 0, err
	}
	gap := time.Since(from)
	if err := b.startMember(t, victim); err != nil {
		return 0, err
	}
	if err := t.nodes[victim].readyHTTP(ctx, "/readyz"); err != nil {
		return 0, err
	}
	return gap, t.waitInSync(ctx, front, "w10", clusterSize)
}

// produce writes one record.
func produce(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, produceTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(make([]byte, smallValue)))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusCreated {
		err = fmt.Errorf("%s: %s: %s", url, resp.Status, text)
	}
	return err
}

// natsFailover is failover with the stream's leader.
func (b *bench) natsFailover(ctx context.Context, t *natsTrio) (time.Duration, error) {
	if err := t.waitInSync(ctx); err != nil {
		return 0, err
	}
	victim, err := t.leader(ctx)
	if err != nil {
		return 0, err
	}
	survivor, err := t.connect((victim + 1) % clusterSize)
	if err != nil {
		return 0, err
	}
	defer survivor.Close()
	js, err := jetstream.New(survivor)
	if err != nil {
		return 0, err
	}
	publish := func(ctx context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		defer cancel()
		_, err := js.Publish(ctx, "bench.w10", make([]byte, smallValue), jetstream.WithRetryAttempts(0))
		return err == nil, err
	}
	if err := await(ctx, "a publish", publish); err != nil {
		return 0, err
	}
	from := time.Now()
	t.nodes[victim].kill()
	if err := await(ctx, "a publish after a kill", publish); err != nil {
		return 0, err
	}
	gap := time.Since(from)
	if err := b.startMember(&t.trio, victim); err != nil {
		return 0, err
	}
	return gap, t.waitInSync(ctx)
}

// catchUps stops a follower, writes what it then lacks, and measures from its
// start until it is in sync again.
func (b *bench) catchUps(ctx context.Context, s clusterServers) error {
	times, size := 3, int64(1<<30)
	if b.short {
		times, size = 2, 256<<20
	}
	for range times {
		if err := b.catchUp(ctx, s.three, size); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) catchUp(ctx context.Context, t *trio, size int64) error {
	if err := t.waitInSync(ctx, 0, "lag", clusterSize); err != nil {
		return err
	}
	leader, follower, err := t.leader(ctx, "lag")
	if err != nil {
		return err
	}
	t.nodes[follower].kill()
	if err := t.waitInSync(ctx, leader, "lag", clusterSize-1); err != nil {
		return err
	}
	written, err := b.fill(ctx, t.nodes[leader].address, "lag", size)
	if err != nil {
		return err
	}
	before, err := measureDisk(b.dir, 1<<20, b.length/2)
	if err != nil {
		return err
	}
	from := time.Now()
	if err := b.startMember(t, follower); err != nil {
		return err
	}
	if err := t.waitInSync(ctx, leader, "lag", clusterSize); err != nil {
		return err
	}
	took := time.Since(from)
	after, err := measureDisk(b.dir, 1<<20, b.length/2)
	if err != nil {
		return err
	}
	b.add("lag bytes/s", float64(written)/took.Seconds())
	b.add("lag disk bytes/s", (before.bytes+after.bytes)/2)
	return t.nodes[follower].readyHTTP(ctx, "/readyz")
}

// fill appends batches until about size bytes were written, and returns how
// many it were, values only.
func (b *bench) fill(ctx context.Context, address, topic string, size int64) (int64, error) {
	info, err := describe(ctx, address, topic, 0)
	if err != nil {
		return 0, err
	}
	first := info.High
	for (info.High-first)*largeValue < size {
		plan := b.batchPlan(topic)
		plan.Address, plan.Duration = address, 250*time.Millisecond
		var r loadResult
		if err := child(ctx, &r, plan.args()...); err != nil {
			return 0, err
		}
		if r.Errors > 0 {
			return 0, fmt.Errorf("%d batches failed: %s", r.Errors, r.First)
		}
		if info, err = describe(ctx, address, topic, 0); err != nil {
			return 0, err
		}
	}
	return (info.High - first) * largeValue, nil
}
