package node

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"path"
	"time"

	"github.com/chroniklog/chronik/api"
	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/server/telemetry"
	"github.com/chroniklog/chronik/storage/plog"
	"github.com/chroniklog/chronik/web"
)

// maxDecompressed bounds one batch after decompression, whatever its codec
// promises.
const maxDecompressed = 256 << 20

// The disk's space that stays free of records: a share of it, but enough for
// the metadata log to go on in, which needs some for deletions to make room.
const (
	reserveShare = 20 // a 20th, 5 %
	leastReserve = 96 << 20
	mostReserve  = 1 << 30
)

// reserve is the free space at which appends are refused.
func (n *Node) reserve() (int64, error) {
	_, total, err := n.o.FS.Free(n.dir.path)
	if err != nil {
		return 0, fmt.Errorf("ask for the disk's free space: %w", err)
	}
	return min(max(total/reserveShare, leastReserve), mostReserve), nil
}

// openStore opens the logs.
func (n *Node) openStore(ctx context.Context) error {
	reserve, err := n.reserve()
	if err != nil {
		return err
	}
	n.store, err = plog.Open(ctx, plog.Options{
		FS: n.o.FS, Dir: path.Join(n.dir.path, logsDir), Logger: n.log.With("part", "store"), Now: n.o.Now,
		JournalFileBytes: int64(n.cfg.JournalBytes), MaxUnwritten: int64(n.cfg.MaxUnwrittenBytes),
		TailBytes: int64(n.cfg.TailCacheBytes), MaxOpenFiles: n.cfg.MaxOpenFiles, ReserveBytes: reserve,
		CompactionMemory: int64(n.cfg.CompactionBytes), MaintenanceInterval: n.cfg.RetentionCheckInterval,
		OnCorrupt: n.broker.Corrupt, Fatal: n.fail, Metrics: n.metrics.Store(), NoSync: n.o.NoSync,
	})
	if err != nil {
		return fmt.Errorf("open logs: %w", err)
	}
	return nil
}

// enterCluster gives a new cluster its identity and binds the data directory
// to it.
func (n *Node) enterCluster(ctx context.Context) error {
	id := n.clusterID()
	if id == "" {
		var secret [32]byte
		_, _ = rand.Read(secret[:]) // never fails (crypto/rand since Go 1.24)
		cmd := &meta.SetClusterInfo{ID: newUUID(), Secret: secret[:]}
		res, err := n.raft.Propose(ctx, cmd)
		if err == nil {
			err = res.Err()
		}
		// A conflict means that another node was faster.
		if err != nil && !errors.Is(err, meta.ErrConflict) {
			return fmt.Errorf("name the cluster: %w", err)
		}
		if err := n.raft.Await(ctx, res.Index); err != nil {
			return fmt.Errorf("name the cluster: %w", err)
		}
		id = n.clusterID()
	}
	return n.dir.enter(id)
}

func (n *Node) clusterID() (id string) {
	n.raft.View(func(img *meta.Image) { id = img.ClusterID() })
	return id
}

// newUUID makes a random UUID (version 4) as text.
func newUUID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand since Go 1.24)
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	s := hex.EncodeToString(id[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// bind takes the addresses of the listeners.
func (n *Node) bind() error {
	conns := newConnCounter(n.cfg.MaxConnections, n.registry)
	var err error
	if n.web, err = bindWeb("http", n.cfg.HTTP, conns, n.log); err != nil {
		return err
	}
	if err := n.bindKafka(conns); err != nil {
		return err
	}
	if err := n.bindPeers(); err != nil {
		return err
	}
	if n.cfg.Ops == "" {
		return nil
	}
	if n.ops, err = bindWeb("ops", n.cfg.Ops, newOpsConnCounter(), n.log); err != nil {
		return err
	}
	return nil
}

// serve begins to answer.
func (n *Node) serve() {
	deps := api.Deps{
		Broker: n.broker, Groups: n.groupFront(), Logger: n.log, Registry: n.registry, Gatherer: n.registry,
		Tracer: n.tracing.Tracer(), Now: n.o.Now, AllowedHosts: n.allowedHosts(),
		AllowedOrigins: n.cfg.AllowedOrigins, Ready: n.checks,
		Version: n.o.Version, SplitOps: n.ops != nil, TraceURL: n.cfg.TraceURL, Console: web.New(),
		Limits: api.Limits{
			MaxRecordBytes: int64(n.cfg.MaxRecordBytes), MaxBatchBytes: int64(n.cfg.MaxBatchBytes),
			MaxBatchRecords: n.cfg.MaxBatchRecords, MaxInFlightBytes: int64(n.cfg.MaxInFlightBytes),
		},
	}
	n.web.serve(api.New(deps))
	n.serveKafka()
	if n.ops != nil {
		n.ops.serve(api.NewOps(deps))
	}
}

// allowedHosts are the names in Host headers that mean this node: those that
// were configured and those it listens on or is advertised under.
func (n *Node) allowedHosts() []string {
	hosts := append([]string(nil), n.cfg.AllowedHosts...)
	for _, addr := range []string{n.cfg.HTTP, n.cfg.HTTPAdvertise, n.cfg.Ops} {
		if host, _, err := net.SplitHostPort(addr); err == nil && host != "" {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

var (
	errNotServing    = errors.New("the node has not finished its start")
	errNoController  = errors.New("no controller is known")
	errDiskFull      = errors.New("the disk is full: appends are refused, reads go on")
	errStuck         = errors.New("a loop is stuck")
	errUnrecoverable = errors.New("the node failed and stops")
)

// checks are the node's readiness, by name.
func (n *Node) checks() []api.Check {
	list := []api.Check{{Name: "started"}, {Name: "metadata"}, {Name: "disk"}, {Name: "progress"}}
	if !n.ready.Load() {
		list[0].Err = errNotServing
	}
	if n.fatal.Load() {
		list[0].Err = errUnrecoverable
	}
	if n.raft.Status().Leader == 0 {
		list[1].Err = errNoController
	}
	if n.store.DiskFull() {
		list[2].Err = errDiskFull
	}
	list[3].Err = n.progress.err()
	return list
}

// state is what a scrape reads.
func (n *Node) state() telemetry.State {
	s := n.broker.State()
	s.Ready, s.Uptime = n.ready.Load() && !n.fatal.Load(), time.Since(n.started)
	s.PeerConnections = n.peers.endpoint.Accepted()
	return s
}
