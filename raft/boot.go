package raft

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/raft/wire"
)

// id is the identity as it is now; read-only.
func (n *Node) id() *identity { return n.ident.Load() }

// identify reads or makes the identity of the directory.
func (n *Node) identify() error {
	id, err := loadIdentity(n.opts.FS, n.opts.Dir)
	if err == nil && id.node != n.opts.NodeID {
		return fmt.Errorf("%s belongs to node %d, not %d", n.opts.Dir, id.node, n.opts.NodeID)
	}
	if errors.Is(err, fs.ErrNotExist) {
		fenced, statErr := fenceExists(n.opts.FS, n.opts.Dir)
		if statErr != nil || fenced {
			return errors.Join(statErr, fmt.Errorf("%w: %s has a log but no file %s", ErrCorrupt, n.opts.Dir, identityName))
		}
		return n.newIdentity(identity{node: n.opts.NodeID})
	}
	n.ident.Store(&id)
	return err
}

// newIdentity gives the node a raft id that nobody had.
func (n *Node) newIdentity(id identity) error {
	raftID, err := newRaftID()
	if err != nil {
		return err
	}
	id.raftID = raftID
	n.ident.Store(&id)
	return id.save(n.opts.FS, n.opts.Dir)
}

// boot opens the log, or founds or finds the cluster. Nothing here waits for
// other nodes, except when the log is corrupt.
func (n *Node) boot(ctx context.Context) error {
	d, err := openDisk(n.opts.disk(n.id().raftID))
	if err == nil {
		err = n.launch(d)
	}
	if errors.Is(err, ErrCorrupt) && n.opts.Transport != nil {
		if err := n.abandon(ctx, err); err != nil {
			return err
		}
		n.group.Go(n.enterCluster)
		return nil
	}
	switch {
	case err == nil:
		if err := n.checkHome(ctx); err != nil {
			return err
		}
		if n.opts.Transport != nil {
			n.group.Go(n.settleAgain)
		}
		return nil
	case !errors.Is(err, errFresh):
		return err
	case n.opts.Join != "":
		n.group.Go(n.enterCluster)
		return nil
	case len(n.opts.Peers) > 1:
		n.group.Go(n.search)
		return nil
	}
	return n.found(Seed{Members: []meta.Member{n.self()}})
}

// checkHome refuses a directory where the flags name nodes of another cluster,
// and none of its own: the node would go on in its own as if it had not been
// told. One foreign node among its own is no reason: somebody took a port.
func (n *Node) checkHome(ctx context.Context) error {
	if n.opts.Transport == nil {
		return nil
	}
	addrs := map[string]bool{n.opts.Join: true}
	for id, addr := range n.opts.Peers {
		addrs[addr] = id != n.opts.NodeID
	}
	delete(addrs, "")
	delete(addrs, n.opts.Addr)
	type answer struct {
		addr string
		err  error
	}
	answers := make(chan answer, len(addrs))
	for addr, other := range addrs {
		n.group.Go(func() {
			a := answer{addr: addr, err: wire.ErrUnreachable}
			if other {
				_, a.err = n.ask(ctx, addr)
			}
			answers <- a
		})
	}
	var foreign error
	own := false
	for range addrs {
		a := <-answers
		own = own || a.err == nil
		if errors.Is(a.err, wire.ErrCluster) {
			foreign = fmt.Errorf("%w: the data directory %s is not of the cluster at %s: give the node a directory of its own, "+
				"or start it without --join and --peers: %w", ErrForeign, n.opts.Dir, a.addr, a.err)
		}
	}
	if own {
		return nil
	}
	return foreign
}

// settleAgain is for a node that was here before: it may have a new address,
// or not have been let in yet. One that was removed stays out.
func (n *Node) settleAgain() {
	var present meta.Member
	fresh := false
	var strangers []NodeID
	n.View(func(m *meta.Image) {
		present, _ = m.Member(n.id().raftID)
		fresh = len(m.Members()) == 0
		strangers = notAmong(n.opts.Peers, m.Members())
	})
	if len(strangers) > 0 {
		n.opts.Logger.Warn("--peers names nodes that are no members: the list counts at the first start only; "+
			"start them with --join to have them enter", "nodes", strangers)
	}
	if fresh || present.Node != 0 && present != n.self() && n.opts.Addr != "" {
		n.settle()
	}
}

// notAmong are the nodes of a list that are no members; none if there are no
// members at all.
func notAmong(peers map[NodeID]string, members []meta.Member) (out []NodeID) {
	for _, id := range slices.Sorted(maps.Keys(peers)) {
		is := func(m meta.Member) bool { return m.Node == id }
		if len(members) > 0 && !slices.ContainsFunc(members, is) {
			out = append(out, id)
		}
	}
	return out
}

