package loadgen

import (
	"time"

	"golang.org/x/sys/unix"
)

// sleepUntil blocks the thread until at.
func sleepUntil(at time.Time) {
	for wait := time.Until(at); wait > 0; wait = time.Until(at) {
		ts := unix.NsecToTimespec(int64(wait))
		_ = unix.Nanosleep(&ts, nil) // an early end is caught by the loop
	}
}
