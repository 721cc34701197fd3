package controller

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/chroniklog/chronik/raft"
	"github.com/chroniklog/chronik/raft/meta"
)

const (
	// tick is how often sessions are looked at: a fraction of a session.
	tick = 50 * time.Millisecond
	// probeTimeout bounds a look at a broker's address.
	probeTimeout = 500 * time.Millisecond
	// proposeTimeout bounds a command; the next round proposes again.
	proposeTimeout = 5 * time.Second
)

// Metadata is what the controller asks of the metadata log; *raft.Node is one.
type Metadata interface {
	Propose(ctx context.Context, cmd meta.Command) (meta.Result, error)
	View(func(*meta.Image))
	Status() raft.Status
	// Changed is closed when the controller changes; get it before Status.
	Changed() <-chan struct{}
}

// Options of a Controller. Metadata, Probe and Logger are required.
type Options struct {
	Metadata Metadata
	// Probe looks whether a process listens at a broker's peer address.
	Probe func(ctx context.Context, addr string) error
	// Yield has the leaders that a command will replace finish what they have
	// in hand; it takes a bounded time. Nil: they don't.
	Yield  func(ctx context.Context, cmd meta.Command)
	Logger *slog.Logger
	Rules  Rules
	// Leads is told that this node became the controller, Fenced that it took
	// a broker for dead, and why: "refused" or "silent". Nil: nobody is.
	Leads  func()
	Fenced func(cause string)
}

// Controller runs Core on a node. While another node leads the metadata group
// it does nothing.
type Controller struct {
	o     Options
	epoch time.Time // of the monotonic clock that Core sees
	wake  chan struct{}

	elections sync.WaitGroup
	electing  atomic.Bool

	mu   sync.Mutex
	core *Core
}

// New makes a controller; Run runs it.
func New(o Options) *Controller {
	if o.Rules == (Rules{}) {
		o.Rules = DefaultRules()
	}
	if o.Leads == nil {
		o.Leads = func() {}
	}
	if o.Fenced == nil {
		o.Fenced = func(string) {}
	}
	return &Controller{o: o, epoch: time.Now(), core: NewCore(o.Rules), wake: make(chan struct{}, 1)}
}

// now is Core's clock: monotonic, so that a clock that jumps fences nobody.
func (c *Controller) now() int64 { return time.Since(c.epoch).Milliseconds() }

// Heard takes a heartbeat and tells whether this node is the controller.
func (c *Controller) Heard(h Heartbeat) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.core.Heard(c.now(), h)
}

// Applied takes the events of the metadata log; it does not block.
func (c *Controller) Applied(events []meta.Event) {
	c.mu.Lock()
	c.core.Changed(events)
	c.mu.Unlock()
}

// Hungup tells that a broker's heartbeat connection ended. If its address
// refuses connections now, the process is gone and need not be waited for.
func (c *Controller) Hungup(ctx context.Context, id meta.NodeID) {
	if !c.o.Metadata.Status().Controller() {
		return
	}
	var b meta.Broker
	var known bool
	c.o.Metadata.View(func(img *meta.Image) { b, known = img.Broker(id) })
	if !known || b.Fenced || b.Peer == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if err := c.o.Probe(ctx, b.Peer); !errors.Is(err, syscall.ECONNREFUSED) {
		return
	}
	c.mu.Lock()
	c.core.Refused(b.ID, b.Epoch)
	c.mu.Unlock()
	c.signal()
}

func (c *Controller) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Run acts as long as this node is the controller, until ctx ends.
func (c *Controller) Run(ctx context.Context) {
	t := time.NewTimer(tick)
	defer t.Stop()
	var probes sync.WaitGroup
	defer probes.Wait()
	defer c.elections.Wait()
	for {
		changed := c.o.Metadata.Changed()
		if c.leads() {
			c.o.Leads()
			c.o.Logger.Info("this node is the controller", "term", c.o.Metadata.Status().Term)
			probes.Go(func() { c.probeAll(ctx) })
		}
		for _, id := range c.doubted() {
			probes.Go(func() { c.Hungup(ctx, id) })
		}
		c.act(ctx)
		t.Stop()
		if c.o.Metadata.Status().Controller() { // another node has nothing to look at
			t.Reset(tick)
		}
		select {
		case <-t.C:
		case <-changed:
		case <-c.wake:
		case <-ctx.Done():
			return
		}
	}
}

