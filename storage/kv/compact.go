package kv

import "log/slog"

// When tables are merged.
const (
	level0Tables = 4  // above that many of level 0 they are
	level0Stall  = 10 // at that many writes wait for it
	// compactEvery is how many bytes are written between two looks: below what
	// fills a memtable, whose own overhead is not counted here.
	compactEvery = 4 << 20
)

// compactor merges tables when enough was written. Badger's own compactors look
// for work twenty times a second each, which was a third of what an idle node
// did; an idle store wakes nobody.
type compactor struct {
	written int // since the last look; DB.mu guards it
	wake    chan struct{}
	ended   chan struct{}
}

func newCompactor() compactor {
	c := compactor{wake: make(chan struct{}, 1), ended: make(chan struct{})}
	c.wake <- struct{}{} // what an earlier process left
	return c
}

// wrote counts the bytes of a write.
func (c *compactor) wrote(n int) {
	c.written += n
	if c.written < compactEvery {
		return
	}
	c.written = 0
	select {
	case c.wake <- struct{}{}:
	default: // it looks again after what it does now
	}
}

// stop ends the compactor after the merge that runs.
func (c *compactor) stop() {
	close(c.wake)
	<-c.ended
}

// compact is the compactor's goroutine, until stop. A merge that fails, or for
// which there is no room, is tried again when more was written. It takes no
// lock: who writes holds DB.mu while it waits for this.
func (d *DB) compact(l *slog.Logger) {
	defer close(d.compactor.ended)
	for range d.compactor.wake {
		for d.db.Levels()[0].NumTables > level0Tables && d.space.room(0) == nil {
			if err := d.db.Flatten(1); err != nil {
				l.Warn("merge tables", "dir", d.dir, "error", err)
				break
			}
		}
	}
}
