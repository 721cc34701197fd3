package replication

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/peer"
	"github.com/chroniklog/chronik/storage/plog"
)

// Bounds of a leader's answers.
const (
	// maxAnswerBytes is when a message is sent, full or not.
	maxAnswerBytes = 8 << 20
	// maxPartitionBytes is what one position is answered with at most, unless
	// a single batch is larger.
	maxPartitionBytes = 1 << 20
	// maxStateBytes bounds a saved state that is handed over: what a partition
	// remembers is bounded far below it.
	maxStateBytes = 64 << 20
	// maxSession bounds the partitions of one connection.
	maxSession = 1 << 20
	// lateness is how long a watermark that moved waits for batches to go with.
	// A follower needs it only when it comes to lead, and then asks the others.
	lateness = 10 * time.Millisecond
)

// Led is a partition as its followers see it.
type Led interface {
	// Fetched takes a follower's position into account and says whether the
	// follower's log is a prefix of this leader's.
	Fetched(f partition.Fetch, lastEpoch int32) (partition.FetchAnswer, error)
	// Staged returns whole batches from offset on, synced or not, none if
	// there are none or maxBytes is 0, with the watermark and start of the log, under the
	// given leader epoch; partition.ErrNotLeader in any other.
	Staged(epoch int32, from int64, maxBytes int) ([]byte, partition.FetchAnswer, error)
	// SavedState is the state that Fetched's answer says is owed.
	SavedState() ([]byte, error)
	// Watch calls fn, which does not block, whenever something is staged, or
	// the watermark, the log's start or the leadership changes.
	Watch(fn func()) (cancel func())
}

// Leaders finds the partitions that this broker holds.
type Leaders interface {
	Led(plog.ID) (Led, bool)
}

// Serve answers one follower's connection until it fails or ctx ends. It
// closes the connection and returns the reason.
func Serve(ctx context.Context, conn peer.Conn, follower int32, leaders Leaders) error {
	s := newSession(conn, follower, leaders)
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	sent := make(chan error, 1)
	go func() {
		sent <- s.send(ctx)
		_ = conn.Close()
	}()
	received := s.receive()
	cancel()
	_ = conn.Close()
	err := errors.Join(received, <-sent)
	s.forget()
	return fmt.Errorf("replicate to node %d: %w", follower, err)
}

// session is one follower's connection on the leader's side.
type session struct {
	conn     peer.Conn
	follower int32
	leaders  Leaders
	wake     chan struct{}

	mu     sync.Mutex
	places map[plog.ID]*place
	ready  []*place // to be looked at by the sender, each at most once
	late   []*place // whose watermark moved and waits for due
	due    *time.Timer
}

func newSession(conn peer.Conn, follower int32, leaders Leaders) *session {
	s := &session{
		conn: conn, follower: follower, leaders: leaders,
		places: make(map[plog.ID]*place), wake: make(chan struct{}, 1),
		due: time.NewTimer(lateness),
	}
	s.due.Stop()
	return s
}

// place is a partition of a session. session.mu guards it.
type place struct {
	Position
	led    Led
	cancel func()
	queued bool
	// accepted: the follower's log was a prefix of the leader's at the last
	// position. Nothing is sent to one that was refused: batches from there on
	// would hide that it diverges.
	accepted bool
	// wants: it asked, and was sent neither batches nor a refusal yet. Until
	// then it does not ask again, so a later position may take back neither.
	wants  bool
	refuse *Data
	sentHW int64
	late   bool // in session.late
	tell   bool // the watermark has waited for long enough
	gone   bool
	slow   *time.Timer // runs while the place waits for its ration
	// owed is the offset of the saved state that the follower needs before it
	// gets batches, stated that of the one that it was sent.
	owed, stated int64
}

// receive takes positions until the connection ends.
func (s *session) receive() error {
	var f Fetch
	for {
		msg, err := s.conn.Receive()
		if err != nil {
			return err
		}
		if err := s.received(msg, &f); err != nil {
			return err
		}
	}
}

// received takes a message; f is reused.
func (s *session) received(msg []byte, f *Fetch) error {
	if err := DecodeFetch(msg, f); err != nil {
		return err
	}
	for i := range f.Positions {
		if err := s.take(f.BrokerEpoch, &f.Positions[i]); err != nil {
			return err
		}
	}
	return nil
}