// leads follows the metadata group's leadership; it reports a new one.
func (c *Controller) leads() (begun bool) {
	leading := c.o.Metadata.Status().Controller()
	c.o.Metadata.View(func(img *meta.Image) {
		c.mu.Lock()
		defer c.mu.Unlock()
		switch {
		case leading && !c.core.Leading():
			c.core.Lead(c.now(), img)
			begun = true
		case !leading:
			c.core.Resign()
		}
	})
	return begun
}

// doubted are the brokers to look at.
func (c *Controller) doubted() (ids []meta.NodeID) {
	self := c.o.Metadata.Status().Leader
	c.o.Metadata.View(func(img *meta.Image) {
		c.mu.Lock()
		defer c.mu.Unlock()
		ids = c.core.Doubted(c.now(), img)
	})
	return slices.DeleteFunc(ids, func(id meta.NodeID) bool { return id == self })
}

// probeAll looks whether brokers died while nobody was the controller: the
// former controller itself, above all.
func (c *Controller) probeAll(ctx context.Context) {
	var brokers []meta.Broker
	c.o.Metadata.View(func(img *meta.Image) { brokers = img.Brokers() })
	self := c.o.Metadata.Status().Leader
	var wg sync.WaitGroup
	for _, b := range brokers {
		if b.ID != self { // which lives, perhaps under another address than it had
			wg.Go(func() { c.Hungup(ctx, b.ID) })
		}
	}
	wg.Wait()
}

// act proposes what Core wants until it wants nothing.
func (c *Controller) act(ctx context.Context) {
	for ctx.Err() == nil {
		var cmd meta.Command
		c.o.Metadata.View(func(img *meta.Image) {
			c.mu.Lock()
			defer c.mu.Unlock()
			cmd = c.core.Next(c.now(), img)
		})
		if cmd == nil {
			return
		}
		if elect, ok := cmd.(*meta.ElectLeaders); ok {
			c.elect(ctx, elect)
			return
		}
		if err := c.propose(ctx, cmd); err != nil {
			c.failed(cmd, err)
			return
		}
		if f, ok := cmd.(*meta.FenceBroker); ok {
			cause := c.cause(f)
			c.o.Fenced(cause)
			c.o.Logger.Warn("broker fenced", "broker", f.ID, "broker_epoch", f.Epoch, "cause", cause)
		}
	}
}

func (c *Controller) failed(cmd meta.Command, err error) {
	c.o.Logger.Warn("controller command failed", "command", describe(cmd), "error", err)
	c.mu.Lock()
	c.core.Failed(c.now())
	c.mu.Unlock()
}

// elect proposes an election of preferred leaders once the present ones are
// prepared, beside the controller's other work: fencing can't wait for them.
// Core asks again when its next period of care begins.
func (c *Controller) elect(ctx context.Context, cmd *meta.ElectLeaders) {
	c.mu.Lock()
	c.core.Failed(c.now())
	c.mu.Unlock()
	if c.electing.Swap(true) {
		return
	}
	c.elections.Go(func() {
		defer c.electing.Store(false)
		if err := c.propose(ctx, cmd); err != nil {
			c.failed(cmd, err)
		}
		c.signal()
	})
}

// cause is why a broker was taken for dead, in a word.
func (c *Controller) cause(f *meta.FenceBroker) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.core.HasRefused(f.ID, f.Epoch) {
		return "refused"
	}
	return "silent"
}

// propose repeats a command that visits many partitions until it is through.
func (c *Controller) propose(ctx context.Context, cmd meta.Command) error {
	ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	for {
		if _, elects := cmd.(*meta.ElectLeaders); elects && c.o.Yield != nil {
			c.o.Yield(ctx, cmd)
		}
		r, err := c.o.Metadata.Propose(ctx, cmd)
		if err == nil {
			err = r.Err()
		}
		if err != nil || !r.More {
			return err
		}
	}
}
