package kafka

import (
	"container/list"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Bounds of the fetch sessions (KIP-227).
const (
	// sessionParts bounds the partitions of a session; a client with more
	// sends all of them each time.
	sessionParts = 10_000
	// allSessionParts bounds those of all sessions together, at some 200 bytes
	// each.
	allSessionParts = 250_000
	// sessionIdle is how long a session that was not used is kept when another
	// client wants its place.
	sessionIdle = 2 * time.Minute
)

// sessions remember what clients fetch, so that they need to send, and to be
// sent, only what changed.
type sessions struct {
	max  int
	mu   sync.Mutex
	held int // partitions, of all sessions
	byID map[int32]*session
	used *list.List // of *session, least recently used first
}

// session is what one client fetches. Its fields below mu belong to the
// request that holds mu.
type session struct {
	id   int32
	at   *list.Element // under sessions.mu, as are last and held
	last time.Time
	held int // what of sessions.held is this one's

	mu    sync.Mutex
	ids   bool // topics are named by id
	epoch int32
	parts []*fetchPart // in the order in which they are read next
	index map[fetchKey]*fetchPart
}

func newSessions(limit int) *sessions {
	return &sessions{max: limit, byID: map[int32]*session{}, used: list.New()}
}

// fetchContext is what a request wants to know: the partitions, in order, and
// the session it belongs to, if any, which stays locked until close.
type fetchContext struct {
	id          int32 // for the answer; 0: no session
	parts       []*fetchPart
	session     *session
	incremental bool
	moved       []*fetchPart // had data: read last the next time
}

// open finds or begins the session of a request. The code is an error of the
// session as a whole.
func (s *sessions) open(req *kmsg.FetchRequest, c *fetchContext) int16 {
	if req.Version < fetchSessions {
		c.parts = requested(req)
		return codeNone
	}
	switch {
	case req.SessionEpoch == -1 || req.SessionEpoch == 0:
		if req.SessionID != 0 {
			s.remove(req.SessionID)
		}
		c.parts = requested(req)
		if req.SessionEpoch == 0 && len(c.parts) <= sessionParts {
			s.begin(req.Version >= fetchTopicIDs, c)
		}
		return codeNone
	case req.SessionID == 0 || req.SessionEpoch < 0:
		return codeFetchSessionEpoch
	}
	return s.resume(req, c)
}

// requested are the partitions that the request itself lists.
func requested(req *kmsg.FetchRequest) []*fetchPart {
	var parts []*fetchPart
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			parts = append(parts, &fetchPart{
				fetchKey: fetchKey{name: t.Topic, id: t.TopicID, index: p.Partition},
				offset:   p.FetchOffset, maxBytes: p.PartitionMaxBytes,
				currentEpoch: p.CurrentLeaderEpoch, lastEpoch: p.LastFetchedEpoch,
				highWatermark: -1, logStart: -1,
			})
		}
	}
	return parts
}

// begin makes a session of a full request, if there is room for one.
func (s *sessions) begin(ids bool, c *fetchContext) {
	n := &session{ids: ids, epoch: 1, parts: c.parts, index: make(map[fetchKey]*fetchPart, len(c.parts)), last: time.Now()}
	for _, p := range c.parts {
		if n.index[p.fetchKey] != nil {
			return // a partition twice: no session
		}
		n.index[p.fetchKey] = p
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.byID) >= s.max || s.held+len(n.parts) > allSessionParts {
		if s.used.Len() == 0 {
			return
		}
		oldest := s.used.Front().Value.(*session)
		if time.Since(oldest.last) < sessionIdle {
			return
		}
		s.forget(oldest)
	}
	n.held = len(n.parts)
	s.held += n.held
	for n.id == 0 || s.byID[n.id] != nil {
		n.id = rand.Int32N(math.MaxInt32) // not guessable by accident: ids are no secret
	}
	s.byID[n.id] = n
	n.at = s.used.PushBack(n)
	n.mu.Lock()
	c.id, c.session = n.id, n
}

