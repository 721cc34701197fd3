package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/config"
	"github.com/chroniklog/chronik/server/node/systemd"
)

// Run starts a node, waits until ctx ends, and shuts it down within the
// configured time. It returns nil when everything ended in good order. Unless
// o.Fatal is set, an error that leaves the disk or the metadata in doubt exits
// the process with code 1 at once.
func Run(ctx context.Context, cfg config.Config, o Options) error {
	if o.Fatal == nil {
		o.Fatal = func(error) { os.Exit(1) } // fail has logged it
	}
	n, err := Start(ctx, cfg, o)
	if err != nil {
		return err
	}
	if o.Ready != nil {
		o.Ready(n)
	}
	n.attend(ctx, systemd.FromEnv(os.Getenv))
	n.log.Info("shutting down", "timeout", cfg.ShutdownTimeout.String())
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.ShutdownTimeout)
	defer cancel()
	if err := n.Shutdown(end); err != nil {
		return err
	}
	n.log.Info("stopped")
	return nil
}

// attend waits for the end of ctx, and keeps the service manager informed if
// there is one.
func (n *Node) attend(ctx context.Context, manager systemd.Notifier) {
	note := func(err error) {
		if err != nil {
			n.log.Warn("the service manager was not told", "error", err)
		}
	}
	note(manager.Ready("HTTP on " + n.URL()))
	manager.Watchdog(ctx, n.alive)
	<-ctx.Done()
	note(manager.Stopping())
}

// Shutdown ends the node in good order. When ctx ends first, connections are
// cut and what is left is abandoned: that loses nothing that was acknowledged.
func (n *Node) Shutdown(ctx context.Context) error {
	n.ready.Store(false)
	n.progress.close()
	n.handOver(ctx)
	n.broker.Drain()
	var errs []error
	note := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}
	n.groups.Close() // joins that wait are sent elsewhere
	note("kafka", n.kafka.shutdown(ctx))
	note("http", n.web.shutdown(ctx))
	note("broker", n.broker.Close(ctx))
	note("peers", n.peers.leave())
	note("logs", n.store.Close(ctx))
	note("metadata", n.raft.Close())
	note("peer listener", n.peers.endpoint.Close())
	note("traces", n.tracing.Shutdown(ctx))
	if n.ops != nil {
		note("ops", n.ops.shutdown(ctx)) // last: probes and scrapes see the end
	}
	note("data directory", n.dir.close())
	return errors.Join(errs...)
}

// handOverTime bounds the wait for other nodes to take over.
const handOverTime = 3 * time.Second

// handOver gives leadership to other nodes before this one stops: partitions
// go to in-sync replicas, the metadata group to another voter. What fails here
// is what the cluster does by itself when this node is gone.
func (n *Node) handOver(ctx context.Context) {
	var others []server.NodeID
	n.raft.View(func(img *meta.Image) {
		for _, b := range img.Brokers() {
			if b.ID != n.cfg.NodeID && b.Live() {
				others = append(others, b.ID)
			}
		}
	})
	if len(others) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, handOverTime)
	defer cancel()
	n.peers.cluster.Rest()
	if err := n.broker.Leave(ctx); err != nil {
		n.log.Info("partitions were not handed over", "error", err)
	}
	status := n.raft.Status()
	if !status.Controller() {
		return
	}
	for _, id := range others {
		if slices.Contains(status.Voters, id) {
			if err := n.raft.TransferController(ctx, id); err != nil {
				n.log.Info("the controller was not handed over", "error", err)
			}
			return
		}
	}
}

// fail is told of what the node can't survive. Nothing is acknowledged from
// here on; Fatal ends the process.
func (n *Node) fail(err error) {
	if n.fatal.Swap(true) {
		return
	}
	n.log.Error("the node can't go on", "error", err)
	n.o.Fatal(err)
}

// abandon closes what a failed start left open.
func (n *Node) abandon() error {
	ctx, cancel := context.WithTimeout(context.Background(), n.cfg.ShutdownTimeout)
	defer cancel()
	return n.Abort(ctx)
}

// Abort ends the node without good order: connections are cut, and what was
// not answered never will be. It is for failed starts and for tests.
func (n *Node) Abort(ctx context.Context) error {
	n.progress.close()
	var errs []error
	for _, w := range []*webServer{n.web, n.ops} {
		if w != nil {
			errs = append(errs, w.close())
		}
	}
	if n.groups != nil {
		n.groups.Close()
	}
	if n.kafka != nil {
		errs = append(errs, n.kafka.close())
	}
	if n.broker != nil {
		errs = append(errs, n.broker.Close(ctx))
	}
	if n.peers != nil {
		errs = append(errs, n.peers.leave())
	}
	if n.store != nil {
		errs = append(errs, n.store.Close(ctx))
	}
	if n.raft != nil {
		errs = append(errs, n.raft.Close())
	}
	if n.peers != nil {
		errs = append(errs, n.peers.endpoint.Close())
	}
	if n.tracing != nil {
		errs = append(errs, n.tracing.Shutdown(ctx))
	}
	if n.dir != nil {
		errs = append(errs, n.dir.close())
	}
	return errors.Join(errs...)
}
