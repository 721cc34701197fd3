package plog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chroniklog/chronik/storage/journal"
	"github.com/chroniklog/chronik/storage/segment"
	"github.com/chroniklog/chronik/storage/vfs"
)

// Store is a data directory: its logs, the journal that they share, and the
// goroutines that serve them.
type Store struct {
	opts     Options
	id       [16]byte
	lock     io.Closer
	journal  *journal.Journal
	segFiles *segment.Files
	tree     vfs.Tree // syncs all segments at once; nil where that isn't supported

	journaled atomic.Uint64 // LSN of the next frame to be durable
	files     atomic.Uint64 // highest number of a file so far
	unwritten atomic.Int64  // bytes not yet in segments
	cached    atomic.Int64  // cost of the tails
	grown     atomic.Int64  // bytes that recovery would have to read
	clock     atomic.Int64  // retention's, Unix milliseconds
	// nextBehind is from how many unwritten bytes on the background writer
	// looks again what to write behind.
	nextBehind atomic.Int64
	diskFull   atomic.Bool
	aborted    atomic.Bool

	mu       sync.RWMutex // guards what follows
	logs     map[ID]*Log
	replaced map[*Log]struct{} // older incarnations that are being deleted

	queueMu    sync.Mutex // guards what follows
	queue      []*Log     // dirty
	ops        []*op
	noOps      error // why no more operations are taken
	spareQueue []*Log
	wakeup     chan struct{} // one token: there is something in the queues

	// Of the committer.
	lsn        uint64 // of the next frame
	frames     []journal.Frame
	parts      []part
	directs    int   // parts that are written directly
	sinceSpace int64 // bytes written since the last look at the disk's space
	// turns is odd while a cycle runs; see Turns.
	turns atomic.Uint64

	man manual // of a store without goroutines

	// Of the background writer.
	seq        uint64 // of the last checkpoint
	weak       int    // the copy of it that is to be overwritten next
	writerWake chan struct{}

	requestMu  sync.Mutex // guards what follows
	requests   []request
	noRequests bool

	evicting    sync.Mutex // guards what follows
	cachedQueue refQueue

	trashMu   sync.Mutex // guards what follows
	garbage   []string   // files that no log knows any more
	emptying  bool       // some that were among them are being removed
	condemned []life     // corrupt logs that were replaced

	space    sync.Mutex // guards what follows
	lastLook time.Duration
	changed  chan struct{} // closed when there may be room again; nil: nobody waits

	maintaining sync.Mutex // held by a pass of maintenance; guards what follows
	clockAt     time.Duration
	clockSeen   bool
	paceDebt    time.Duration

	failMu sync.Mutex
	failed error

	committer sync.WaitGroup
	wg        sync.WaitGroup  // the other goroutines
	running   context.Context // of the background goroutines
	stop      context.CancelFunc
	stopping  chan struct{} // closed by Close and Abort
	closeOnce sync.Once
	closeErr  error
}

// MaxBatchBytes is the size of the largest batch that Append takes.
func (s *Store) MaxBatchBytes() int { return s.journal.MaxPayload() }

// Create returns the log of id, making it if the store has none. It does no
// I/O: files appear when there is something to write. incarnation numbers the
// lives of this replica: a log of an older one is deleted first (or put into
// quarantine if it is corrupt), and ErrStaleIncarnation says that the store
// has a newer one. ErrCorrupt: the log can't be used; only a newer incarnation
// helps.
func (s *Store) Create(id ID, cfg Config, incarnation uint32) (*Log, error) {
	if err := s.failure(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.logs[id]
	if l != nil && l.incarnation < incarnation {
		s.replaced[l] = struct{}{}
		s.submit(s.deletion(l)) // before anything that the new log appends
		l = nil
	}
	if l == nil {
		l = &Log{s: s, id: id, incarnation: incarnation, cfg: cfg, claimed: true}
		s.logs[id] = l
		return l, nil
	}
	if l.incarnation > incarnation {
		return nil, fmt.Errorf("create log %s: %w: %d, the store has %d", id, ErrStaleIncarnation, incarnation, l.incarnation)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone != nil {
		return nil, fmt.Errorf("create log %s: %w", id, l.gone)
	}
	l.cfg, l.claimed = cfg, true
	return l, nil
}

// Log returns the log of id, if the store has it.
func (s *Store) Log(id ID) (*Log, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	l, ok := s.logs[id]
	return l, ok
}

// IDs lists the logs, ordered. Those that were found on disk are among them
// whether Create was called for them or not.
func (s *Store) IDs() []ID { return s.list(func(*Log) bool { return true }) }

// Unclaimed lists the logs that were found on disk and for which Create was
// not called: their topics may be gone, or not known yet.
func (s *Store) Unclaimed() []ID {
	return s.list(func(l *Log) bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return !l.claimed
	})
}

func (s *Store) list(want func(*Log) bool) []ID {
	var ids []ID
	s.mu.RLock()
	for _, l := range s.logs {
		if want(l) {
			ids = append(ids, l.id)
		}
	}
	s.mu.RUnlock()
	slices.SortFunc(ids, compareIDs)
	return ids
}

// Size is the bytes of all logs. It looks at each for a moment, and holds no
// lock over all: some 10 ms with 100,000 logs.
func (s *Store) Size() (bytes int64) {
	for _, l := range s.snapshot() {
		bytes += l.Size()
	}
	return bytes
}

// snapshot is the logs of this moment, and those that are being deleted.
func (s *Store) snapshot() []*Log {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]*Log, 0, len(s.logs)+len(s.replaced))
	for _, l := range s.logs {
		all = append(all, l)
	}
	for l := range s.replaced {
		all = append(all, l)
	}
	if s.opts.Manual {
		return inOrder(all)
	}
	return all
}

