package middleware

import (
	"sync"
	"time"
)

// linesPerSecond is how many failed requests are logged each second: a node
// that fails at everything must not fill the disk with saying so. Metrics
// count them all.
const linesPerSecond = 20

// lineLimit bounds a kind of log line. The zero value is ready.
type lineLimit struct {
	mu      sync.Mutex
	second  int64
	lines   int
	dropped int
}

// allow tells whether a line may be written now, and how many were not since
// the last one that was.
func (l *lineLimit) allow(now time.Time) (ok bool, dropped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := now.Unix(); s != l.second {
		l.second, l.lines = s, 0
	}
	if l.lines == linesPerSecond {
		l.dropped++
		return false, 0
	}
	l.lines++
	dropped, l.dropped = l.dropped, 0
	return true, dropped
}
