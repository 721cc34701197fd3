package server

import (
	"slices"
	"sync"
	"time"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/telemetry"
)

// State is what a metrics scrape shows of the broker.
func (b *Broker) State() telemetry.State {
	status := b.meta.Status()
	free, reserve := b.store.Free()
	s := telemetry.State{
		RaftTerm: status.Term, RaftCommit: status.Commit, RaftApplied: status.Applied, RaftLast: status.LastIndex,
		RaftVoters: len(status.Voters), RaftLearners: len(status.Learners), RaftLed: status.Leader != 0,
		Controller: status.Leader == b.o.Node,
		DiskFree:   free, DiskReserve: reserve, DiskFull: b.store.DiskFull(),
	}
	b.meta.View(func(img *meta.Image) {
		s.Topics, s.Partitions = img.Counts()
		s.OfflinePartitions, s.UnderReplicated = img.Health()
		s.Moving = img.Moving()
		for _, n := range img.Brokers() {
			s.Brokers++
			if n.Fenced {
				s.BrokersFenced++
			}
		}
	})
	b.observed.add(&s, b.o.Now, func(s *telemetry.State) {
		s.LogBytes = b.store.Size()
		b.observeLed(s)
	})
	return s
}

// observedRest is how long the result of a walk over all partitions serves
// further scrapes, in times of what the walk took.
const observedRest = 20

// observed keeps what a scrape finds by walking over all partitions. One walks
// at a time, and walking has at most a twentieth of one CPU, however many scrape
// and however many partitions there are: 1,000 of them are looked at anew each
// time, and what is shown of 100,000 may be a second old.
type observed struct {
	mu    sync.Mutex
	until time.Time
	state telemetry.State
}

// add adds what a walk finds to s.
func (o *observed) add(s *telemetry.State, now func() time.Time, walk func(*telemetry.State)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if begin := now(); !begin.Before(o.until) {
		o.state = telemetry.State{}
		walk(&o.state)
		end := now()
		o.until = end.Add(observedRest * end.Sub(begin))
	}
	s.LogBytes, s.Led, s.UnderMinISR = o.state.LogBytes, o.state.Led, o.state.UnderMinISR
	s.Lags = o.state.Lags
}

// observeLed adds what only leaders know.
func (b *Broker) observeLed(s *telemetry.State) {
	worst := map[NodeID]*telemetry.Lag{}
	var lags []partition.Lag
	for _, e := range b.dir.all() {
		s.Led += len(e.led)
		for _, n := range e.led {
			p := e.parts[n]
			if len(p.state.Load().ISR) < int(e.values.MinInsyncReplicas) {
				s.UnderMinISR++
			}
			r := p.replica.Load()
			if r == nil {
				continue
			}
			lags = r.Lags(lags[:0])
			for i := range lags {
				keepWorst(worst, &lags[i])
			}
		}
	}
	for _, l := range worst {
		s.Lags = append(s.Lags, *l)
	}
	slices.SortFunc(s.Lags, func(x, y telemetry.Lag) int { return int(x.Node - y.Node) })
}

func keepWorst(worst map[NodeID]*telemetry.Lag, l *partition.Lag) {
	w := worst[l.Node]
	if w == nil {
		w = &telemetry.Lag{Node: l.Node}
		worst[l.Node] = w
	}
	w.Records = max(w.Records, l.Records)
	w.Behind = max(w.Behind, time.Duration(l.Ms)*time.Millisecond)
}

// countISR counts a change of the in-sync replicas from one number to another.
func (b *Broker) countISR(from, to int) {
	if to < from {
		b.o.Metrics.ISRShrunk.Inc()
	} else {
		b.o.Metrics.ISRGrown.Inc()
	}
}

// countElection counts a leadership that came here; failover: the last leader
// is dead, or there was none.
func (b *Broker) countElection(failover bool) {
	if failover {
		b.o.Metrics.Elected.Failover.Inc()
	} else {
		b.o.Metrics.Elected.Handover.Inc()
	}
}
