// Package cluster is what a node does with its peers: it tells the controller
// that it lives, copies the partitions that others lead, hands requests on to
// leaders, and serves all of that to the others. It moves messages and owns
// the goroutines; what is decided is decided in packages controller, partition
// and replication.
//
// One listener (raft/wire) carries everything, each class of traffic on
// connections of its own: votes wait for no record, heartbeats for no batch.
//
//	c := cluster.New(options)
//	c.Serve(partitions, groups) // from now on peers are answered
//	c.Run(ctx)              // heartbeats, controller; returns when ctx ends
//	c.Close()               // fetchers and callers end
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/raft/wire"
	"github.com/chroniklog/chronik/server/controller"
	"github.com/chroniklog/chronik/server/forward"
	"github.com/chroniklog/chronik/server/peer"
	"github.com/chroniklog/chronik/server/replication"
	"github.com/chroniklog/chronik/storage/plog"
)

// ErrUnknownNode: the node is not registered, or has no peer address.
var ErrUnknownNode = errors.New("node is not known")

// Endpoint makes and takes connections; *wire.Endpoint is one.
type Endpoint interface {
	Dial(ctx context.Context, addr string, class wire.Class, to wire.Identity) (*wire.Conn, error)
	Handle(class wire.Class, h wire.Handler)
}

// Options of a Cluster; all are required.
type Options struct {
	Node     int32
	Endpoint Endpoint
	Metadata controller.Metadata
	// Epoch is this process's broker epoch, 0 before it registered.
	Epoch func() uint64
	// Healthy tells whether the disk has taken a sync write lately.
	Healthy func() bool
	Logger  *slog.Logger
	Errors  forward.Errors
	Rules   controller.Rules
	// Leads and Fenced are controller.Options'.
	Leads  func()
	Fenced func(cause string)
}

// Cluster connects a node with its peers.
type Cluster struct {
	o          Options
	controller *controller.Controller
	ctx        context.Context //nolint:containedctx // ends with Close
	stop       context.CancelFunc
	wg         sync.WaitGroup
	resting    atomic.Bool
	local      atomic.Pointer[Local]

	mu       sync.Mutex
	callers  map[callKey]*peer.Caller
	fetchers map[int32]*replication.Fetcher
	leaders  map[plog.ID]int32 // whom each followed partition is fetched from
}

// callKey names a connection for calls.
type callKey struct {
	node  int32
	class wire.Class
}

// New makes a cluster that serves and asks nothing yet.
func New(o Options) *Cluster {
	c := &Cluster{
		o: o, callers: map[callKey]*peer.Caller{},
		fetchers: map[int32]*replication.Fetcher{}, leaders: map[plog.ID]int32{},
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.controller = controller.New(controller.Options{
		Metadata: o.Metadata, Logger: o.Logger, Rules: o.Rules, Probe: c.probe, Yield: c.yield,
		Leads: o.Leads, Fenced: o.Fenced,
	})
	return c
}

// Local is this node's partitions, as peers ask for them.
type Local interface {
	forward.Local
	replication.Leaders
}

// Serve answers peers from now on.
func (c *Cluster) Serve(local Local, groups forward.Groups) {
	c.local.Store(&local)
	calls := &forward.Handler{Local: local, Groups: groups, Errors: c.o.Errors}
	c.o.Endpoint.Handle(wire.ClassForward, func(ctx context.Context, conn *wire.Conn) {
		c.ended("forward", conn, peer.Serve(ctx, conn, calls))
	})
	c.o.Endpoint.Handle(wire.ClassReplication, func(ctx context.Context, conn *wire.Conn) {
		c.ended("replication", conn, replication.Serve(ctx, conn, conn.Remote().Node, local))
	})
	c.o.Endpoint.Handle(wire.ClassHeartbeat, func(ctx context.Context, conn *wire.Conn) {
		c.ended("heartbeat", conn, peer.Serve(ctx, conn, &listener{controller: c.controller}))
		c.controller.Hungup(ctx, conn.Remote().Node)
	})
}

func (c *Cluster) ended(class string, conn *wire.Conn, err error) {
	c.o.Logger.Debug("peer connection ended", "class", class, "peer", conn.Remote().Node, "error", err)
}

// Applied takes events of the metadata log; it does not block.
func (c *Cluster) Applied(events []meta.Event) { c.controller.Applied(events) }

// Run beats and, where this node leads the metadata group, controls, until
// ctx ends.
func (c *Cluster) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { c.controller.Run(ctx) })
	wg.Go(func() { c.beat(ctx) })
	wg.Wait()
}

// Close ends fetchers and calls and waits for them. Connections that peers
// made end with the endpoint.
func (c *Cluster) Close() {
	c.stop()
	c.mu.Lock()
	callers := c.callers
	c.callers = map[callKey]*peer.Caller{}
	c.mu.Unlock()
	for _, p := range callers {
		p.Close()
	}
	c.wg.Wait()
}

// address is a node's peer address.
func (c *Cluster) address(node int32) (addr string, err error) {
	c.o.Metadata.View(func(img *meta.Image) {
		if b, ok := img.Broker(node); ok {
			addr = b.Peer
		}
	})
	if addr == "" {
		return "", fmt.Errorf("%w: %d", ErrUnknownNode, node)
	}
	return addr, nil
}

// dial connects to a node for one class of traffic.
func (c *Cluster) dial(ctx context.Context, node int32, class wire.Class) (peer.Conn, error) {
	addr, err := c.address(node)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := c.o.Endpoint.Dial(ctx, addr, class, wire.Identity{Node: node})
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// caller is the connection for calls of a class to a node.
func (c *Cluster) caller(node int32, class wire.Class) *peer.Caller {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := callKey{node, class}
	p := c.callers[key]
	if p == nil {
		p = peer.NewCaller(func(ctx context.Context) (peer.Conn, error) { return c.dial(ctx, node, class) })
		c.callers[key] = p
		if c.ctx.Err() != nil {
			p.Close()
		}
	}
	return p
}

// Leader is what asks a node about the partitions that it leads.
func (c *Cluster) Leader(node int32) *forward.Client {
	return &forward.Client{Peer: c.caller(node, wire.ClassForward), Errors: c.o.Errors}
}
