package config

import "math"

// What a node holds in memory by its own choice is given these shares of the
// memory that it may use, up to what is enough for any machine. In-flight
// bytes count four times: HTTP's bodies, Kafka's requests, what those decode
// into, and answers. With everything full that is eleven sixteenths; the rest
// is the metadata store's, connections' and the collector's.
const (
	inFlightShare = 16
	tailShare     = 16
	unwrittenPart = 8
	keysShare     = 16

	mostInFlight  = 256 << 20
	mostTail      = 128 << 20
	mostUnwritten = 256 << 20
	mostKeys      = 64 << 20

	leastSize = 1 << 20 // what Validate asks of each
)

// Unlimited is a memory that no size has to shrink for.
const Unlimited = math.MaxInt64

// Fit returns c with the sizes that were left open (0) chosen for a process
// that may use memory bytes, in whole MiB. A size that was given is kept. What one batch
// needs (MaxBatchBytes) is never undercut.
func (c Config) Fit(memory int64) Config {
	fit := func(size *Bytes, share, least, most int64) {
		if *size == 0 {
			*size = Bytes(max(min(memory/share&^(1<<20-1), most), least))
		}
	}
	batch := max(int64(c.MaxBatchBytes), leastSize)
	fit(&c.MaxInFlightBytes, inFlightShare, batch, max(mostInFlight, batch))
	fit(&c.TailCacheBytes, tailShare, leastSize, mostTail)
	fit(&c.MaxUnwrittenBytes, unwrittenPart, batch, max(mostUnwritten, batch))
	fit(&c.CompactionBytes, keysShare, leastSize, mostKeys)
	return c
}
