// Package node wires one process: data directory, logs, metadata, broker, HTTP.
//
// # Start
//
// The data directory is locked and recognised (datadir.go), the logs and the
// metadata log are opened at the same time, the broker registers this process
// and takes over its partitions; only then are the listeners opened, so what
// answers is ready. The line "ready" tells the addresses.
//
// # End
//
// Shutdown: readiness is off and streams end, listeners finish their requests
// and close, replicas and logs are synced, the metadata log and the directory
// are closed. A second signal, or an error that leaves the disk or the
// metadata in doubt (Fatal), ends the process at once; nothing that was
// acknowledged is lost by that.
package node

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chroniklog/chronik/raft"
	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/cluster"
	"github.com/chroniklog/chronik/server/config"
	"github.com/chroniklog/chronik/server/coordinator"
	"github.com/chroniklog/chronik/server/telemetry"
	"github.com/chroniklog/chronik/storage/plog"
	"github.com/chroniklog/chronik/storage/vfs"
)

// Options are what a command or a test gives a node beside its configuration.
// Zero fields take what is right for a process.
type Options struct {
	Version string
	Logger  *slog.Logger
	Now     func() time.Time
	// FS is under the data directory, but for the metadata log, which is always
	// on the machine's.
	FS vfs.FS
	// Fatal is called, once, when the node can't go on: its disk or its
	// metadata can't be trusted any more. It must end the process without
	// answering anything; a test may drop the node instead.
	Fatal func(error)
	// DialPeer connects to other nodes; nil: TCP. For tests of broken networks.
	DialPeer func(ctx context.Context, addr string) (net.Conn, error)
	// CompactEvery and CompactKeep are raft.Options'; 0: its defaults. For tests
	// of nodes that were away for longer than the metadata log reaches back.
	CompactEvery, CompactKeep uint64
	// NoSync turns syncing off, and Mutation other safeguards, for tests of the
	// tests.
	NoSync   bool
	Mutation server.Mutation
	// StallTime is how long one turn of a loop may take before the loop counts
	// as stuck; 0: a minute. For tests.
	StallTime time.Duration
	// Ready is called by Run once the node serves; nil: not.
	Ready func(*Node)
}

// Node is a running node.
type Node struct {
	cfg      config.Config
	o        Options
	log      *slog.Logger
	started  time.Time
	dir      *dataDir
	tracing  *telemetry.Tracing
	registry *prometheus.Registry
	metrics  *telemetry.Metrics
	store    *plog.Store
	raft     *raft.Node
	broker   *server.Broker
	peers    *peers
	joined   atomic.Pointer[cluster.Cluster]
	web, ops *webServer
	kafka    *kafkaServer
	groups   *coordinator.Coordinator
	progress *progress
	ready    atomic.Bool
	fatal    atomic.Bool
}

// Start opens everything and returns when the node is ready. ctx bounds the
// start only. When it fails, what was opened is closed again.
func Start(ctx context.Context, cfg config.Config, o Options) (*Node, error) {
	o.setDefaults()
	registry := telemetry.NewRegistry(o.Version)
	n := &Node{
		cfg: cfg.Fit(config.Unlimited), o: o, log: telemetry.WithCounts(o.Logger, registry), started: time.Now(),
		registry: registry,
	}
	if err := n.start(ctx); err != nil {
		return nil, errors.Join(err, n.abandon())
	}
	return n, nil
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.FS == nil {
		o.FS = vfs.OS()
	}
	if o.Fatal == nil {
		o.Fatal = func(error) {}
	}
}

func (n *Node) start(ctx context.Context) error {
	var err error
	if n.dir, err = openDataDir(n.o.FS, filepath.ToSlash(n.cfg.DataDir), n.cfg.NodeID); err != nil {
		return err
	}
	n.metrics = telemetry.NewMetrics(n.registry)
	n.tracing, err = telemetry.NewTracing(ctx, telemetry.TracingOptions{
		Node: n.cfg.NodeID, Version: n.o.Version, Logger: n.log, Metrics: n.metrics,
	})
	if err != nil {
		return err
	}
	// The listeners are bound first, so that a taken port is known before
	// anything is written, but accept nothing before the node is ready.
	if err := n.bind(); err != nil {
		return err
	}
	if err := n.open(ctx); err != nil {
		return err
	}
	n.registry.MustRegister(telemetry.NewStateCollector(n.state))
	n.watchProgress()
	n.ready.Store(true)
	n.serve()
	n.log.Info("ready", "http", n.URL(), "kafka", n.KafkaAddr(), "node_id", n.cfg.NodeID, "cluster_id", n.dir.id.ClusterID,
		"data_dir", n.cfg.DataDir, "took", time.Since(n.started).Round(time.Millisecond).String())
	return nil
}

