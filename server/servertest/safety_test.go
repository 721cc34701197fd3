package servertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/record"
	"github.com/chroniklog/chronik/storage/vfs"
)

// place is where a record lies.
type place struct {
	partition int32
	offset    int64
}

// ledger notes what producers were told.
type ledger struct {
	mu    sync.Mutex
	acked map[place]string
}

// produceFor appends to both partitions of topic t, from eight producers, until
// end returns; every producer ends with its first error.
func (l *ledger) produceFor(ctx context.Context, n *Node, round int, end func()) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				value := fmt.Sprintf("r%d-w%d-%d", round, w, i)
				at, err := appendValue(ctx, n.Broker, int32(i%2), value)
				if err != nil {
					return
				}
				l.mu.Lock()
				l.acked[at] = value
				l.mu.Unlock()
			}
		})
	}
	end()
	cancel()
	wg.Wait()
}

// awaitMore returns when n more records have been acknowledged.
func (l *ledger) awaitMore(t *testing.T, n int) {
	t.Helper()
	count := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.acked)
	}
	from := count()
	for deadline := time.Now().Add(2 * time.Minute); count() < from+n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("%d records were acknowledged in two minutes", count()-from)
			return
		}
	}
}

func appendValue(ctx context.Context, b *server.Broker, p int32, value string) (place, error) {
	pending, err := b.BeginRecord(ctx, "t", p, partition.RecordAppend{
		Value: []byte(value), Timestamp: -1, Acks: partition.AcksAll, Cond: partition.NoConditions,
	})
	if err != nil {
		return place{}, err
	}
	res, err := pending.Wait(ctx)
	return place{p, res.Offset}, err
}

// check reads both partitions and returns how the log breaks what was told.
func (l *ledger) check(t *testing.T, b *server.Broker) (records int, faults []string) {
	t.Helper()
	seen := map[string]place{}
	found := map[place]string{}
	for p := range int32(2) {
		for offset := int64(0); ; {
			res, err := b.Read(t.Context(), server.ReadRequest{Topic: "t", Partition: p, Offset: offset, MaxBytes: 1 << 20})
			if err != nil {
				return len(found), append(faults, fmt.Sprintf("read %d at %d: %v", p, offset, err))
			}
			if len(res.Batches) == 0 {
				break
			}
			offset = scan(t, res.Batches, offset, func(at int64, value string) {
				here := place{p, at}
				if before, ok := seen[value]; ok {
					faults = append(faults, fmt.Sprintf("%q lies at %v and %v", value, before, here))
				}
				seen[value], found[here] = here, value
			})
		}
	}
	for at, value := range l.acked {
		if found[at] != value {
			faults = append(faults, fmt.Sprintf("acknowledged %q at %v; there is %q", value, at, found[at]))
		}
	}
	return len(found), faults
}

// scan calls fn for each record from an offset on and returns the next offset.
func scan(t *testing.T, batches []byte, from int64, fn func(offset int64, value string)) int64 {
	t.Helper()
	var (
		reader record.Reader
		rec    record.Record
	)
	for len(batches) > 0 {
		batch, rest, err := record.Split(batches)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := reader.Reset(batch, 1<<20); err != nil {
			t.Fatal(err)
		}
		for reader.Next(&rec) {
			if rec.Offset < from {
				continue
			}
			if rec.Offset != from {
				t.Errorf("offset %d follows %d", rec.Offset, from-1)
			}
			fn(rec.Offset, string(rec.Value))
			from = rec.Offset + 1
		}
		batches = rest
	}
	return from
}

// TestEnds ends a node under load in every way; nothing that was acknowledged
// is lost, nothing is there twice.
func TestEnds(t *testing.T) {
	ways := map[string]func(n *Node, round int){
		"in order":   func(n *Node, _ int) { n.Restart() },
		"killed":     func(n *Node, _ int) { n.Kill(); n.Restart() },
		"power loss": func(n *Node, round int) { n.PowerLoss(uint64(round)) },
	}
	for name, end := range ways {
		t.Run(name, func(t *testing.T) {
			n := Start(t, Unchecked(), WithFS(vfs.NewMem()))
			create(t, n, `{"name":"t","partitions":2}`)
			l := ledger{acked: map[place]string{}}
			for round := range 6 {
				l.produceFor(t.Context(), n, round, func() {
					l.awaitMore(t, 40)
					end(n, round)
				})
			}
			records, faults := l.check(t, n.Broker)
			if len(faults) > 0 {
				t.Errorf("%d acknowledged, %d in the log: %v", len(l.acked), records, faults)
			}
		})
	}
}

// Without syncing, the same must fail: a check that passes anything is none.
func TestPowerLossNoticesMissingSyncs(t *testing.T) {
	for seed := range uint64(8) {
		n := Start(t, Unchecked(), WithFS(vfs.NewMem()), NoSync())
		create(t, n, `{"name":"t","partitions":2}`)
		l := ledger{acked: map[place]string{}}
		l.produceFor(t.Context(), n, 0, func() {
			time.Sleep(10 * time.Millisecond) // the load's duration
			n.Kill()
		})
		disk := n.o.fs.(*vfs.Mem).Crash(seed)
		n.o.fs = disk
		if lost(t, n, &l) {
			return
		}
	}
	t.Error("acknowledged records survived eight power losses without a sync: the check can't fail")
}

// lost starts the node again and tells whether it lost something; failing to
// start is a loss too.
func lost(t *testing.T, n *Node, l *ledger) bool {
	t.Helper()
	if err := n.tryStart(); err != nil {
		return true
	}
	_, faults := l.check(t, n.Broker)
	n.stop()
	return len(faults) > 0
}

// A sync that fails is the end: the page cache can't be trusted after it.
// Nothing is acknowledged from then on, and the node says so.
func TestSyncErrorIsTheEnd(t *testing.T) {
	disk := vfs.NewFault(vfs.OS())
	failed := make(chan error, 1)
	n := Start(t, Unchecked(), WithFS(disk), WithFatal(func(err error) { failed <- err }))
	create(t, n, `{"name":"t","partitions":2}`)
	if _, err := appendValue(t.Context(), n.Broker, 0, "before"); err != nil {
		t.Fatal(err)
	}
	disk.Add(vfs.Rule{Op: vfs.OpSync, Err: syscall.EIO})
	for range 3 {
		if _, err := appendValue(t.Context(), n.Broker, 0, "after"); err == nil {
			t.Fatal("a record was acknowledged by a disk that fails")
		} else if !errors.Is(err, server.ErrOutcomeUnknown) && !errors.Is(err, partition.ErrClosed) &&
			!errors.Is(err, server.ErrShuttingDown) {
			t.Errorf("append: %v", err)
		}
	}
	if err := <-failed; !errors.Is(err, syscall.EIO) {
		t.Errorf("the node failed with %v", err)
	}
	n.Kill()
	disk.Clear()
	n.Restart()
	if page := read(t, n, "t", 0, "offset=0"); len(page.Records) == 0 || page.Records[0].Value != "before" {
		t.Errorf("after the restart: %q", page.values())
	}
}
