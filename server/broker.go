// Package server is the broker: the façade that the HTTP and Kafka adapters
// stand on. It joins the metadata that the cluster agrees on (raft) with the
// partitions that this node holds (replica, over one plog.Store).
//
// # Life
//
//	b := server.New(options)                    // knows nothing yet
//	node, err := raft.Open(ctx, raft.Options{OnApply: b.Applied, …})
//	err = b.Start(ctx, node, store)             // registered, caught up, serving
//	…
//	b.Drain()                                   // streams end, readiness is gone
//	err = b.Close(ctx)                          // replicas synced and closed
//
// # Metadata
//
// The metadata image is changed by the raft loop, which must never wait. It
// tells the broker what was touched (Applied); one goroutine, the reconciler,
// reads the touched topics from the image and updates the directory that
// requests are served from. A change that was made through this node is
// answered when the directory shows it.
//
// # Partitions
//
// A partition costs some 200 bytes until it is first used: its log and its
// replica are opened by the first request that wants them. What the metadata
// says of it reaches an open replica at once. Deleting a topic closes its
// replicas and removes their logs.
//
// # Errors
//
// See errors.go. What a partition can't know (where the leader is, why it was
// closed) is added on the way out; everything else passes wrapped.
package server

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/chroniklog/chronik/raft"
	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/server/replica"
	"github.com/chroniklog/chronik/server/telemetry"
	"github.com/chroniklog/chronik/storage/plog"
)

// Metadata is what the broker asks of the metadata log; *raft.Node is one.
type Metadata interface {
	// Propose waits until the command is applied, here or at the controller.
	Propose(ctx context.Context, cmd meta.Command) (meta.Result, error)
	// Await waits until what was applied at index is applied here.
	Await(ctx context.Context, index uint64) error
	// View reads the image under its read lock.
	View(func(*meta.Image))
	Status() raft.Status
	// Quorum asks the controller how far the members have come.
	Quorum(ctx context.Context) (raft.Quorum, error)
	// Ready is closed once a leader is known and the image has caught up.
	Ready() <-chan struct{}
	Members
}

// Options configure a Broker. Node, Now, Logger and Metrics are required.
type Options struct {
	Node NodeID
	// Incarnation is random, made anew by each start of the process;
	// Directory by each creation of the data directory.
	Incarnation, Directory [16]byte
	// HTTP, Kafka and Peer are the advertised addresses, host:port.
	HTTP, Kafka, Peer string

	Now     func() time.Time
	Logger  *slog.Logger
	Metrics *telemetry.Metrics
	Tracer  trace.Tracer // nil: no spans

	// AutoCreate lets ResolveTopic create topics.
	AutoCreate bool
	// Partitions, Replication and MinInsync are the defaults of new topics.
	// Replication 0 is min(3, members); MinInsync 0 follows the replication.
	Partitions  int32
	Replication int16
	MinInsync   int16
	// MaxPartitions bounds the partitions of all topics together.
	MaxPartitions int
	// MaxBatchRecords and MaxDecompressed bound one batch.
	MaxBatchRecords, MaxDecompressed int

	// Mutation is for tests of the tests.
	Mutation Mutation
}

// Broker is one node's view of the cluster and its own partitions. Its methods
// may be called concurrently once Start has returned.
type Broker struct {
	o          Options
	meta       Metadata
	store      *plog.Store
	peers      Peers // nil: alone
	epoch      atomic.Uint64
	roles      roleQueue
	isr        proposals
	dir        *directory
	appends    *telemetry.Appends
	replicates *telemetry.Replicates
	counters   counters
	pids       pidBlock
	names      producerNames
	touched    touched
	observed   observed
	// addresses of the nodes' APIs.
	addresses addresses

	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	wg       sync.WaitGroup  // reconciler, reaper
	drained  context.Context // ends with Drain
	drain    context.CancelFunc
	draining <-chan struct{}
	reap     reapQueue
	builders *replica.Builders
}

// counters are the metrics of the append path, resolved once.
type counters struct {
	records, recordBytes, batchRecords, batchBytes prometheus.Counter
}

// New makes a broker that serves nothing yet.
func New(o Options) *Broker {
	ctx, cancel := context.WithCancel(context.Background())
	drained, drain := context.WithCancel(context.Background())
	m := o.Metrics
	return &Broker{
		o: o, dir: newDirectory(), appends: telemetry.NewAppends(o.Tracer, m.Traced),
		replicates: telemetry.NewReplicates(o.Tracer), ctx: ctx, cancel: cancel,
		counters: counters{
			records: m.Records.WithLabelValues("record"), recordBytes: m.Bytes.WithLabelValues("record"),
			batchRecords: m.Records.WithLabelValues("batch"), batchBytes: m.Bytes.WithLabelValues("batch"),
		},
		drained: drained, drain: drain, draining: drained.Done(),
		roles: newRoleQueue(), isr: newProposals(), touched: newTouched(), reap: newReapQueue(), names: newProducerNames(),
		builders: new(replica.Builders),
	}
}

// Start waits until the metadata has caught up, registers this process (which
// gives every partition that the node led a new epoch, so that nothing of the
// last process's unsynced tail is continued), and begins to serve.
func (b *Broker) Start(ctx context.Context, m Metadata, store *plog.Store) error {
	b.meta, b.store = m, store
	select {
	case <-m.Ready():
	case <-ctx.Done():
		return fmt.Errorf("start broker: %w: %w", ErrUnavailable, context.Cause(ctx))
	}
	if err := b.register(ctx); err != nil {
		return fmt.Errorf("start broker: %w", err)
	}
	b.reconcileAll()
	if err := b.adoptLogs(ctx); err != nil {
		return fmt.Errorf("start broker: %w", err)
	}
	b.wg.Go(b.reconciler)
	b.wg.Go(b.casting)
	b.wg.Go(b.proposing)
	b.wg.Go(b.reaper)
	return nil
}

// Drain begins the shutdown: Draining is closed, waiting reads return, streams
// end. Requests are still served.
func (b *Broker) Drain() { b.drain() }

// Draining is closed when the node begins to shut down: streams must end with
// an "end" event so that their clients go elsewhere.
func (b *Broker) Draining() <-chan struct{} { return b.draining }

// Close ends the background work and closes every replica: what was accepted
// is synced, what can't be answered any more fails. The store and the metadata
// log stay open. When ctx ends first the rest is abandoned, which loses
// nothing that was acknowledged.
func (b *Broker) Close(ctx context.Context) error {
	b.Drain()
	b.cancel()
	b.wg.Wait()
	err := b.closeReplicas(ctx)
	b.appends.Wait()
	b.replicates.Wait()
	return err
}
