package backup

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/chroniklog/chronik/server/client"
)

// taking is a backup that is being taken.
type taking struct {
	c     *client.Client
	dir   string
	o     Options
	m     *Manifest
	meter *meter

	mu      sync.Mutex
	sums    map[string]string
	deleted map[string]bool // topic ids
}

// Take backs a cluster up into dir, which is made or empty, and returns what it
// holds.
func Take(ctx context.Context, c *client.Client, dir string, o Options) (*Manifest, error) {
	if err := prepareDir(dir); err != nil {
		return nil, err
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand since Go 1.24)
	t := &taking{
		c: c, dir: dir, o: o, sums: map[string]string{}, deleted: map[string]bool{},
		m: &Manifest{
			Format: Format, Version: Version, ID: hex.EncodeToString(id[:]), WrittenBy: o.Release,
			Began: o.Now().UTC(), Groups: []Group{}, Logs: []Log{},
		},
	}
	// In this order: see the package's comment.
	groups, err := t.groups(ctx)
	if err == nil {
		err = again(ctx, func() (err error) { t.m.Cluster, err = c.Backup(ctx); return err })
	}
	if err == nil {
		err = t.logs(ctx)
	}
	if err == nil {
		err = t.forget(ctx)
	}
	if err != nil {
		return nil, err
	}
	t.keep(groups)
	t.m.Ended = o.Now().UTC()
	return t.m, t.write()
}

// groups reads what every group has committed.
func (t *taking) groups(ctx context.Context) (list []Group, err error) {
	var names []string
	err = again(ctx, func() error {
		names = nil
		return t.c.Groups(ctx, "", func(g client.GroupSummary) error {
			names = append(names, g.Group)
			return nil
		})
	})
	for _, name := range names {
		g := Group{Group: name}
		if err == nil {
			err = again(ctx, func() (err error) { g.Offsets, err = t.c.GroupOffsets(ctx, name); return err })
		}
		switch {
		case code(err) == "unknown_group":
			err = nil // deleted just now
		case err != nil:
			return nil, fmt.Errorf("read the offsets of group %q: %w", name, err)
		case len(g.Offsets) > 0:
			list = append(list, g)
		}
	}
	return list, err
}

// logs takes every partition. Where compaction does not have to be reckoned
// with, the ends are taken first, at about the same time.
func (t *taking) logs(ctx context.Context) error {
	var list []*logTaking
	for i := range t.m.Cluster.Topics {
		topic := &t.m.Cluster.Topics[i]
		for p := range topic.Partitions {
			t.m.Logs = append(t.m.Logs, Log{TopicID: topic.ID, Partition: p})
			list = append(list, &logTaking{t: t, topic: topic.Name, compacted: compacted(topic)})
		}
	}
	t.meter = newMeter(&t.o, len(list))
	for i := range list {
		list[i].log = &t.m.Logs[i]
	}
	err := t.each(ctx, list, func(ctx context.Context, l *logTaking) error {
		if l.compacted {
			return nil
		}
		return l.point(ctx)
	})
	if err != nil {
		return err
	}
	return t.each(ctx, list, func(ctx context.Context, l *logTaking) error { return l.take(ctx) })
}

// each works on partitions, several at once; one whose topic was deleted is
// passed over from then on.
func (t *taking) each(ctx context.Context, list []*logTaking, work func(context.Context, *logTaking) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(t.o.Parallel)
	for _, l := range list {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			if t.isDeleted(l.log.TopicID) {
				return nil
			}
			err := work(ctx, l)
			if gone(err) {
				t.mu.Lock()
				t.deleted[l.log.TopicID] = true
				t.mu.Unlock()
				return nil
			}
			if err != nil {
				return fmt.Errorf("back up %s/%d: %w", l.topic, l.log.Partition, err)
			}
			return nil
		})
	}
	return g.Wait()
}

func (t *taking) isDeleted(topicID string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.deleted[topicID]
}

func (t *taking) summed(name, sum string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sums[name] = sum
}

func compacted(t *client.TopicBackup) bool {
	return strings.Contains(t.Configs["cleanup.policy"], "compact")
}

// forget leaves out topics that were deleted meanwhile, those among them that
// were created anew under the same name.
func (t *taking) forget(ctx context.Context) error {
	for _, topic := range t.m.Cluster.Topics {
		var now client.Topic
		err := again(ctx, func() (err error) { now, err = t.c.Topic(ctx, topic.Name); return err })
		switch {
		case gone(err) || err == nil && now.ID != topic.ID:
			t.deleted[topic.ID] = true
		case err != nil:
			return fmt.Errorf("look at topic %q: %w", topic.Name, err)
		}
	}
	for i := range t.m.Logs {
		l := &t.m.Logs[i]
		if !t.deleted[l.TopicID] {
			continue
		}
		for _, name := range []string{l.file(), l.stateFile()} {
			delete(t.sums, name)
			if err := removeFile(t.dir, name); err != nil {
				return err
			}
		}
	}
	t.m.Logs = slices.DeleteFunc(t.m.Logs, func(l Log) bool { return t.deleted[l.TopicID] })
	t.m.Cluster.Topics = slices.DeleteFunc(t.m.Cluster.Topics, func(topic client.TopicBackup) bool {
		if t.deleted[topic.ID] {
			t.m.Skipped = append(t.m.Skipped, fmt.Sprintf("topic %q was deleted meanwhile", topic.Name))
		}
		return t.deleted[topic.ID]
	})
	return nil
}

// keep takes over the committed offsets of the partitions that are in the
// backup.
func (t *taking) keep(groups []Group) {
	ends := map[client.TopicPartition]int64{}
	logs := t.m.Logs
	for _, topic := range t.m.Cluster.Topics {
		for p, l := range logs[:topic.Partitions] {
			ends[client.TopicPartition{Topic: topic.Name, Partition: int32(p)}] = l.End
		}
		logs = logs[topic.Partitions:]
	}
	for _, g := range groups {
		g.Offsets = slices.DeleteFunc(g.Offsets, func(o client.GroupOffset) bool {
			end, ok := ends[o.TopicPartition]
			if !ok || o.Offset > end {
				t.m.Skipped = append(t.m.Skipped, fmt.Sprintf("group %q committed %d in %s/%d, which is not in the backup",
					g.Group, o.Offset, o.Topic, o.Partition))
			}
			return !ok || o.Offset > end
		})
		if len(g.Offsets) > 0 {
			t.m.Groups = append(t.m.Groups, g)
		}
	}
}

// write writes the manifest, then the sums.
func (t *taking) write() error {
	text, err := json.MarshalIndent(t.m, "", "\t")
	if err != nil {
		return fmt.Errorf("encode the manifest: %w", err)
	}
	if len(text) >= maxManifest {
		return fmt.Errorf("%w: its %s would have %d bytes, of %d", ErrTooLarge, manifestFile, len(text), maxManifest)
	}
	if err := countElements(text, maxElements); err != nil {
		return fmt.Errorf("%w: its %s: %w", ErrTooLarge, manifestFile, err)
	}
	sum, err := writeFile(t.dir, manifestFile, append(text, '\n'))
	if err != nil {
		return err
	}
	t.summed(manifestFile, sum)
	return writeSums(t.dir, t.sums)
}
