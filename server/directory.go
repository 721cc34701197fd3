package server

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/chroniklog/chronik/server/topicconfig"
)

// directory is the topics as this node serves them, derived from the metadata
// image by the reconciler, its only writer. Look-ups take a read lock and
// don't allocate: they are on the path of every request.
type directory struct {
	mu      sync.RWMutex
	byName  map[string]*entry
	byID    map[TopicID]*entry
	names   []string      // sorted
	index   uint64        // of the metadata log, up to which it is complete
	version uint64        // counts changes of topics
	changed chan struct{} // closed and replaced by each change
}

// entry is one topic. It is replaced, never changed, when configs or the
// number of partitions change; the parts live on in its successor.
type entry struct {
	topic  Topic
	values topicconfig.Values
	limits TopicLimits
	parts  []*part
	led    []int32 // partitions that this node leads
	born   int32   // how many partitions the topic was created with
	sticky *atomic.Uint32
}

func newDirectory() *directory {
	return &directory{
		byName: map[string]*entry{}, byID: map[TopicID]*entry{}, changed: make(chan struct{}),
	}
}

// topic finds a topic by name.
func (d *directory) topic(name string) (*entry, error) {
	d.mu.RLock()
	e := d.byName[name]
	d.mu.RUnlock()
	if e == nil {
		return nil, fmt.Errorf("%w: %q", ErrUnknownTopic, name)
	}
	return e, nil
}

// id finds a topic by id; nil if there is none.
func (d *directory) id(id TopicID) *entry {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.byID[id]
}

// part finds a partition.
func (d *directory) part(name string, p int32) (*entry, *part, error) {
	e, err := d.topic(name)
	if err != nil {
		return nil, nil, err
	}
	if p < 0 || int(p) >= len(e.parts) {
		return nil, nil, fmt.Errorf("%w: %s/%d: the topic has %d partitions", ErrUnknownPartition, name, p, len(e.parts))
	}
	return e, e.parts[p], nil
}

// list returns at most limit topics, by name, after the given one.
func (d *directory) list(prefix, after string, limit int) (list []*entry, more bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	from := sort.SearchStrings(d.names, prefix)
	if after != "" {
		from = max(from, sort.Search(len(d.names), func(i int) bool { return d.names[i] > after }))
	}
	for _, name := range d.names[from:] {
		if !strings.HasPrefix(name, prefix) {
			break
		}
		if len(list) == limit {
			return list, true
		}
		list = append(list, d.byName[name])
	}
	return list, false
}

// all returns every topic in no order.
func (d *directory) all() []*entry {
	d.mu.RLock()
	defer d.mu.RUnlock()
	list := make([]*entry, 0, len(d.byID))
	for _, e := range d.byID {
		list = append(list, e)
	}
	return list
}

// apply replaces and removes topics in one step and wakes those who wait.
// It returns the removed entries.
func (d *directory) apply(set []*entry, gone []TopicID) (removed []*entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range gone {
		e := d.byID[id]
		if e == nil {
			continue
		}
		removed = append(removed, e)
		delete(d.byID, id)
		if d.byName[e.topic.Name] == e {
			delete(d.byName, e.topic.Name)
			i := sort.SearchStrings(d.names, e.topic.Name)
			d.names = slices.Delete(d.names, i, i+1)
		}
	}
	for _, e := range set {
		if d.byName[e.topic.Name] == nil {
			i := sort.SearchStrings(d.names, e.topic.Name)
			d.names = slices.Insert(d.names, i, e.topic.Name)
		}
		d.byName[e.topic.Name], d.byID[e.topic.ID] = e, e
	}
	d.version++
	d.announce()
	return removed
}

// reached notes the index up to which the directory shows the metadata.
func (d *directory) reached(index uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.index = max(d.index, index)
	d.announce()
}

func (d *directory) announce() {
	close(d.changed)
	d.changed = make(chan struct{})
}

// awaitIndex returns when the directory shows the metadata up to index.
func (d *directory) awaitIndex(ctx context.Context, index uint64) error {
	return d.await(ctx, func() bool {
		d.mu.RLock()
		defer d.mu.RUnlock()
		return d.index >= index
	})
}

// await returns when cond holds; cond is called without the lock, after every
// change. The error is ctx's.
func (d *directory) await(ctx context.Context, cond func() bool) error {
	for {
		d.mu.RLock()
		changed := d.changed
		d.mu.RUnlock()
		if cond() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
