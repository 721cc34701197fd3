package plog

import (
	"errors"
	"fmt"
)

// The conditions that this package reports.
var (
	// ErrCorrupt: something that was durable once can't be read any more. The
	// text names the log and the file. Nothing was deleted.
	ErrCorrupt = errors.New("log is corrupt")
	// ErrTrimmed: the offset is below the log's start.
	ErrTrimmed = errors.New("offset was trimmed")
	// ErrBeyondEnd: the offset is above the log's end.
	ErrBeyondEnd = errors.New("offset is beyond the end of the log")
	// ErrUnknownLog: the store has no log of that ID.
	ErrUnknownLog = errors.New("unknown log")
	// ErrDeleted: the log was deleted, or replaced by a newer incarnation.
	ErrDeleted = errors.New("log is deleted")
	// ErrStaleIncarnation: the store has a newer incarnation of the log.
	ErrStaleIncarnation = errors.New("stale incarnation of the log")
	// ErrDiskFull: the disk's free space has reached the reserve. Appends are
	// refused, reads go on; it ends when space returns. Retryable.
	ErrDiskFull = errors.New("disk is full")
	// ErrBacklog: the bytes not yet in segments stayed at their cap while the
	// caller waited. Retryable.
	ErrBacklog = errors.New("too many bytes are not yet in segments")
	// ErrClosed: the store is closed.
	ErrClosed = errors.New("store is closed")
	// ErrFailed: a write or sync failed; what the disk holds is unknown, and
	// the process must end. Options.Fatal was called with the cause.
	ErrFailed = errors.New("storage has failed")
	// ErrFormat: the data directory is of another format version, or none.
	ErrFormat = errors.New("data directory has an unknown format")
)

// corrupt names a log and a file.
func corrupt(id ID, file string, format string, args ...any) error {
	return fmt.Errorf("%w: log %s, %s: %s", ErrCorrupt, id, file, fmt.Sprintf(format, args...))
}
