package plog

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"strconv"
	"time"
)

// ID names a log: a topic's UUID and a partition of it.
type ID struct {
	Topic     [16]byte
	Partition int32
}

// String is the topic's UUID as hex, a slash, and the partition.
func (id ID) String() string {
	return hex.EncodeToString(id.Topic[:]) + "/" + strconv.Itoa(int(id.Partition))
}

// Cycle is one commit cycle: everything that was staged when it started was on
// disk when it ended.
type Cycle struct {
	ID        uint64
	Start     time.Time // the cycle took what was staged
	SyncStart time.Time
	End       time.Time // the sync returned
	Bytes     int64
	Batches   int
	Journal   bool // through the journal, else straight to segments
}

// Owner is the partition that feeds a log. Its methods are called from the
// commit goroutine; none may block or call back into the Store.
type Owner interface {
	// Seal: a cycle starts; append now what is packed.
	Seal()
	// Flushed: everything below end is on disk.
	Flushed(end int64, c *Cycle)
	// Failed: the store is dead; fail every waiter with an unknown outcome.
	Failed(err error)
}

func compareIDs(a, b ID) int {
	if c := bytes.Compare(a.Topic[:], b.Topic[:]); c != 0 {
		return c
	}
	return cmp.Compare(a.Partition, b.Partition)
}
