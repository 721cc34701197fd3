package plog

import (
	"crypto/rand"
	"io"
	"log/slog"
	"time"

	"github.com/chroniklog/chronik/storage/vfs"
)

// Options makes a Store. Dir and Fatal are required.
type Options struct {
	FS     vfs.FS // default vfs.OS()
	Dir    string // data directory, made if it is missing
	Logger *slog.Logger
	// Now is the wall clock, for retention and Cycle's times.
	Now func() time.Time
	// Monotonic is a clock that nobody sets; its zero doesn't matter.
	// Retention believes it more than Now. Default: since Open.
	Monotonic func() time.Duration
	// Random makes the store's id; default crypto/rand.
	Random io.Reader

	// JournalFileBytes is the size of a journal file; it bounds a batch
	// (MaxBatchBytes). Default 64 MiB.
	JournalFileBytes int64
	// MaxUnwritten caps the bytes that are not yet in segments. They are
	// pinned in memory. Beyond it Reserve waits. Default 256 MiB.
	MaxUnwritten int64
	// WriteBehindBytes is how many journaled bytes may wait before they are
	// written to segments in the background. Default MaxUnwritten/8.
	WriteBehindBytes int64
	// CheckpointBytes of live journal, or of bytes written straight to
	// segments, cause a checkpoint. It bounds what recovery reads. Default
	// 2 × JournalFileBytes.
	CheckpointBytes int64
	// DirectBytes is how much of one log a cycle must hold to go straight to
	// its segment. Default 512 KiB; negative: never.
	DirectBytes int64
	// TailBytes is the memory for recent batches of all logs together.
	// Default 64 MiB.
	TailBytes int64
	// MaxOpenFiles bounds the segment and index files that are open. Default
	// 1024.
	MaxOpenFiles int
	// ReserveBytes of the disk stay free: appends are refused before. Default
	// 1 GiB, but at most 5 % of the disk; negative: none.
	ReserveBytes   int64
	reserveDefault bool

	// MaintenanceInterval is the pause between passes of retention,
	// compaction and scrub. Default 30 s; negative: only Maintain does them.
	MaintenanceInterval time.Duration
	// CompactionMemory bounds the map of keys of one compaction pass, in
	// bytes. Default 64 MiB.
	CompactionMemory int64
	// MaintenanceRate bounds what compaction and scrub read, in bytes per
	// second. Default 64 MiB; negative: no bound.
	MaintenanceRate int64
	// ScrubInterval is the time in which every sealed segment is read once.
	// Default 7 days; negative: never.
	ScrubInterval time.Duration

	// Fatal is called once, with the cause, when a write or a sync fails. It
	// must end the process: what the disk holds is unknown.
	Fatal func(error)
	// OnCorrupt is told of a log whose durable bytes can't be read. With it,
	// Open goes on with the other logs; without, Open fails. It must not
	// block.
	OnCorrupt func(ID, error)
	Metrics   *Metrics

	treeFiles int // see defaultTreeFiles; tests set it
	// pause is called where others may come between; tests set it.
	pause func(where string)

	// NoSync skips every sync: a mutation, for tests that must fail then.
	NoSync bool
	// Manual starts no goroutine; see StartCycle. For simulators.
	Manual bool
}

// Metrics are told what the store does. Nil funcs are skipped; none may block.
type Metrics struct {
	Cycle      func(*Cycle)                          // a commit cycle ended
	Backlog    func(bytes int64)                     // bytes not yet in segments, after each cycle
	Journal    func(files int, bytes int64)          // live journal, after each checkpoint
	Checkpoint func(took time.Duration, bytes int64) // bytes: of the checkpoint file
	Retained   func(segments int, bytes int64)       // removed by retention
	Compacted  func(before, after int64)             // bytes of the segments that a pass rewrote
	Scrubbed   func(bytes int64)
	Corrupt    func()
}

func (o *Options) setDefaults() {
	if o.FS == nil {
		o.FS = vfs.OS()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Monotonic == nil {
		start := time.Now()
		o.Monotonic = func() time.Duration { return time.Since(start) }
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Metrics == nil {
		o.Metrics = &Metrics{}
	}
	if o.pause == nil {
		o.pause = func(string) {}
	}
	o.sizes()
}

func (o *Options) sizes() {
	def := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	def(&o.JournalFileBytes, 64<<20)
	def(&o.MaxUnwritten, 256<<20)
	def(&o.WriteBehindBytes, o.MaxUnwritten/8)
	def(&o.CheckpointBytes, 2*o.JournalFileBytes)
	def(&o.DirectBytes, 512<<10)
	def(&o.TailBytes, 64<<20)
	o.reserveDefault = o.ReserveBytes == 0
	def(&o.ReserveBytes, 1<<30)
	def(&o.CompactionMemory, 64<<20)
	def(&o.MaintenanceRate, 64<<20)
	if o.treeFiles == 0 {
		o.treeFiles = defaultTreeFiles
	}
	if o.MaxOpenFiles == 0 {
		o.MaxOpenFiles = 1024
	}
	if o.MaintenanceInterval == 0 {
		o.MaintenanceInterval = 30 * time.Second
	}
	if o.ScrubInterval == 0 {
		o.ScrubInterval = 7 * 24 * time.Hour
	}
}

// Config is what a topic's configuration means to its logs. The zero value
// keeps everything, in segments of 1 GiB.
type Config struct {
	SegmentBytes int64         // a segment is sealed before it exceeds this; 0: 1 GiB
	SegmentAge   time.Duration // maintenance seals a segment of that age; 0: never
	// Delete removes old records (cleanup.policy=delete): those older than
	// Retention (0 or less: none are), and the oldest above RetentionBytes (0
	// or less: no bound).
	Delete         bool
	Retention      time.Duration
	RetentionBytes int64
	// Compact keeps only the last record of each key (cleanup.policy=compact).
	Compact bool
	// MinCompactionLag protects younger records from compaction.
	MinCompactionLag time.Duration
	// MaxCompactionLag makes a compacted log worth compacting, whatever is new
	// in it, when a segment that was not is so old, and seals the active one
	// then. 0: never.
	MaxCompactionLag time.Duration
	// DeleteRetention is how long a tombstone outlives its first compaction.
	DeleteRetention time.Duration
	// MinDirtyRatio of a log's bytes must be new since the last compaction
	// for maintenance to compact it (min.cleanable.dirty.ratio); 0: 0.5.
	MinDirtyRatio float64
}

// sealAge is the age at which an active segment is sealed; 0: at none.
func (c *Config) sealAge() time.Duration {
	if c.Compact && c.MaxCompactionLag > 0 && (c.SegmentAge <= 0 || c.MaxCompactionLag < c.SegmentAge) {
		return c.MaxCompactionLag
	}
	return c.SegmentAge
}

const maxSegmentBytes = 1<<32 - 1<<20 // positions in an index are 32 bits

func (c *Config) segmentBytes() int64 {
	if c.SegmentBytes <= 0 {
		return 1 << 30
	}
	return min(c.SegmentBytes, maxSegmentBytes)
}
