package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/chroniklog/chronik/server/client"
	"github.com/chroniklog/chronik/server/config"
)

// drainEvery is how often a draining is looked at.
const drainEvery = 250 * time.Millisecond

// ClusterDrainCmd drains a node, or ends that.
type ClusterDrainCmd struct {
	Remote   `embed:""`
	Node     int32         `arg:"" help:"Id of the node."`
	Replicas bool          `name:"replicas" help:"Move its replicas to other nodes too, before the node is removed."`
	Throttle config.Bytes  `name:"throttle" help:"With --replicas: bytes per second that a node sends for that (0: no bound)."`
	End      bool          `name:"end" help:"End the draining: the node may lead again."`
	Wait     bool          `name:"wait" help:"Return when nothing is left on the node."`
	Timeout  time.Duration `name:"timeout" default:"0s" help:"Fail when --wait takes longer (0: never)."`
}

// Help shows examples.
func (ClusterDrainCmd) Help() string {
	return `Without --replicas the node keeps its records and only stops to lead: before a
restart. With it every replica is copied to another live node first.

Examples:

    chronik cluster drain 2 --wait               # before a restart of node 2
    chronik cluster drain 2 --end                # it is back
    chronik cluster drain 3 --replicas --wait    # before node 3 is removed
    chronik cluster drain 3 --replicas --wait --throttle 20MiB    # per second and node; repeat to change it`
}

// Run begins or ends the draining and, if asked to, waits for its end.
func (c ClusterDrainCmd) Run(ctx context.Context, streams Streams) error {
	if err := checkNode(c.Node); err != nil {
		return err
	}
	if c.End && (c.Replicas || c.Wait) {
		return usagef("--end goes without --replicas and --wait")
	}
	if c.Throttle != 0 && !c.Replicas {
		return usagef("--throttle bounds how fast replicas are moved: give --replicas, too")
	}
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	var n client.Node
	if c.End {
		n, err = api.EndDrain(ctx, c.Node)
	} else {
		n, err = api.Drain(ctx, c.Node, c.Replicas, int64(c.Throttle))
	}
	if err == nil && c.Wait {
		n, err = c.await(ctx, api, streams.Err, n)
	}
	if err != nil {
		return err
	}
	if c.JSON() {
		return writeJSON(streams.Out, n)
	}
	_, err = fmt.Fprintln(streams.Err, c.report(n))
	return err
}

// await looks at the node until it is drained, and shows how far it has come:
// at a terminal in one line that changes, elsewhere in a line now and then.
func (c ClusterDrainCmd) await(
	ctx context.Context, api *client.Client, out io.Writer, n client.Node,
) (client.Node, error) {
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	shown := &drainProgress{out: out, terminal: isTerminal(out), shown: time.Now()}
	defer shown.clear()
	tick := time.NewTicker(drainEvery)
	defer tick.Stop()
	for !c.done(n) {
		left := shown.left(time.Now(), n.BytesLeft)
		shown.show(c.report(n) + left)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return n, fmt.Errorf("%s%s: %w", c.report(n), left, context.Cause(ctx))
		}
		var err error
		if n, err = c.look(ctx, api); err != nil {
			return n, fmt.Errorf("look at node %d: %w", c.Node, err)
		}
	}
	return n, nil
}

// drainProgress shows how a draining goes on.
type drainProgress struct {
	out      io.Writer
	terminal bool
	shown    time.Time
	// began is when first bytes were left; the rate since tells when none is.
	began time.Time
	first int64
}

// drainLines is how often a line is written where it can't be changed.
const drainLines = 5 * time.Second

func (p *drainProgress) show(line string) {
	switch {
	case p.terminal:
		fmt.Fprintf(p.out, "\r\x1b[K%s", line)
	case time.Since(p.shown) >= drainLines:
		p.shown = time.Now()
		fmt.Fprintln(p.out, line)
	}
}

func (p *drainProgress) clear() {
	if p.terminal {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

// left tells how many bytes are to be copied and how long that will take, as
// far as it is known.
func (p *drainProgress) left(now time.Time, bytes *int64) string {
	if bytes == nil || *bytes <= 0 {
		return ""
	}
	if *bytes > p.first { // the first look, or there is more than before
		p.began, p.first = now, *bytes
	}
	text := fmt.Sprintf(", %.1f MB to copy", float64(*bytes)/1e6)
	if done := p.first - *bytes; done > 0 {
		rest := time.Duration(float64(now.Sub(p.began)) * float64(*bytes) / float64(done))
		text += fmt.Sprintf(", about %v left", rest.Round(time.Second))
	}
	return text
}

// look asks for the node. What it was given since the draining began, by a
// topic that was created meanwhile, has to go, too.
func (c ClusterDrainCmd) look(ctx context.Context, api *client.Client) (client.Node, error) {
	n, err := api.Node(ctx, c.Node)
	if err == nil && c.Replicas && n.Draining && n.Replicas > 0 && n.Reassigning == 0 {
		return api.Drain(ctx, c.Node, true, int64(c.Throttle))
	}
	return n, err
}

func (c ClusterDrainCmd) done(n client.Node) bool {
	return n.Leaders == 0 && (!c.Replicas || n.Replicas == 0)
}

// report tells what the node still has.
func (c ClusterDrainCmd) report(n client.Node) string {
	switch {
	case !n.Draining:
		return fmt.Sprintf("node %d is not draining", n.ID)
	case c.done(n) && c.Replicas:
		return fmt.Sprintf("node %d is drained: it leads nothing and holds nothing", n.ID)
	case c.done(n):
		return fmt.Sprintf("node %d is drained: it leads nothing and holds %d replica(s)", n.ID, n.Replicas)
	}
	return fmt.Sprintf("node %d drains: it leads %d partition(s) and holds %d replica(s), %d of them on their way",
		n.ID, n.Leaders, n.Replicas, n.Reassigning)
}
