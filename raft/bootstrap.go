package raft

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/chroniklog/chronik/raft/meta"
)

// greeting is what a node that looks for its cluster says.
type greeting struct {
	From meta.Member `json:"from"`
	List string      `json:"list"` // hash of --peers
}

// greeted is the answer, of any node.
type greeted struct {
	Self    meta.Member `json:"self"`
	List    string      `json:"list,omitempty"`
	Cluster string      `json:"cluster,omitempty"`
	// Empty: it has no log and looks for its cluster, too.
	Empty bool `json:"empty,omitempty"`
	// View is the hash of the founders as the node knows them, once all
	// answered it.
	View    string        `json:"view,omitempty"`
	Members []meta.Member `json:"members,omitempty"`
	Leader  NodeID        `json:"leader,omitempty"`
	// Voters and Active are the controller's: who votes, and who of them was
	// heard from lately.
	Voters []uint64 `json:"voters,omitempty"`
	Active []uint64 `json:"active,omitempty"`
}

// takenTicks is for how long a twin must be heard from to be one.
const takenTicks = 10 * electionTicks

// Pauses of a node that looks for its cluster.
const (
	searchPause   = 100 * time.Millisecond
	searchTimeout = time.Second
	searchLog     = 10 * time.Second
)

// listHash identifies a --peers list.
func listHash(peers map[NodeID]string) string {
	h := sha256.New()
	for _, id := range slices.Sorted(maps.Keys(peers)) {
		fmt.Fprintf(h, "%d@%s\n", id, peers[id])
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// foundersHash identifies a set of founders, sorted by node.
func foundersHash(members []meta.Member) string {
	h := sha256.New()
	for _, m := range members {
		fmt.Fprintf(h, "%d %x %s\n", m.Node, m.RaftID, m.Addr)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// greet answers a greeting.
func (n *Node) greet(greeting) greeted {
	out := greeted{Self: n.self(), List: listHash(n.opts.Peers)}
	if !n.launched.Load() {
		out.Empty = true
		if v := n.view.Load(); v != nil {
			out.View = *v
		}
		return out
	}
	s := n.Status()
	out.Leader = s.Leader
	n.View(func(m *meta.Image) { out.Cluster, out.Members = m.ClusterID(), m.Members() })
	if !s.Controller() {
		return out
	}
	// If the loop doesn't answer, the node can't vouch for a quorum either.
	_ = n.do(func(c *Core) error {
		out.Voters = slices.Clone(c.State().Conf.GetVoters())
		out.Active = slices.Clone(n.member.active)
		return nil
	})
	return out
}

// ask greets one node.
func (n *Node) ask(ctx context.Context, addr string) (greeted, error) {
	var g greeted
	request, err := json.Marshal(greeting{From: n.self(), List: listHash(n.opts.Peers)})
	if err != nil {
		return g, err
	}
	ctx, cancel := context.WithTimeout(ctx, searchTimeout)
	defer cancel()
	b, err := n.opts.Transport.Call(ctx, addr, append([]byte{methodHello}, request...))
	if err != nil {
		return g, err
	}
	return g, json.Unmarshal(b, &g)
}

// askAll greets all other nodes of the list at once; answers has those that
// answered, errs why others didn't.
func (n *Node) askAll(
	ctx context.Context, peers map[NodeID]string,
) (answered map[NodeID]greeted, errs map[NodeID]error) {
	type answer struct {
		id  NodeID
		g   greeted
		err error
	}
	answers := make(chan answer, len(peers))
	asked := 0
	for id, addr := range peers {
		if id == n.opts.NodeID || addr == "" {
			continue
		}
		asked++
		n.group.Go(func() {
			g, err := n.ask(ctx, addr)
			answers <- answer{id, g, err}
		})
	}
	answered, errs = map[NodeID]greeted{}, map[NodeID]error{}
	for range asked {
		if a := <-answers; a.err == nil {
			answered[a.id] = a.g
		} else {
			errs[a.id] = a.err
		}
	}
	return answered, errs
}

// search is the first start of a static quorum: the cluster is founded when
// every node of the list has answered that it is empty, has the same list and
// knows the same founders; if one of them has a cluster already this node
// enters it.
func (n *Node) search() {
	var logged time.Time
	for n.ctx.Err() == nil {
		answers, errs := n.askAll(n.ctx, n.opts.Peers)
		home, err := n.home(answers)
		switch {
		case err != nil:
			n.refuse(err)
			return
		case home:
			n.enterCluster()
			return
		}
		founders, agreed, why := n.founders(answers, errs)
		if agreed {
			n.foundWith(founders)
			return
		}
		n.note(errors.New(why))
		if time.Since(logged) > searchLog {
			n.opts.Logger.Info("waiting for the peers of the first start", "missing", why)
			logged = time.Now()
		}
		n.pause(searchPause)
	}
}

// home tells whether one of the peers has the cluster that this node belongs
// to, having lost its directory. A cluster that has never heard of the node is
// another one, on an address that was meant for a peer.
func (n *Node) home(answers map[NodeID]greeted) (bool, error) {
	found := false
	for id, g := range answers {
		switch {
		case g.Empty:
		case g.Self.Node != id, len(g.Members) > 0 && !slices.ContainsFunc(g.Members, func(m meta.Member) bool {
			return m.Node == n.opts.NodeID
		}):
			return false, fmt.Errorf("%w: node %d at %s, which --peers has as node %d, is of cluster %s, "+
				"which knows no node %d: correct --peers, or enter that cluster with --join %s",
				ErrForeign, g.Self.Node, n.opts.Peers[id], id, g.Cluster, n.opts.NodeID, n.opts.Peers[id])
		default:
			found = true
		}
	}
	return found, nil
}

// note remembers why the node waits.
func (n *Node) note(err error) { n.waiting.Store(&err) }

// founders makes the founders of the answers and tells whether all agree.
func (n *Node) founders(
	answers map[NodeID]greeted, errs map[NodeID]error,
) (members []meta.Member, agreed bool, why string) {
	members = append(members, n.self())
	for _, id := range slices.Sorted(maps.Keys(n.opts.Peers)) {
		if id == n.opts.NodeID {
			continue
		}
		g, ok := answers[id]
		switch {
		case !ok:
			return nil, false, fmt.Sprintf("node %d at %s doesn't answer: %v", id, n.opts.Peers[id], errs[id])
		case g.Self.Node != id:
			return nil, false, fmt.Sprintf("%s is node %d, not %d", n.opts.Peers[id], g.Self.Node, id)
		case g.List != listHash(n.opts.Peers):
			return nil, false, fmt.Sprintf("node %d was started with another list of peers: give all the same --peers", id)
		}
		members = append(members, g.Self)
	}
	slices.SortFunc(members, func(a, b meta.Member) int { return cmp.Compare(a.Node, b.Node) })
	view := foundersHash(members)
	n.view.Store(&view)
	for id, g := range answers {
		if g.View != view {
			return nil, false, fmt.Sprintf("node %d hasn't heard from all", id)
		}
	}
	return members, true, ""
}

func (n *Node) foundWith(founders []meta.Member) {
	if err := n.found(Seed{Members: founders}); err != nil {
		n.fail(err)
		return
	}
	if founders[0].Node == n.opts.NodeID {
		// One of them needn't wait for an election timeout.
		n.later(func(c *Core) { _ = c.Campaign() }) // refused if there is a leader
	}
}

// enterCluster starts with an empty log, to get everything from the leader.
func (n *Node) enterCluster() {
	if err := n.found(Seed{}); err != nil {
		n.fail(err)
		return
	}
	n.settle()
}

// settle has the cluster know this node and its address: it asks members to
// let it in until the image has it so.
//
// It gives up when another process runs under its node id, and goes on to: a
// former incarnation of this node is not heard from for long.
func (n *Node) settle() {
	var logged, taken time.Time
	for n.ctx.Err() == nil {
		changed := n.members.wait()
		known := false
		n.View(func(m *meta.Image) {
			p, _ := m.Member(n.id().raftID)
			known = p == n.self()
		})
		if known {
			n.waiting.Store(nil)
			return
		}
		err := n.requestEntry()
		switch {
		case !errors.Is(err, ErrNodeIDTaken):
			taken = time.Time{}
		case taken.IsZero():
			taken = time.Now()
		case time.Since(taken) > takenTicks*n.opts.Tick:
			n.refuse(err)
			return
		}
		if err != nil {
			n.note(err)
		}
		if err != nil && time.Since(logged) > searchLog {
			n.opts.Logger.Info("waiting to enter the cluster", "error", err)
			logged = time.Now()
		}
		timer := time.NewTimer(searchPause)
		select {
		case <-changed:
		case <-timer.C:
		case <-n.ctx.Done():
		}
		timer.Stop()
	}
}

// requestEntry asks the controller, found through whoever answers, to let this
// node in.
func (n *Node) requestEntry() error {
	a := adminRequest{Op: opEnter, Member: n.self()}
	if s := n.Status(); s.Leader != 0 {
		return n.atController(n.ctx, a)
	}
	request, err := json.Marshal(a)
	if err != nil {
		return err
	}
	err = errors.New("no member answers")
	for _, addr := range n.entrances() {
		g, askErr := n.ask(n.ctx, addr)
		if askErr != nil {
			err = askErr
			continue
		}
		n.learn(g)
		if i := slices.IndexFunc(g.Members, func(m meta.Member) bool { return m.Node == g.Leader }); i >= 0 {
			addr = g.Members[i].Addr
		}
		ctx, cancel := context.WithTimeout(n.ctx, adminStep)
		_, err = readAnswer(n.opts.Transport.Call(ctx, addr, append([]byte{methodAdmin}, request...)))
		cancel()
		if err == nil {
			return nil
		}
	}
	return err
}

// learn tells the transport who the members are, as long as the image doesn't:
// without their addresses this node could not even vote. The lock keeps it from
// undoing what the loop learns meanwhile. Who knows no members teaches nothing.
func (n *Node) learn(g greeted) {
	if len(g.Members) == 0 {
		return
	}
	n.View(func(m *meta.Image) {
		if len(m.Members()) == 0 {
			n.opts.Transport.SetMembers(g.Cluster, g.Members)
		}
	})
}

// entrances are the addresses at which members may be.
func (n *Node) entrances() []string {
	var out []string
	add := func(addr string) {
		if addr != "" && addr != n.opts.Addr && !slices.Contains(out, addr) {
			out = append(out, addr)
		}
	}
	add(n.opts.Join)
	for _, id := range slices.Sorted(maps.Keys(n.opts.Peers)) {
		add(n.opts.Peers[id])
	}
	for _, m := range n.id().members {
		add(m.Addr)
	}
	return out
}

func (n *Node) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-n.ctx.Done():
	}
}