// drop forgets a deleted log, unless another has its place already.
func (s *Store) drop(l *Log) {
	s.mu.Lock()
	if s.logs[l.id] == l {
		delete(s.logs, l.id)
	}
	delete(s.replaced, l)
	s.mu.Unlock()
}

// failure is ErrFailed with its cause once the store has failed.
func (s *Store) failure() error {
	s.failMu.Lock()
	defer s.failMu.Unlock()
	return s.failed
}

// fail makes the store refuse everything from now on. Only the first call
// counts.
func (s *Store) fail(cause error) {
	s.failMu.Lock()
	first := s.failed == nil
	if first {
		s.failed = fmt.Errorf("%w: %w", ErrFailed, cause)
	}
	s.failMu.Unlock()
	if first {
		s.refuseOps(s.failed)
		if s.opts.Fatal != nil {
			s.opts.Fatal(cause)
		}
		s.wake()
	}
}

// tellFailed fails every owner, and who waits for an operation.
func (s *Store) tellFailed(err error) {
	for _, l := range s.snapshot() {
		l.orphan(err)
	}
	s.refuseOps(err)
}

// orphan tells the log's owner that it won't hear of the log again.
func (l *Log) orphan(err error) {
	l.mu.Lock()
	o := l.owner
	l.owner = nil
	l.mu.Unlock()
	if o != nil {
		o.Failed(err)
	}
}

// refuseOps fails the operations that wait, and those to come.
func (s *Store) refuseOps(err error) {
	s.queueMu.Lock()
	ops := s.ops
	s.ops = nil
	if s.noOps == nil {
		s.noOps = err
	}
	s.queueMu.Unlock()
	for _, o := range ops {
		o.finish(err)
	}
}

// Close makes everything that was appended durable, and closes the directory.
// Owners should have stopped appending. When ctx ends first the rest is
// dropped, as Abort does; the journal holds what was acknowledged.
func (s *Store) Close(ctx context.Context) error {
	s.closeOnce.Do(func() {
		s.closeErr = s.close(ctx)
	})
	return s.closeErr
}

// Abort stops at once: nothing more is written, as if the process were killed.
// For tests.
func (s *Store) Abort() {
	s.closeOnce.Do(func() {
		s.aborted.Store(true)
		s.closeErr = s.close(context.Background())
	})
}

func (s *Store) close(ctx context.Context) error {
	close(s.stopping)
	s.stop()
	s.committer.Wait()
	s.refuseOps(ErrClosed) // before the writer is waited for: operations hold locks
	s.wg.Wait()
	s.maintaining.Lock() // a caller's pass is over
	defer s.maintaining.Unlock()
	var err error
	if s.failure() == nil && !s.aborted.Load() {
		undo := context.AfterFunc(ctx, func() { s.aborted.Store(true) })
		if err = s.checkpoint(true, true); s.aborted.Load() {
			err = context.Cause(ctx)
		}
		undo()
	}
	for _, l := range s.snapshot() {
		l.orphan(ErrClosed)
	}
	return errors.Join(err, s.closeFiles(), s.journal.Close(), s.lock.Close())
}

func (s *Store) closeFiles() error {
	err := s.segFiles.Close()
	if s.tree != nil {
		err = errors.Join(err, s.tree.Close())
	}
	return err
}
