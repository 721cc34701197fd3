package server

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/chroniklog/chronik/raft/meta"
)

const (
	// pidBlockSize is how many producer ids one command allocates.
	pidBlockSize = 1000
	// producerTTL is how long an HTTP producer's name keeps its id without
	// use; a use after half of it renews it.
	producerTTL = 7 * 24 * time.Hour
	// MaxProducerName bounds an HTTP producer's name in bytes.
	MaxProducerName = meta.MaxProducerName
	// maxProducerNames bounds the names cached on this node.
	maxProducerNames = 100_000
)

// pidBlock hands out producer ids from the block that this node allocated.
type pidBlock struct {
	mu        sync.Mutex
	next, end int64
	// stale: the block may hold ids that a restore has brought back.
	stale atomic.Bool
}

// applied gives the block up where events of the metadata log say that its ids
// may be others'.
func (p *pidBlock) applied(events []meta.Event) {
	for _, e := range events {
		switch e.(type) {
		case meta.ProducersRestored, meta.ImageReplaced:
			p.stale.Store(true)
		}
	}
}

// producerNames caches the ids of HTTP producers' names; the metadata image is
// the truth.
type producerNames struct {
	mu  sync.RWMutex
	ids map[string]producerName
}

type producerName struct {
	id    int64
	renew int64 // Unix milliseconds from which a use renews the name
}

func newProducerNames() producerNames { return producerNames{ids: map[string]producerName{}} }

func (n *producerNames) get(name string) (producerName, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	p, ok := n.ids[name]
	return p, ok
}

func (n *producerNames) put(name string, p producerName) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.ids) >= maxProducerNames {
		for old := range n.ids { // any: the image has it still
			delete(n.ids, old)
			break
		}
	}
	n.ids[name] = p
}

// AllocateProducerID gives out a producer id that nobody else in the cluster
// has or had (Kafka's InitProducerId without a transactional id). The epoch of
// a new id is 0.
func (b *Broker) AllocateProducerID(ctx context.Context) (id int64, epoch int16, err error) {
	p := &b.pids
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stale.Swap(false) || p.next == p.end {
		res, err := b.propose(ctx, &meta.AllocateProducerIDs{Count: pidBlockSize})
		if err != nil {
			return 0, 0, fmt.Errorf("allocate producer ids: %w", err)
		}
		p.next, p.end = res.Value, res.Value+pidBlockSize
	}
	p.next++
	return p.next - 1, 0, nil
}

// ProducerID maps the name of an HTTP producer (the Producer-Id header) to its
// producer id, which is the same on every node and for as long as the name is
// used at least once in seven days.
func (b *Broker) ProducerID(ctx context.Context, name string) (id int64, err error) {
	switch {
	case name == "" || len(name) > MaxProducerName:
		return 0, fmt.Errorf("%w: want 1 to %d bytes, got %d", ErrInvalidProducer, MaxProducerName, len(name))
	case !utf8.ValidString(name):
		return 0, fmt.Errorf("%w: not valid UTF-8", ErrInvalidProducer)
	}
	now := b.o.Now().UnixMilli()
	if p, ok := b.names.get(name); ok && now < p.renew {
		return p.id, nil
	}
	if known, found := b.producer(name, now); found && now < known.renew {
		b.names.put(name, known)
		return known.id, nil
	}
	if err := b.roomForMetadata(); err != nil {
		return 0, fmt.Errorf("map producer %q: %w", name, err)
	}
	res, err := b.propose(ctx, &meta.MapProducer{Name: name, TTLMs: producerTTL.Milliseconds()})
	if err != nil {
		return 0, fmt.Errorf("map producer %q: %w", name, err)
	}
	b.names.put(name, producerName{id: res.Value, renew: now + producerTTL.Milliseconds()/2})
	return res.Value, nil
}

// producer looks a name up in the image.
func (b *Broker) producer(name string, now int64) (p producerName, found bool) {
	b.meta.View(func(img *meta.Image) {
		if m, ok := img.Producer(name, now); ok {
			p, found = producerName{id: m.ID, renew: m.ExpiresMs - producerTTL.Milliseconds()/2}, true
		}
	})
	return p, found
}
