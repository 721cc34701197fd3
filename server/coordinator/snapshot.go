package coordinator

import (
	"slices"
	"strings"

	"github.com/chroniklog/chronik/server/group"
)

// holdSteps is how many groups, or offsets of a group, a snapshot looks at
// before it lets others have the shard.
const holdSteps = 256

// groupKind is what groups are counted by.
type groupKind struct {
	protocol string
	state    group.State
}

// groupMetrics is what is shown of a group.
type groupMetrics struct {
	id         string
	members    int
	generation int32
	rebalances uint64
	offsets    []committedAt // by partition
}

type committedAt struct {
	tp     group.TopicPartition
	offset int64
}

// snapshot is what a scrape shows. All groups are counted; of no more than the
// bounds say is anything copied.
type snapshot struct {
	counts                     map[groupKind]int
	shown                      []groupMetrics // by name
	groupsLeft, partitionsLeft int
}

// place is where a group is.
type place struct {
	id string
	s  *shard
}

// snapshot looks at the groups that are loaded. It holds no shard for longer
// than holdSteps take: groups that come and go meanwhile are in it or not.
func (c *Coordinator) snapshot(groups, partitions int) *snapshot {
	snap := &snapshot{counts: map[groupKind]int{}}
	first := least[place]{bound: groups, compare: func(a, b place) int { return strings.Compare(a.id, b.id) }}
	for _, s := range c.loadedShards() {
		s.count(snap.counts, &first)
	}
	for _, n := range snap.counts {
		snap.groupsLeft += n
	}
	for _, at := range first.take() {
		if g, more, ok := at.s.metricsOf(at.id, partitions); ok {
			snap.shown = append(snap.shown, g)
			partitions -= len(g.offsets)
			snap.partitionsLeft += more
		}
	}
	snap.groupsLeft = max(snap.groupsLeft-len(snap.shown), 0)
	return snap
}

// loadedShards are the shards whose logs have been read.
func (c *Coordinator) loadedShards() (list []*shard) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.shards {
		select {
		case <-s.loaded:
			if s.failed == nil && !s.isGone() {
				list = append(list, s)
			}
		default:
		}
	}
	return list
}

// walk shows see what is in a map of the shard, which is held for holdSteps at a
// time; between them others have it, and meanwhile runs. What is in the map all
// along is seen once, whatever comes and goes. Called with mu held, which it is
// again on return.
func walk[K comparable, V any](s *shard, in map[K]V, see func(K, V), meanwhile func()) {
	steps := 0
	for k, v := range in {
		see(k, v)
		if steps++; steps == holdSteps {
			steps = 0
			s.mu.Unlock()
			meanwhile()
			s.mu.Lock()
		}
	}
}

// count counts the groups and adds their names to those that may be first.
func (s *shard) count(counts map[groupKind]int, first *least[place]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	walk(s, s.groups, func(id string, e *entry) {
		k := groupKind{protocol: "classic", state: e.g.State()}
		if _, consumer := e.g.(*group.ConsumerGroup); consumer {
			k.protocol = "consumer"
		}
		counts[k]++
		first.add(place{id, s})
	}, first.cut)
}

// metricsOf is a group with its first offsets, by partition, and how many more
// there are; false if it has gone.
func (s *shard) metricsOf(id string, partitions int) (g groupMetrics, more int, ok bool) {
	first := least[committedAt]{
		bound: partitions, compare: func(a, b committedAt) int { return a.tp.Compare(b.tp) },
	}
	g, total, ok := s.look(id, &first)
	g.offsets = first.take()
	return g, max(total-len(g.offsets), 0), ok
}

// look is a group without its offsets, of which it adds those that may be first
// and tells how many there are.
func (s *shard) look(id string, first *least[committedAt]) (g groupMetrics, total int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.groups[id]
	if e == nil {
		return g, 0, false
	}
	g = groupMetrics{id: id, members: e.g.Size(), generation: e.g.Generation(), rebalances: e.rebalances}
	total = len(e.offsets)
	if first.bound > 0 {
		walk(s, e.offsets, func(tp group.TopicPartition, k group.Kept) { first.add(committedAt{tp, k.Offset}) }, first.cut)
	}
	return g, total, true
}

// least keeps the least of what is added, up to a bound, in memory for not
// much more than twice as many if it is cut now and then.
type least[T any] struct {
	bound   int
	compare func(a, b T) int
	list    []T
	full    bool // the first bound of the list are in order
}

func (l *least[T]) add(x T) {
	if !l.full || l.compare(x, l.list[l.bound-1]) < 0 {
		l.list = append(l.list, x)
	}
}

// cut drops what is not among the least, once that is worth it.
func (l *least[T]) cut() {
	if len(l.list) >= 2*l.bound {
		l.take()
	}
}

// take is the least, in order.
func (l *least[T]) take() []T {
	slices.SortFunc(l.list, l.compare)
	if l.full = l.bound > 0 && len(l.list) >= l.bound; l.full {
		clear(l.list[l.bound:])
		l.list = l.list[:l.bound]
	}
	return l.list
}