// resume takes an incremental request.
func (s *sessions) resume(req *kmsg.FetchRequest, c *fetchContext) int16 {
	s.mu.Lock()
	n := s.byID[req.SessionID]
	if n != nil {
		n.last = time.Now()
		s.used.MoveToBack(n.at)
	}
	s.mu.Unlock()
	if n == nil {
		return codeFetchSessionNotFound
	}
	// A request that still waits has taken this epoch, or the one before.
	if !n.mu.TryLock() {
		return codeFetchSessionEpoch
	}
	code := codeNone
	switch {
	case n.epoch != req.SessionEpoch:
		code = codeFetchSessionEpoch
	case n.ids != (req.Version >= fetchTopicIDs):
		code = codeFetchSessionTopicID
	}
	if code != codeNone {
		n.mu.Unlock()
		return code
	}
	n.update(req)
	if n.epoch++; n.epoch <= 0 {
		n.epoch = 1
	}
	c.session, c.incremental, c.parts = n, true, n.parts
	if len(n.parts) == 0 || len(n.parts) > sessionParts || !s.resize(n) {
		s.remove(n.id)
		return codeNone
	}
	c.id = n.id
	return codeNone
}

// update merges what the request changes.
func (n *session) update(req *kmsg.FetchRequest) {
	for _, p := range requested(req) {
		old := n.index[p.fetchKey]
		if old == nil {
			n.index[p.fetchKey] = p
			n.parts = append(n.parts, p)
			continue
		}
		old.offset, old.maxBytes = p.offset, p.maxBytes
		old.currentEpoch, old.lastEpoch = p.currentEpoch, p.lastEpoch
	}
	forgotten := false
	for i := range req.ForgottenTopics {
		t := &req.ForgottenTopics[i]
		for _, index := range t.Partitions {
			delete(n.index, fetchKey{name: t.Topic, id: t.TopicID, index: index})
			forgotten = true
		}
	}
	if !forgotten {
		return
	}
	kept := make([]*fetchPart, 0, len(n.index))
	for _, p := range n.parts {
		if n.index[p.fetchKey] == p {
			kept = append(kept, p)
		}
	}
	n.parts = kept
}

// resize counts what a session's client added or forgot; false if that is too
// much for all of them together.
func (s *sessions) resize(n *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID[n.id] != n {
		return true // forgotten meanwhile
	}
	s.held += len(n.parts) - n.held
	n.held = len(n.parts)
	return s.held <= allSessionParts
}

// remove ends a session.
func (s *sessions) remove(id int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.byID[id]; n != nil {
		s.forget(n)
	}
}

// forget is called with mu held. A request that holds the session goes on.
func (s *sessions) forget(n *session) {
	delete(s.byID, n.id)
	s.used.Remove(n.at)
	s.held -= n.held
}

// news tells whether the answer shows a partition: an incremental one shows
// what the client does not know yet.
func (c *fetchContext) news(p *fetchPart, r *fetched) bool {
	if c.session == nil {
		return true
	}
	show := !c.incremental || len(r.batches) > 0 || r.code != codeNone || r.diverging != nil ||
		p.highWatermark != r.offsets.HighWatermark || p.logStart != r.offsets.LogStart
	p.highWatermark, p.logStart = r.offsets.HighWatermark, r.offsets.LogStart
	if r.code != codeNone {
		p.highWatermark = -1 // show it again once it is well
	}
	if len(r.batches) > 0 {
		c.moved = append(c.moved, p)
	}
	return show
}

// close lets the session's next request in. Partitions that had data go to
// the end, so that a busy one does not starve the others.
func (c *fetchContext) close() {
	n := c.session
	if n == nil {
		return
	}
	if len(c.moved) > 0 && len(c.moved) < len(n.parts) {
		had := make(map[*fetchPart]bool, len(c.moved))
		for _, p := range c.moved {
			had[p] = true
		}
		order := make([]*fetchPart, 0, len(n.parts))
		for _, p := range n.parts {
			if !had[p] {
				order = append(order, p)
			}
		}
		n.parts = append(order, c.moved...)
	}
	n.mu.Unlock()
}