// open opens logs and metadata side by side, then starts the broker.
func (n *Node) open(ctx context.Context) error {
	incarnation, directory, err := n.incarnations()
	if err != nil {
		return err
	}
	n.broker = server.New(server.Options{
		Node: n.cfg.NodeID, Incarnation: incarnation, Directory: directory,
		HTTP:  advertised(n.cfg.HTTPAdvertise, n.web.addr()),
		Kafka: advertised(n.cfg.KafkaAdvertise, n.KafkaAddr()),
		Peer:  n.peerAddr(),
		Now:   n.o.Now, Logger: n.log, Metrics: n.metrics, Tracer: n.tracing.Tracer(),
		AutoCreate: n.cfg.AutoCreateTopics, Partitions: n.cfg.DefaultPartitions,
		Replication: n.cfg.DefaultReplicationFactor, MinInsync: n.cfg.MinInsyncReplicas,
		MaxPartitions: n.cfg.MaxPartitions, MaxBatchRecords: n.cfg.MaxBatchRecords,
		MaxDecompressed: maxDecompressed, Mutation: n.o.Mutation,
	})
	stored := make(chan error, 1)
	go func() {
		defer n.took("logs", time.Now())
		stored <- n.openStore(ctx)
	}()
	begin := time.Now()
	err = n.openRaft(ctx)
	n.took("metadata", begin)
	if err := errors.Join(err, <-stored); err != nil {
		return err
	}
	defer n.took("broker", time.Now())
	select {
	case <-n.raft.Ready():
	case err := <-n.raft.Refused():
		return err
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("no controller was found in time: %w", context.Cause(ctx)), n.raft.Waiting())
	}
	// Before this process is announced: the directory may be another cluster's.
	if err := n.enterCluster(ctx); err != nil {
		return err
	}
	if err := n.join(); err != nil {
		return err
	}
	n.groups = n.newCoordinator()
	n.registry.MustRegister(coordinator.NewCollector(n.groups, n.broker))
	n.peers.run(n.broker.Local(), n.groups)
	return n.broker.Start(ctx, n.raft, n.store)
}

// took logs how long a part of the start lasted.
func (n *Node) took(part string, begin time.Time) {
	n.log.Debug("opened", "part", part, "took", time.Since(begin).String())
}

// incarnations are the random ids of this process and of its data directory.
func (n *Node) incarnations() (process, directory [16]byte, err error) {
	raw, err := hex.DecodeString(n.dir.id.Incarnation)
	if err != nil || len(raw) != len(directory) {
		return process, directory, fmt.Errorf("%w: %s has incarnation %q", ErrDataDir, metaName, n.dir.id.Incarnation)
	}
	_, _ = rand.Read(process[:]) // never fails (crypto/rand since Go 1.24)
	return process, [16]byte(raw), nil
}

// Broker is the node's broker.
func (n *Node) Broker() *server.Broker { return n.broker }

// URL is the base of the HTTP API as it was bound.
func (n *Node) URL() string { return "http://" + n.web.addr() }

// OpsURL is the base of health and metrics: URL unless --ops moved them.
func (n *Node) OpsURL() string {
	if n.ops == nil {
		return n.URL()
	}
	return "http://" + n.ops.addr()
}

// Registry holds the node's metrics.
func (n *Node) Registry() *prometheus.Registry { return n.registry }

// advertised is what others are told: what was configured, else the address
// that is listened on, which Validate has kept to loopback or explicit hosts.
func advertised(configured, bound string) string {
	if configured != "" {
		return configured
	}
	if host, port, err := net.SplitHostPort(bound); err == nil {
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			return net.JoinHostPort("127.0.0.1", port)
		}
	}
	return bound
}
