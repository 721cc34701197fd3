package chaos

import (
	"fmt"
	"sync"
	"time"
)

// Place is where a record lies.
type Place struct {
	Partition int32
	Offset    int64
}

// History is what clients were told. It is written by Load's clients and read
// by Check once they have ended.
type History struct {
	mu sync.Mutex
	// Acked maps acknowledged values to where they were said to lie.
	Acked map[string]Place
	// Sent are all values that were ever sent.
	Sent map[string]bool
	// Refused are values of which every answer said that they were not
	// applied.
	Refused map[string]bool
	// Seen is what readers saw, by place.
	Seen map[Place]string
	// Duplicates counts answers that said "duplicate".
	Duplicates int
	// Faults are answers that break a promise by themselves.
	Faults []string

	lastAck time.Time
	gap     time.Duration
}

// NewHistory is empty.
func NewHistory() *History {
	return &History{
		Acked: map[string]Place{}, Sent: map[string]bool{}, Refused: map[string]bool{}, Seen: map[Place]string{},
	}
}

// Gap is the longest time without any acknowledgement since the last call.
func (h *History) Gap() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	gap := h.gap
	if !h.lastAck.IsZero() {
		gap = max(gap, time.Since(h.lastAck))
	}
	h.gap = 0
	return gap
}

// Counts are the values that were sent and acknowledged so far.
func (h *History) Counts() (sent, acked int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.Sent), len(h.Acked)
}

func (h *History) sent(value string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Sent[value] = true
}

// refused notes a value that was sent once and not applied.
func (h *History) refused(value string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Refused[value] = true
}

func (h *History) acked(value string, at Place, duplicate, mayRepeat bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if !h.lastAck.IsZero() {
		h.gap = max(h.gap, now.Sub(h.lastAck))
	}
	h.lastAck = now
	h.Acked[value] = at
	if duplicate {
		h.Duplicates++
		if !mayRepeat {
			h.Faults = append(h.Faults, value+" was called a duplicate though it was sent once")
		}
	}
}

func (h *History) saw(at Place, value string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if before, ok := h.Seen[at]; ok && before != value {
		h.Faults = append(h.Faults, fmt.Sprintf("%v changed from %q to %q", at, before, value))
	}
	h.Seen[at] = value
}

func (h *History) fault(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.Faults) < 100 {
		h.Faults = append(h.Faults, fmt.Sprintf(format, args...))
	}
}