// self is this node as a member.
func (n *Node) self() meta.Member {
	return meta.Member{RaftID: n.id().raftID, Node: n.opts.NodeID, Addr: n.opts.Addr}
}

// found makes the log that begins with a seed.
func (n *Node) found(seed Seed) error {
	n.opts.Logger.Info("creating metadata log", "dir", n.opts.Dir, "raft_id", n.id().raftID,
		"voters", len(seed.Members))
	d, err := createDisk(n.opts.disk(n.id().raftID), seed)
	if err != nil {
		return err
	}
	return n.launch(d)
}

// corruptDir is where a corrupt log is moved to, one at a time.
const corruptDir = "corrupt"

// abandonWait is for how many ticks a node with a corrupt log looks for a
// controller with a quorum before it refuses to start.
const abandonWait = 10 * electionTicks

// abandonTicks is for how long a controller must have had its majority: longer
// than it goes on counting on voters that it doesn't hear from.
const abandonTicks = 4 * electionTicks

// abandon moves a corrupt log aside, if the cluster has a healthy majority of
// voters without it, and gives the node a new raft id: under the old one it
// might break a promise that it has forgotten. Otherwise it returns the cause,
// and nothing was touched.
func (n *Node) abandon(ctx context.Context, cause error) error {
	if !n.spared(ctx) {
		return fmt.Errorf("%w; this node is needed for a majority, or no controller answers: "+
			"restore the directory, or start a majority of the others first", cause)
	}
	n.opts.Logger.Error("metadata log is abandoned; entering the cluster anew", "error", cause)
	old := n.id()
	// The new id comes first: a crash from here on leaves a log that is not
	// this id's, which is corrupt again, rather than an old id without memory.
	if err := n.newIdentity(identity{node: old.node, cluster: old.cluster, members: old.members}); err != nil {
		return err
	}
	if err := n.opts.Transport.Start(Self{RaftID: n.id().raftID, Node: n.opts.NodeID}, n); err != nil {
		return err
	}
	return n.moveAside()
}

func (n *Node) moveAside() error {
	dir := path.Join(n.opts.Dir, corruptDir)
	if err := n.opts.FS.RemoveAll(dir); err != nil {
		return fmt.Errorf("move corrupt log: %w", err)
	}
	if err := n.opts.FS.MkdirAll(dir); err != nil {
		return fmt.Errorf("move corrupt log: %w", err)
	}
	names, err := n.opts.FS.ReadDir(n.opts.Dir)
	if err != nil {
		return fmt.Errorf("move corrupt log: %w", err)
	}
	for _, name := range names {
		if name.Name != logDir && name.Name != fenceName && !strings.HasPrefix(name.Name, statePre) {
			continue
		}
		if err := n.opts.FS.Rename(path.Join(n.opts.Dir, name.Name), path.Join(dir, name.Name)); err != nil {
			return fmt.Errorf("move corrupt log: %w", err)
		}
	}
	return errors.Join(n.opts.FS.SyncDir(dir), n.opts.FS.SyncDir(n.opts.Dir))
}

// spared asks around for a controller that has a majority without this node.
func (n *Node) spared(ctx context.Context) bool {
	peers := map[NodeID]string{}
	for _, m := range n.id().members {
		peers[m.Node] = m.Addr
	}
	for id, addr := range n.opts.Peers {
		peers[id] = addr
	}
	delete(peers, n.opts.NodeID)
	if len(peers) == 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, abandonWait*n.opts.Tick)
	defer cancel()
	var since time.Time
	for ctx.Err() == nil {
		switch {
		case !n.rest(ctx, peers):
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		case time.Since(since) > abandonTicks*n.opts.Tick:
			return true
		}
		timer := time.NewTimer(searchPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return false
}

// rest asks around once.
func (n *Node) rest(ctx context.Context, peers map[NodeID]string) bool {
	answers, _ := n.askAll(ctx, peers)
	return n.majorityWithout(answers)
}

// majorityWithout tells whether a controller is among the answers that hears
// from a majority of voters, this node not counted.
func (n *Node) majorityWithout(answers map[NodeID]greeted) bool {
	for _, g := range answers {
		others := slices.DeleteFunc(g.Active, func(id uint64) bool { return id == n.id().raftID })
		if len(g.Voters) > 0 && len(others) > len(g.Voters)/2 {
			return true
		}
	}
	return false
}
