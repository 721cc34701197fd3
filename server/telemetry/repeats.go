package telemetry

import (
	"log/slog"
	"sync"
	"time"
)

// Bounds of lines that say the same.
const (
	// repeatBurst is how many warnings or errors with one message may follow
	// each other at once.
	repeatBurst = 100
	// repeatEvery is the time after which one more may.
	repeatEvery = 10 * time.Second
	// maxRepeats bounds the messages that are remembered.
	maxRepeats = 512
)

// notLogged is the key of how many lines with the same message were left out
// before this one.
const notLogged = "not_logged"

// leaderTimeout is a warning that scripts count: each partition's is written.
const leaderTimeout = "leader timeout"

// repeats keeps a steady fault from filling the log: of the warnings and errors
// with one message a hundred are written at once, then one each ten seconds. A
// line after others that were left out tells how many.
type repeats struct {
	mu   sync.Mutex
	said map[string]*repeat
}

type repeat struct {
	tokens  int
	since   time.Time // of the last token
	dropped int
}

// allow tells whether a line is to be written, and adds to it how many were not.
func (p *repeats) allow(r *slog.Record) bool {
	if r.Level < slog.LevelWarn || r.Message == leaderTimeout {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.said[r.Message]
	if m == nil {
		if len(p.said) >= maxRepeats {
			clear(p.said) // messages made of changing text
		}
		m = &repeat{tokens: repeatBurst, since: r.Time}
		p.said[r.Message] = m
	}
	if n := int64(r.Time.Sub(m.since) / repeatEvery); n > 0 {
		m.tokens = int(min(int64(m.tokens)+n, repeatBurst))
		m.since = m.since.Add(time.Duration(n) * repeatEvery)
	}
	if m.tokens == 0 {
		m.dropped++
		return false
	}
	m.tokens--
	if m.dropped > 0 {
		r.AddAttrs(slog.Int(notLogged, m.dropped))
		m.dropped = 0
	}
	return true
}
