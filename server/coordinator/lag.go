package coordinator

import (
	"context"
	"strconv"
	"sync"

	"github.com/chroniklog/chronik/server/group"
	"github.com/chroniklog/chronik/server/partition"
)

func decimal(n int32) string { return strconv.Itoa(int(n)) }

// groupLag is how far a group is behind the end of a partition.
type groupLag struct {
	group string
	tp    group.TopicPartition
	lag   int64
}

// lags are the lags of groups, as far as the answers of the partitions' leaders
// go.
func (m *Collector) lags(groups []groupMetrics) (list []groupLag) {
	var all []groupLag
	for i := range groups {
		for _, at := range groups[i].offsets {
			all = append(all, groupLag{group: groups[i].id, tp: at.tp, lag: at.offset})
		}
	}
	ends := m.endsOf(all)
	for _, l := range all {
		if o := ends[l.tp]; o != nil { // what was trimmed can't be read any more: it is not behind
			l.lag = max(o.HighWatermark-max(l.lag, o.LogStart), 0)
			list = append(list, l)
		}
	}
	return list
}

// endsOf asks for the offsets of partitions, unless it has just done so; nil
// are those that nobody told in time. One scrape asks at a time.
func (m *Collector) endsOf(list []groupLag) map[group.TopicPartition]*partition.Offsets {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := m.c.o.Now(); now.Sub(m.asked) >= lagEvery {
		m.known, m.asked = make(map[group.TopicPartition]*partition.Offsets, len(list)), now
	}
	wanted := make(map[group.TopicPartition]*partition.Offsets, len(list))
	var missing []group.TopicPartition
	for i := range list {
		tp := list[i].tp
		if _, twice := wanted[tp]; twice {
			continue
		}
		o, asked := m.known[tp]
		if wanted[tp] = o; !asked {
			missing = append(missing, tp)
		}
	}
	for i, o := range m.ask(missing) {
		m.known[missing[i]], wanted[missing[i]] = o, o
	}
	return wanted
}

// ask asks the partitions' leaders, some at once.
func (m *Collector) ask(list []group.TopicPartition) []*partition.Offsets {
	ctx, cancel := context.WithTimeout(m.c.ctx, lagWait)
	defer cancel()
	answers := make([]*partition.Offsets, len(list))
	slots := make(chan struct{}, lagAsks)
	var wg sync.WaitGroup
	for i, tp := range list {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if o, err := m.ends.Offsets(ctx, tp.Topic, tp.Partition); err == nil {
				answers[i] = &o
			}
		})
	}
	wg.Wait()
	return answers
}
