//go:build !linux

package loadgen

import "time"

// sleepUntil blocks the goroutine until at, as exactly as the runtime's timers
// allow.
func sleepUntil(at time.Time) { time.Sleep(time.Until(at)) }
