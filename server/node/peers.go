package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chroniklog/chronik/raft"
	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/raft/wire"
	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/cluster"
	"github.com/chroniklog/chronik/server/coordinator"
	"github.com/chroniklog/chronik/server/forward"
	"github.com/chroniklog/chronik/storage/vfs"
)

// peers is the node's side of the cluster: the listener of peer traffic, and
// what goes over it.
type peers struct {
	endpoint *wire.Endpoint
	cluster  *cluster.Cluster
	health   *health
	cancel   context.CancelFunc
	wg       sync.WaitGroup
}

// bindPeers takes the peer address. Nothing is answered before the metadata
// log has opened, which needs the address itself.
func (n *Node) bindPeers() error {
	l, err := listen("peer", n.cfg.Peer)
	if err != nil {
		return err
	}
	n.peers = &peers{
		endpoint: wire.New(wire.Options{Listener: l, Logger: n.log.With("part", "peer"), Dial: n.o.DialPeer}),
		cancel:   func() {},
	}
	return nil
}

// peerAddr is the address that other nodes are told.
func (n *Node) peerAddr() string {
	return advertised(n.cfg.PeerAdvertise, n.peers.endpoint.Addr().String())
}

// openRaft opens the metadata log over the peer listener.
func (n *Node) openRaft(ctx context.Context) error {
	static, err := n.cfg.PeerAddresses()
	if err != nil {
		return err
	}
	logger := n.log.With("part", "raft")
	transport := raft.NewWireTransport(n.peers.endpoint, logger)
	n.peers.endpoint.Serve()
	n.raft, err = raft.Open(ctx, raft.Options{
		Dir: path.Join(n.dir.path, raftDir), NodeID: n.cfg.NodeID, Logger: logger, Addr: n.peerAddr(),
		Peers: static, Join: n.cfg.Join, Transport: transport,
		Now: n.o.Now, OnApply: n.applied, Fatal: n.fail,
		CompactEvery: n.o.CompactEvery, CompactKeep: n.o.CompactKeep, Metrics: n.metrics.Raft(),
	})
	if err != nil {
		return fmt.Errorf("open metadata: %w", err)
	}
	return nil
}

// applied passes on what the metadata log changed.
func (n *Node) applied(index uint64, events []meta.Event) {
	n.broker.Applied(index, events)
	if c := n.joined.Load(); c != nil {
		c.Applied(events)
	}
}

// join connects the broker with its peers; they are served from now on.
func (n *Node) join() error {
	var err error
	if n.peers.health, err = openHealth(n.o.FS, path.Join(n.dir.path, probeName), n.fail, n.metrics.Probe); err != nil {
		return err
	}
	c := cluster.New(cluster.Options{
		Node: n.cfg.NodeID, Endpoint: n.peers.endpoint, Metadata: n.raft, Epoch: n.broker.Epoch,
		Healthy: n.peers.health.ok, Logger: n.log, Errors: forwardedErrors(),
		Leads: n.metrics.ControllerTerms.Inc, Fenced: func(cause string) { n.metrics.Fenced.WithLabelValues(cause).Inc() },
	})
	n.peers.cluster = c
	n.joined.Store(c)
	n.broker.Join(c)
	return nil
}

// forwardedErrors are all errors that travel between nodes.
func forwardedErrors() forward.Errors {
	all := server.ForwardedErrors()
	maps.Copy(all, coordinator.ForwardedErrors())
	return all
}

// run beats, and serves peers, until leave.
func (p *peers) run(local cluster.Local, groups forward.Groups) {
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.cluster.Serve(local, groups)
	p.wg.Go(func() { p.cluster.Run(ctx) })
	p.wg.Go(func() { p.health.run(ctx) })
}

// leave ends what run began; the metadata log goes on over the endpoint.
func (p *peers) leave() error {
	p.cancel()
	p.wg.Wait()
	if p.cluster != nil {
		p.cluster.Close()
	}
	if p.health == nil {
		return nil
	}
	return p.health.file.Close()
}

const (
	// probeName is the file whose syncs tell that the disk works.
	probeName = "probe"
	// probeEvery is how often it is synced.
	probeEvery = 500 * time.Millisecond
	// probeAge is how old the last success may be for a heartbeat to vouch
	// for the disk: a session of the controller's.
	probeAge = 1500 * time.Millisecond
)

// health syncs a small file again and again: a broker whose disk hangs must
// not be taken for alive because its network answers.
type health struct {
	file  vfs.File
	fatal func(error)
	took  prometheus.Observer
	began time.Time
	last  atomic.Int64 // of the last success, nanoseconds since began
}

func openHealth(files vfs.FS, name string, fatal func(error), took prometheus.Observer) (*health, error) {
	f, err := files.Open(name)
	if err != nil {
		f, err = files.Create(name)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	h := &health{file: f, fatal: fatal, took: took, began: time.Now()}
	if err := h.probe(); err != nil {
		return nil, errors.Join(fmt.Errorf("probe the disk: %w", err), f.Close())
	}
	return h, nil
}

func (h *health) probe() error {
	began := time.Now()
	if _, err := h.file.WriteAt([]byte{byte(h.last.Load())}, 0); err != nil {
		return err
	}
	if err := h.file.Sync(); err != nil {
		return err
	}
	h.took.Observe(time.Since(began).Seconds())
	h.last.Store(int64(time.Since(h.began)))
	return nil
}

func (h *health) ok() bool { return time.Since(h.began)-time.Duration(h.last.Load()) < probeAge }

func (h *health) run(ctx context.Context) {
	t := time.NewTicker(probeEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		if err := h.probe(); err != nil {
			h.fatal(fmt.Errorf("sync %s: %w", probeName, err))
			return
		}
	}
}
