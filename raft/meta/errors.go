package meta

import (
	"errors"
	"fmt"
)

// The conditions under which a command is refused. The command changed
// nothing, on no node.
var (
	// ErrTopicExists: the name, or the id, is taken.
	ErrTopicExists = errors.New("topic already exists")
	// ErrUnknownTopic: no topic has that id.
	ErrUnknownTopic = errors.New("unknown topic")
	// ErrUnknownPartition: the topic has no partition of that number.
	ErrUnknownPartition = errors.New("unknown partition")
	// ErrUnknownBroker: the broker is not registered.
	ErrUnknownBroker = errors.New("unknown broker")
	// ErrStaleBrokerEpoch: the broker registered anew since.
	ErrStaleBrokerEpoch = errors.New("stale broker epoch")
	// ErrStaleLeaderEpoch: the partition has another leader or leader epoch.
	ErrStaleLeaderEpoch = errors.New("stale leader epoch")
	// ErrStalePartitionEpoch: the partition changed since.
	ErrStalePartitionEpoch = errors.New("stale partition epoch")
	// ErrIneligibleReplica: a broker that is to be in sync is fenced, not a
	// replica, or registered anew since.
	ErrIneligibleReplica = errors.New("ineligible replica")
	// ErrNotEnoughBrokers: an assignment names more brokers than there are,
	// or none of a partition's brokers is live.
	ErrNotEnoughBrokers = errors.New("not enough brokers")
	// ErrInvalidCommand: the command contradicts itself or a limit.
	ErrInvalidCommand = errors.New("invalid command")
	// ErrConflict: the value changed since, or is set already.
	ErrConflict = errors.New("conflict")
	// ErrNoElection: no leader can be elected, or the preferred one leads.
	ErrNoElection = errors.New("no leader to elect")
	// ErrRequestExpired: the request is too old to tell whether it was
	// applied before.
	ErrRequestExpired = errors.New("request is older than the dedup window")
)

// Conditions of bytes rather than of the cluster.
var (
	// ErrCorrupt: bytes that no release wrote.
	ErrCorrupt = errors.New("corrupt metadata")
	// ErrVersion: bytes of a newer release.
	ErrVersion = errors.New("metadata of a newer release")
)

// Code is an error's number in a result. Numbers are never reused.
type Code uint8

// codes maps numbers to sentinels; index 0 is success.
var codes = [...]error{
	1:  ErrTopicExists,
	2:  ErrUnknownTopic,
	3:  ErrUnknownPartition,
	4:  ErrUnknownBroker,
	5:  ErrStaleBrokerEpoch,
	6:  ErrStaleLeaderEpoch,
	7:  ErrStalePartitionEpoch,
	8:  ErrIneligibleReplica,
	9:  ErrNotEnoughBrokers,
	10: ErrInvalidCommand,
	11: ErrConflict,
	12: ErrNoElection,
	13: ErrRequestExpired,
}

// codeOf finds the number of the sentinel that err wraps.
func codeOf(err error) Code {
	for c, sentinel := range codes {
		if sentinel != nil && errors.Is(err, sentinel) {
			return Code(c)
		}
	}
	return 10
}

// Result is how a command went.
type Result struct {
	Code Code
	// Detail says more about a refusal.
	Detail string
	// Value is RegisterBroker's broker epoch, AllocateProducerIDs' first id,
	// MapProducer's id, a partition's new epoch, an entry's version; else 0.
	Value int64
	// Changed is the number of partitions that a sweep changed.
	Changed int32
	// More: the command is to be proposed again to do the rest.
	More bool
	// Duplicate: the request had been applied before; the rest is the first
	// result.
	Duplicate bool
	// Index is the raft index that the command was applied at (the first
	// time).
	Index uint64
}

// Err is nil for success, else an error that wraps the sentinel.
func (r Result) Err() error {
	if r.Code == 0 {
		return nil
	}
	if int(r.Code) >= len(codes) {
		return fmt.Errorf("%w: result code %d", ErrVersion, r.Code)
	}
	if r.Detail == "" {
		return codes[r.Code]
	}
	return fmt.Errorf("%w: %s", codes[r.Code], r.Detail)
}

// refuse makes a result of a refusal.
func refuse(err error, format string, args ...any) Result {
	return Result{Code: codeOf(err), Detail: fmt.Sprintf(format, args...)}
}
