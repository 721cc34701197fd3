package backup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/chroniklog/chronik/server/client"
)

// ErrTooFewNodes: a topic wants more replicas than the cluster has nodes.
var ErrTooFewNodes = errors.New("the cluster has too few nodes")

// restoring is a backup that is being restored.
type restoring struct {
	c     *client.Client
	root  *os.Root
	m     *Manifest
	o     Options
	meter *meter
}

// Restore checks a backup and restores it into an empty cluster, or goes on
// where an earlier attempt was interrupted. It returns when every partition is
// led and every live replica is in sync. Errors are those of Verify, before
// anything is written; ErrTooFewNodes; problems of the cluster,
// cluster_not_empty among them.
func Restore(ctx context.Context, c *client.Client, dir string, o Options) (*Manifest, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	quiet := o
	quiet.Progress = nil
	m, err := verify(ctx, root, quiet)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	r := &restoring{c: c, root: root, m: m, o: o}
	r.meter = newMeter(&r.o, len(m.Logs))
	for _, step := range []func(context.Context) error{r.fits, r.begin, r.topics, r.logs, r.inSync, r.trims, r.groups} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return m, again(ctx, func() error { return c.EndRestore(ctx) })
}

// fits refuses what the cluster can't hold, before anything is written.
func (r *restoring) fits(ctx context.Context) error {
	var s client.Cluster
	if err := again(ctx, func() (err error) { s, err = r.c.Cluster(ctx); return err }); err != nil {
		return err
	}
	for _, t := range r.m.Cluster.Topics {
		if rf := r.replication(&t); int(rf) > len(s.Nodes) {
			return fmt.Errorf("%w: topic %q has %d replicas, the cluster %d node(s): add nodes, or say with "+
				"--replication-factor how many it shall have", ErrTooFewNodes, t.Name, rf, len(s.Nodes))
		}
		if least := minInsync(r.configs(&t)); least > len(s.Nodes) {
			return fmt.Errorf("%w: topic %q has min.insync.replicas=%d, the cluster %d node(s): add nodes, or say with "+
				"--replication-factor how many replicas it shall have", ErrTooFewNodes, t.Name, least, len(s.Nodes))
		}
	}
	return nil
}

func (r *restoring) replication(t *client.TopicBackup) int16 {
	if r.o.Replication > 0 {
		return r.o.Replication
	}
	return t.Replication
}

const minInsyncConfig = "min.insync.replicas"

// minInsync is how many replicas a topic with these configs asks for, 0 if it
// does not.
func minInsync(configs map[string]string) int {
	n, err := strconv.Atoi(configs[minInsyncConfig])
	if err != nil {
		return 0 // the cluster will judge it
	}
	return n
}

// configs are a topic's, as they can be kept: with fewer replicas than there
// were, those that have to be in sync are no more than there are.
func (r *restoring) configs(t *client.TopicBackup) map[string]string {
	if r.o.Replication < 1 || minInsync(t.Configs) <= int(r.o.Replication) {
		return t.Configs
	}
	configs := maps.Clone(t.Configs)
	configs[minInsyncConfig] = strconv.Itoa(int(r.o.Replication))
	return configs
}

func (r *restoring) begin(ctx context.Context) error {
	return again(ctx, func() error {
		_, err := r.c.BeginRestore(ctx, r.m.ID, r.m.Cluster)
		return err
	})
}

// topics makes the topics, without records.
func (r *restoring) topics(ctx context.Context) error {
	logs := r.m.Logs
	for _, t := range r.m.Cluster.Topics {
		t.Configs, t.Replication = r.configs(&t), r.replication(&t)
		t.LeaderEpochs = nil
		for _, l := range logs[:t.Partitions] {
			t.LeaderEpochs = append(t.LeaderEpochs, l.LeaderEpoch+1)
		}
		logs = logs[t.Partitions:]
		if err := again(ctx, func() error { return r.c.RestoreTopic(ctx, t) }); err != nil {
			return fmt.Errorf("restore topic %q: %w", t.Name, err)
		}
	}
	return nil
}

// logs restores the records, several partitions at once.
func (r *restoring) logs(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.o.Parallel)
	logs := r.m.Logs
	for _, t := range r.m.Cluster.Topics {
		for i := range logs[:t.Partitions] {
			l := &logRestoring{r: r, topic: t.Name, log: &logs[i]}
			g.Go(func() error {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if err := l.run(ctx); err != nil {
					return fmt.Errorf("restore %s/%d: %w", l.topic, l.log.Partition, err)
				}
				r.meter.add(1, 0, 0)
				return nil
			})
		}
		logs = logs[t.Partitions:]
	}
	return g.Wait()
}

// groups has groups go on where they were.
func (r *restoring) groups(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.o.Parallel)
	var once sync.Mutex // the first makes the groups' own topic
	for _, group := range r.m.Groups {
		g.Go(func() error {
			for _, o := range group.Offsets {
				reset := client.OffsetReset{
					Topic: o.Topic, Partitions: []int32{o.Partition}, To: "offset", Offset: &o.Offset,
					Metadata: o.Metadata,
				}
				once.Lock()
				err := again(ctx, func() error { _, err := r.c.ResetGroup(ctx, group.Group, reset); return err })
				once.Unlock()
				if err != nil {
					return fmt.Errorf("restore group %q in %s/%d: %w", group.Group, o.Topic, o.Partition, err)
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// errNoLeader: a partition was given its records and has nobody to lead it.
var errNoLeader = errors.New("it has partitions without a leader: the node that was given the records is away, " +
	"or lost its data; bring it back, or begin with empty data directories")

// inSync waits until every replica on a live node has the records. Before that
// the cluster need not vouch for them.
func (r *restoring) inSync(ctx context.Context) error {
	for _, t := range r.m.Cluster.Topics {
		for waited := time.Duration(0); ; waited += pause {
			done, err := r.topicInSync(ctx, t.Name)
			if err != nil && (!errors.Is(err, errNoLeader) || waited > patience) {
				return fmt.Errorf("look at topic %q: %w", t.Name, err)
			}
			if done {
				break
			}
			if err := sleep(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// trims has logs start where they did, if that is amid a batch.
func (r *restoring) trims(ctx context.Context) error {
	logs := r.m.Logs
	for _, t := range r.m.Cluster.Topics {
		for _, l := range logs[:t.Partitions] {
			if l.Start == l.First {
				continue
			}
			err := again(ctx, func() error { return r.c.Trim(ctx, t.Name, l.Partition, l.Start) })
			if err != nil {
				return fmt.Errorf("restore %s/%d: %w", t.Name, l.Partition, err)
			}
		}
		logs = logs[t.Partitions:]
	}
	return nil
}

func (r *restoring) topicInSync(ctx context.Context, topic string) (done bool, err error) {
	var s client.Cluster
	var list []client.Partition
	err = again(ctx, func() (err error) {
		if s, err = r.c.Cluster(ctx); err == nil {
			list, err = r.c.Partitions(ctx, topic)
		}
		return err
	})
	if err != nil {
		return false, err
	}
	for _, p := range list {
		if p.Leader == 0 {
			return false, errNoLeader
		}
		for _, n := range s.Nodes {
			if n.Alive && slices.Contains(p.Replicas, n.ID) && !slices.Contains(p.ISR, n.ID) {
				return false, nil
			}
		}
	}
	return true, nil
}
