package api

import "time"

// Limits bound what a client can make the node hold. GET /v1/cluster declares
// them. Zero fields take the defaults of DefaultLimits.
type Limits struct {
	// MaxRecordBytes is the largest body of POST …/records and PUT
	// …/keys/{key}, compressed or not. A topic's max.message.bytes may be
	// lower. Default 1 MiB.
	MaxRecordBytes int64
	// MaxBatchBytes is the largest body of POST …/batches, and the most that a
	// streamed NDJSON body may have in flight. Default 10 MiB.
	MaxBatchBytes int64
	// MaxBatchRecords is the most records of one JSON batch. Default 10,000.
	MaxBatchRecords int
	// MaxControlBytes is the largest body of the control plane. Default 1 MiB.
	MaxControlBytes int64
	// MaxInFlightBytes is the most bytes of request bodies that the node holds
	// at once; beyond it requests get 429. Default 256 MiB.
	MaxInFlightBytes int64
	// MaxReadRecords is the largest limit of a read. Default 1,000.
	MaxReadRecords int
	// MaxReadBytes is the largest max_bytes of a read. Default 10 MiB.
	MaxReadBytes int64
	// MaxWait is the longest long-poll. Default 60 s.
	MaxWait time.Duration
	// MaxHeaders is the most record headers of one record. Default 100.
	MaxHeaders int
	// MaxHeaderBytes is the most bytes of one record's headers, names and
	// values. Default 32 KiB.
	MaxHeaderBytes int
	// MaxKeyBytes is the largest record key. Default 32 KiB.
	MaxKeyBytes int
	// MaxRatio is the most times a compressed body may grow once it has passed
	// 1 MiB decompressed. Default 250.
	MaxRatio int64
	// Heartbeat is the longest silence of a live stream. Default 15 s.
	Heartbeat time.Duration
	// AppendTimeout is how long an append may wait for its answer before it is
	// 504 outcome_unknown. Default 30 s.
	AppendTimeout time.Duration
	// BodyTimeout is how long a body may take to arrive. Default 30 s; the
	// NDJSON stream renews it with every line.
	BodyTimeout time.Duration
	// MaxPage is the largest page of a list. Default 1,000.
	MaxPage int
}

// DefaultLimits are the limits that openapi.yaml declares.
func DefaultLimits() Limits {
	return Limits{
		MaxRecordBytes: 1 << 20, MaxBatchBytes: 10 << 20, MaxBatchRecords: 10_000,
		MaxControlBytes: 1 << 20, MaxInFlightBytes: 256 << 20,
		MaxReadRecords: 1_000, MaxReadBytes: 10 << 20, MaxWait: time.Minute,
		MaxHeaders: 100, MaxHeaderBytes: 32 << 10, MaxKeyBytes: 32 << 10, MaxRatio: 250,
		Heartbeat: 15 * time.Second, AppendTimeout: 30 * time.Second, BodyTimeout: 30 * time.Second,
		MaxPage: 1_000,
	}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	orDefault(&l.MaxRecordBytes, d.MaxRecordBytes)
	orDefault(&l.MaxBatchBytes, d.MaxBatchBytes)
	orDefault(&l.MaxBatchRecords, d.MaxBatchRecords)
	orDefault(&l.MaxControlBytes, d.MaxControlBytes)
	orDefault(&l.MaxInFlightBytes, d.MaxInFlightBytes)
	orDefault(&l.MaxReadRecords, d.MaxReadRecords)
	orDefault(&l.MaxReadBytes, d.MaxReadBytes)
	orDefault(&l.MaxWait, d.MaxWait)
	orDefault(&l.MaxHeaders, d.MaxHeaders)
	orDefault(&l.MaxHeaderBytes, d.MaxHeaderBytes)
	orDefault(&l.MaxKeyBytes, d.MaxKeyBytes)
	orDefault(&l.MaxRatio, d.MaxRatio)
	orDefault(&l.Heartbeat, d.Heartbeat)
	orDefault(&l.AppendTimeout, d.AppendTimeout)
	orDefault(&l.BodyTimeout, d.BodyTimeout)
	orDefault(&l.MaxPage, d.MaxPage)
	return l
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}