// take stores a position and tells the partition of it.
func (s *session) take(brokerEpoch uint64, p *Position) error {
	if p.Gone {
		s.remove(p.ID)
		return nil
	}
	pl, err := s.place(p.ID)
	if err != nil {
		return err
	}
	refuse, owed := s.judge(pl.led, brokerEpoch, p) // only this goroutine writes led
	s.mu.Lock()
	if p.LeaderEpoch != pl.LeaderEpoch || refuse != nil {
		pl.stated = 0 // it may not have taken it over, or is going to empty its log
	}
	pl.owed = owed
	pl.Position, pl.refuse, pl.accepted = *p, refuse, refuse == nil
	pl.wants = p.Wants || pl.wants
	answer := pl.wants || refuse != nil
	s.mu.Unlock()
	if answer {
		s.enqueue(pl)
	}
	return nil
}

// place finds or makes the session's entry of a partition, and binds it to the
// replica that the broker holds now.
func (s *session) place(id plog.ID) (*place, error) {
	led, _ := s.leaders.Led(id)
	s.mu.Lock()
	pl := s.places[id]
	if pl == nil {
		if len(s.places) >= maxSession {
			s.mu.Unlock()
			return nil, fmt.Errorf("%w: more than %d partitions", ErrMessage, maxSession)
		}
		pl = &place{sentHW: -1}
		s.places[id] = pl
	}
	if led == pl.led {
		s.mu.Unlock()
		return pl, nil
	}
	cancel := pl.cancel
	pl.led, pl.cancel, pl.sentHW = led, nil, -1
	s.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	if led != nil {
		cancel = led.Watch(func() { s.stirred(pl) })
		s.mu.Lock()
		pl.cancel = cancel
		s.mu.Unlock()
	}
	return pl, nil
}

// judge asks the partition whether the position is served; refuse is sent
// instead of batches, if it isn't. owed is the offset of the saved state that
// the follower needs, if it is.
func (s *session) judge(led Led, brokerEpoch uint64, p *Position) (refuse *Data, owed int64) {
	if led == nil {
		return &Data{ID: p.ID, Code: CodeNotLeader, LeaderEpoch: p.LeaderEpoch}, 0
	}
	a, err := led.Fetched(partition.Fetch{
		Node: s.follower, BrokerEpoch: brokerEpoch, LeaderEpoch: p.LeaderEpoch,
		Offset: p.Offset, Flushed: p.Flushed,
	}, p.LastEpoch)
	d := &Data{
		ID: p.ID, LeaderEpoch: p.LeaderEpoch,
		HighWatermark: max(a.HighWatermark, 0), LogStart: a.LogStart,
	}
	switch {
	case err != nil:
		d.Code = codeOf(err)
	case a.Diverging != nil:
		d.Code, d.DivergingEpoch, d.DivergingEnd = CodeDiverging, a.Diverging.Epoch, a.Diverging.End
	default:
		return nil, a.Owed
	}
	return d, 0
}

// codeOf maps a partition's refusal of a fetch.
func codeOf(err error) Code {
	switch {
	case errors.Is(err, partition.ErrOffsetTrimmed):
		return CodeBelowStart
	case errors.Is(err, partition.ErrStaleLeaderEpoch):
		return CodeStaleEpoch
	case errors.Is(err, partition.ErrUnknownLeaderEpoch):
		return CodeUnknownEpoch
	case errors.Is(err, partition.ErrStaleBrokerEpoch):
		return CodeStaleBroker
	case errors.Is(err, partition.ErrNotReplica):
		return CodeNotReplica
	case errors.Is(err, partition.ErrNotLeader):
		return CodeNotLeader
	}
	return CodeFailed
}

// stirred is told of any change of a partition. Only a follower that has asked
// is sent batches; to another the change is a watermark at most.
func (s *session) stirred(pl *place) {
	s.mu.Lock()
	wants := pl.wants
	s.mu.Unlock()
	if wants {
		s.enqueue(pl)
	} else {
		s.moved(pl)
	}
}

// moved has a watermark told when due, unless it goes with batches before.
func (s *session) moved(pl *place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if pl.late || pl.queued || pl.gone {
		return
	}
	pl.late = true
	s.late = append(s.late, pl)
	if len(s.late) == 1 {
		s.due.Reset(lateness)
	}
}

// overdue has the watermarks told that have waited.
func (s *session) overdue() {
	s.mu.Lock()
	late := s.late
	s.late = nil
	for _, pl := range late {
		pl.late, pl.tell = false, true
	}
	s.mu.Unlock()
	for _, pl := range late {
		s.enqueue(pl)
	}
}

