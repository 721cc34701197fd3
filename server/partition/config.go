package partition

import (
	"time"

	"github.com/chroniklog/chronik/storage/record"
)

// Config is what of a topic's configuration a partition obeys.
type Config struct {
	// MaxMessageBytes bounds a record batch as stored, and so one record with
	// its overhead (max.message.bytes).
	MaxMessageBytes int
	// LogAppendTime replaces the clients' timestamps by the broker's
	// (message.timestamp.type).
	LogAppendTime bool
	// Compression is the codec of the batches that a partition packs itself:
	// compression.type, with "producer" and "uncompressed" meaning none.
	// Batches that a client built are stored as they come here.
	Compression record.Codec
	// MinISR is min.insync.replicas.
	MinISR int
	// Compact is set when cleanup.policy says compact: keys are required.
	Compact bool
}

// DefaultConfig is the configuration of a topic that sets nothing.
func DefaultConfig() Config {
	return Config{MaxMessageBytes: 1048588, Compression: record.CodecNone, MinISR: 1}
}

// Limits bounds what a partition remembers. Zero fields take the default.
type Limits struct {
	// Producers is how many idempotent producers are remembered; the one that
	// has been idle longest is forgotten first. Default 10,000.
	Producers int
	// ProducerIdle forgets producers that did not append for so long.
	// Default 24 h.
	ProducerIdle time.Duration
	// IdempotencyKeys is how many Idempotency-Keys are remembered, oldest
	// forgotten first. Default 100,000.
	IdempotencyKeys int
	// IdempotencyTTL forgets an Idempotency-Key. Default 24 h.
	IdempotencyTTL time.Duration
	// Keys is how many keys of a compacted topic are held in memory; the
	// others are looked up in the log. Default 200,000 (about 12 MiB).
	Keys int
	// FollowerLag is how long a follower may lag behind the log's end before
	// the leader proposes to remove it from the ISR. Default 10 s.
	FollowerLag time.Duration
}

// withDefaults fills what is zero.
func (l Limits) withDefaults() Limits {
	if l.Producers <= 0 {
		l.Producers = 10_000
	}
	if l.ProducerIdle <= 0 {
		l.ProducerIdle = 24 * time.Hour
	}
	if l.IdempotencyKeys <= 0 {
		l.IdempotencyKeys = 100_000
	}
	if l.IdempotencyTTL <= 0 {
		l.IdempotencyTTL = 24 * time.Hour
	}
	if l.Keys <= 0 {
		l.Keys = 200_000
	}
	if l.FollowerLag <= 0 {
		l.FollowerLag = 10 * time.Second
	}
	return l
}
