package meta

import (
	"cmp"
	"container/heap"
	"strings"
)

// MaxProducerBlock bounds the producer ids of one allocation.
const MaxProducerBlock = 100_000

// MaxProducerName bounds a producer's name in bytes.
const MaxProducerName = 256

// expiredPerCommand bounds how many expired names one command forgets: at
// least as many as it adds, so that the table can't grow without bound.
const expiredPerCommand = 8

// AllocateProducerIDs gives the proposer Count ids that nobody had before;
// Result.Value is the first.
type AllocateProducerIDs struct{ Count int32 }

func (*AllocateProducerIDs) kind() kind          { return kindAllocateProducerIDs }
func (c *AllocateProducerIDs) encode(e *encoder) { e.i32(c.Count) }
func (c *AllocateProducerIDs) decode(d *decoder) { c.Count = d.i32() }

func (c *AllocateProducerIDs) apply(s *step) Result {
	if c.Count < 1 || c.Count > MaxProducerBlock {
		return refuse(ErrInvalidCommand, "%d producer ids; 1 to %d are possible", c.Count, MaxProducerBlock)
	}
	first := s.nextProducer
	s.nextProducer += int64(c.Count)
	s.put([]byte{keyCounter}, encodeCounter(s.nextProducer))
	return Result{Value: first}
}

// MapProducer finds or makes the producer id of a name, Result.Value, and
// keeps it for TTLMs from the proposer's now.
type MapProducer struct {
	Name  string
	TTLMs int64
}

func (*MapProducer) kind() kind          { return kindMapProducer }
func (c *MapProducer) encode(e *encoder) { e.str(c.Name); e.i64(c.TTLMs) }
func (c *MapProducer) decode(d *decoder) { c.Name, c.TTLMs = d.str(), d.i64() }

func (c *MapProducer) apply(s *step) Result {
	if c.Name == "" || len(c.Name) > MaxProducerName || c.TTLMs < 1 {
		return refuse(ErrInvalidCommand, "a producer needs a name of 1 to %d bytes and a time to live", MaxProducerName)
	}
	s.expireProducers()
	p, ok := s.producers[c.Name]
	if !ok || p.ExpiresMs <= s.now {
		p = Producer{Name: c.Name, ID: s.nextProducer}
		s.nextProducer++
		s.put([]byte{keyCounter}, encodeCounter(s.nextProducer))
	}
	p.ExpiresMs = max(p.ExpiresMs, s.now+c.TTLMs)
	s.producers[c.Name] = p
	s.expiry.push(p)
	s.put(producerKey(p.Name), encodeProducer(p))
	return Result{Value: p.ID}
}

func (s *step) expireProducers() {
	for n := 0; n < expiredPerCommand && len(s.expiry) > 0 && s.expiry[0].ExpiresMs <= s.now; {
		p := heap.Pop(&s.expiry).(Producer)
		if s.producers[p.Name] != p {
			continue // refreshed since: its later turn is in the heap
		}
		delete(s.producers, p.Name)
		s.del(producerKey(p.Name))
		n++
	}
}

// expiryHeap orders producers by expiry, then name. It may hold outdated
// versions of a producer; those are skipped and don't count, so images with
// different heaps but equal producers behave the same.
type expiryHeap []Producer

func (h *expiryHeap) push(p Producer) { heap.Push(h, p) }
func (h expiryHeap) Len() int         { return len(h) }
func (h expiryHeap) Swap(i, j int)    { h[i], h[j] = h[j], h[i] }
func (h expiryHeap) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(h[i].ExpiresMs, h[j].ExpiresMs), strings.Compare(h[i].Name, h[j].Name)) < 0
}

// Push is heap.Interface's.
func (h *expiryHeap) Push(x any) { *h = append(*h, x.(Producer)) }

// Pop is heap.Interface's.
func (h *expiryHeap) Pop() any {
	last := len(*h) - 1
	p := (*h)[last]
	*h = (*h)[:last]
	return p
}