// enqueue has the sender look at a partition.
func (s *session) enqueue(pl *place) {
	s.mu.Lock()
	if !pl.queued && !pl.gone {
		pl.queued = true
		s.ready = append(s.ready, pl)
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *session) remove(id plog.ID) {
	s.mu.Lock()
	pl := s.places[id]
	delete(s.places, id)
	var cancel func()
	if pl != nil {
		pl.gone, cancel = true, pl.cancel
		pl.rest()
	}
	s.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

// forget ends every subscription.
func (s *session) forget() {
	s.mu.Lock()
	places := s.places
	s.places = nil
	for _, pl := range places {
		pl.gone = true
		pl.rest()
	}
	s.mu.Unlock()
	for _, pl := range places {
		if pl.cancel != nil {
			pl.cancel()
		}
	}
}

// rest ends the wait for a ration; session.mu is held.
func (pl *place) rest() {
	if pl.slow != nil {
		pl.slow.Stop()
	}
}

// send answers what is ready until ctx ends or the connection does.
func (s *session) send(ctx context.Context) error {
	var msg []byte
	var batch []*place
	for {
		var err error
		if msg, batch, err = s.round(msg, batch); err != nil {
			return err
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-s.wake:
		case <-s.due.C:
			s.overdue()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// round answers the places that are ready, and returns them. Both buffers are
// reused.
func (s *session) round(msg []byte, spare []*place) ([]byte, []*place, error) {
	s.mu.Lock()
	batch := s.ready
	s.ready = spare[:0]
	s.mu.Unlock()
	for _, pl := range batch {
		var err error
		if msg, err = s.answer(msg, pl); err != nil {
			return msg, batch, err
		}
	}
	if len(msg) == 0 {
		return msg, batch, nil
	}
	err := s.conn.Send(msg)
	return shrink(msg), batch, err
}

// answer appends what there is to say of a partition; a full message is sent.
func (s *session) answer(msg []byte, pl *place) ([]byte, error) {
	s.mu.Lock()
	p, wants, refuse, sentHW, tell := pl.Position, pl.wants, pl.refuse, pl.sentHW, pl.tell
	pl.queued, pl.tell, pl.refuse = false, false, nil
	if refuse != nil {
		pl.wants = false
	}
	led, gone, accepted := pl.led, pl.gone, pl.accepted
	owes := led != nil && accepted && wants && refuse == nil && pl.owed > pl.stated
	if owes {
		pl.stated, pl.wants = pl.owed, false
	}
	s.mu.Unlock()
	switch {
	case gone:
		return msg, nil
	case refuse != nil:
		msg = AppendData(msg, refuse)
	case owes:
		msg = AppendData(msg, s.state(pl, led, &p))
	case led != nil && accepted:
		r := s.ration(led, wants)
		d, ok := s.look(led, &p, wants, r.room)
		if r.used(len(d.Batches)); r.wait > 0 {
			s.slow(pl, r.wait)
		}
		switch moved := d.HighWatermark > sentHW; {
		case ok || moved && tell:
		case moved:
			s.moved(pl)
			return msg, nil
		default:
			return msg, nil
		}
		s.answered(pl, &p, &d)
		msg = AppendData(msg, &d)
	}
	if len(msg) < maxAnswerBytes {
		return msg, nil
	}
	err := s.conn.Send(msg)
	return shrink(msg), err
}

// state reads the saved state that a follower is owed. If that fails the
// follower asks again, and gets no batches before.
func (s *session) state(pl *place, led Led, p *Position) *Data {
	d := &Data{ID: p.ID, LeaderEpoch: p.LeaderEpoch, Code: CodeState}
	var err error
	if d.Batches, err = led.SavedState(); err != nil || len(d.Batches) > maxStateBytes {
		d.Code, d.Batches = CodeFailed, nil
		s.mu.Lock()
		pl.stated = 0
		s.mu.Unlock()
	}
	return d
}

// look reads what a partition has for a position; ok if that is more than a
// watermark. There are no batches without room.
func (s *session) look(led Led, p *Position, wants bool, room int) (d Data, ok bool) {
	batches, a, err := led.Staged(p.LeaderEpoch, p.Offset, room)
	d = Data{ID: p.ID, LeaderEpoch: p.LeaderEpoch, HighWatermark: max(a.HighWatermark, 0), LogStart: a.LogStart}
	if err != nil {
		// A position that was refused once is not refused again and again:
		// the follower moves when metadata reaches it.
		d.Code = codeOf(err)
		return d, wants
	}
	d.Batches, d.Traced = batches, a.Traced
	return d, len(batches) > 0
}

// answered remembers what was sent, unless the position has moved meanwhile.
func (s *session) answered(pl *place, p *Position, d *Data) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.Code == CodeOK {
		pl.sentHW = d.HighWatermark
	}
	if pl.Offset == p.Offset && pl.LeaderEpoch == p.LeaderEpoch && (len(d.Batches) > 0 || d.Code != CodeOK) {
		pl.wants = false
	}
}

// shrink keeps a message's buffer for the next one, unless it has grown beyond
// what is usual.
func shrink(msg []byte) []byte {
	if cap(msg) > 2*maxAnswerBytes {
		return nil
	}
	return msg[:0]
}
