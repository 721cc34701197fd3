package raft

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"

	etcd "go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/chroniklog/chronik/raft/meta"
)

// Node is a member of the metadata group. Its methods are safe for concurrent
// use.
type Node struct {
	opts  Options
	ident atomic.Pointer[identity]

	// imageMu guards the image; the loop is its only writer.
	imageMu sync.RWMutex
	image   *meta.Image
	seq     atomic.Uint64 // image's request count, for new requests

	// core and disk belong to the loop once it has begun.
	core *Core
	disk *Disk

	inbox     chan *pb.Message
	proposals chan *proposal
	control   chan func(*Core)
	waiters   waiters

	status  atomic.Pointer[Status]
	changed broadcast // controller or term
	members broadcast
	ready   chan struct{}
	// refused has why the cluster does not let this node in; waiting is why it
	// is not in yet.
	refused chan error
	waiting atomic.Pointer[error]
	// launched: there is a log. view is the founders that a node without one
	// knows.
	launched  atomic.Bool
	view      atomic.Pointer[string]
	receiving sync.Mutex // a snapshot

	member membership

	turns atomic.Uint64 // of the loop

	stop   context.CancelFunc
	ctx    context.Context
	group  sync.WaitGroup
	closed atomic.Bool
	failed atomic.Pointer[error]
}

// Status is the node's view of the metadata group.
type Status struct {
	Term, Commit, Applied, LastIndex uint64
	// Leader is the controller's node id; 0: none is known.
	Leader NodeID
	// Voters and Learners are node ids; while members change a node may be
	// in both.
	Voters, Learners []NodeID
	// Changing: a change of the voters is under way; until it is over the old
	// voters' majority is needed, too.
	Changing bool
	State    string // "booting", "StateFollower", "StateLeader", …
	RaftID   uint64
	leader   uint64
}

// Controller tells whether this node is the controller.
func (s Status) Controller() bool { return s.leader != 0 && s.leader == s.RaftID }

// Open starts a node. For a sole voter or a member that was here before the
// log is opened, and errors are those of the disk: ErrCorrupt, ErrDiskFull. A
// node that must first find its cluster returns at once and goes on looking;
// see Ready.
func Open(ctx context.Context, o Options) (*Node, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	n := &Node{
		opts:      o,
		image:     meta.NewImage(),
		inbox:     make(chan *pb.Message, maxInbox),
		proposals: make(chan *proposal, maxProposals),
		control:   make(chan func(*Core), 64),
		ready:     make(chan struct{}),
		refused:   make(chan error, 1),
	}
	n.changed.init()
	n.members.init()
	n.waiters.init()
	n.ctx, n.stop = context.WithCancel(context.WithoutCancel(ctx))
	n.status.Store(&Status{State: "booting"})
	if err := n.start(ctx); err != nil {
		n.stop()
		n.group.Wait()
		if o.Transport != nil {
			err = errors.Join(err, o.Transport.Close())
		}
		if n.disk != nil {
			err = errors.Join(err, n.disk.Close())
		}
		return nil, fmt.Errorf("open metadata log: %w", err)
	}
	return n, nil
}

func (n *Node) start(ctx context.Context) error {
	if err := n.opts.FS.MkdirAll(filepath.ToSlash(n.opts.Dir)); err != nil {
		return err
	}
	if err := n.identify(); err != nil {
		return err
	}
	if n.opts.Transport != nil {
		if err := n.opts.Transport.Start(Self{RaftID: n.id().raftID, Node: n.opts.NodeID}, n); err != nil {
			return err
		}
	}
	return n.boot(ctx)
}

// launch starts the loop over an open disk.
func (n *Node) launch(d *Disk) error {
	core, err := NewCore(CoreConfig{
		ID:           n.id().raftID,
		Storage:      d,
		Fence:        d.fence,
		Send:         n.send,
		Lock:         &n.imageMu,
		OnApply:      n.onApply,
		OnResult:     n.waiters.resolve,
		Logger:       n.opts.Logger,
		CompactEvery: n.opts.CompactEvery,
		CompactKeep:  n.opts.CompactKeep,
	})
	if err != nil {
		return errors.Join(err, d.Close())
	}
	n.disk, n.core = d, core
	n.imageMu.Lock()
	n.image = core.Image()
	n.seq.Store(n.image.Seq())
	n.imageMu.Unlock()
	n.membersChanged()
	if voters := core.State().Conf.GetVoters(); len(voters) == 1 && voters[0] == n.id().raftID {
		if err := core.Campaign(); err != nil {
			return errors.Join(fmt.Errorf("campaign: %w", err), d.Close())
		}
	}
	n.publish()
	n.launched.Store(true)
	n.group.Go(n.run)
	return nil
}

// View calls f with the image under a read lock: it holds up the loop, so it
// must be short, and must not call the node. What f takes away must be
// cloned.
func (n *Node) View(f func(*meta.Image)) {
	n.imageMu.RLock()
	defer n.imageMu.RUnlock()
	f(n.image)
}

// Status is where the node was at the end of its last round.
func (n *Node) Status() Status { return *n.status.Load() }

// Turns is the number of turns of the loop so far, which makes one each Tick
// at least; busy is false when it need not turn: before there is a log, and
// once the node is closed or has failed.
func (n *Node) Turns() (turns uint64, busy bool) {
	return n.turns.Load(), n.launched.Load() && n.ctx.Err() == nil
}

// Ready is closed when a leader is known and the image has caught up with it.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Refused has the error of a node that will not be let in before somebody
// changes something, ErrNodeIDTaken or ErrForeign; it gives up.
func (n *Node) Refused() <-chan error { return n.refused }

// Waiting is why the node has not found or entered its cluster yet, as far as
// it knows.
func (n *Node) Waiting() error {
	if err := n.waiting.Load(); err != nil {
		return *err
	}
	return nil
}

// refuse gives up.
func (n *Node) refuse(err error) {
	n.waiting.Store(&err)
	n.opts.Logger.Error("the cluster does not let this node in", "error", err)
	n.refused <- err // the first and last: who calls it returns
}

// Changed is closed when controller or term change; get it before Status.
func (n *Node) Changed() <-chan struct{} { return n.changed.wait() }

// NodeID is the node's own id.
func (n *Node) NodeID() NodeID { return n.opts.NodeID }

// Close stops the node and closes its files. Proposals that wait end with
// ErrOutcomeUnknown.
func (n *Node) Close() error {
	if n.closed.Swap(true) {
		return nil
	}
	n.stop()
	n.group.Wait()
	var err error
	if n.opts.Transport != nil {
		err = n.opts.Transport.Close()
	}
	n.waiters.failAll(errLost)
	if n.disk != nil {
		err = errors.Join(err, n.disk.Close())
	}
	return err
}

// fail stops the node for good.
func (n *Node) fail(err error) {
	n.failed.Store(&err)
	n.stop()
	n.waiters.failAll(errLost)
	n.opts.Logger.Error("metadata log failed", "error", err)
	n.opts.Fatal(err)
}

// publish makes the core's state visible, and says so when it matters.
func (n *Node) publish() {
	st := n.core.State()
	old := n.status.Load()
	s := &Status{
		Term: st.Term, Commit: st.Commit, Applied: st.Applied.Index, LastIndex: st.LastIndex,
		State: st.Role.String(), RaftID: n.id().raftID, leader: st.Lead,
		Leader: n.nodeOf(st.Lead), Changing: len(st.Conf.GetVotersOutgoing()) > 0,
	}
	if st.Conf == n.member.conf && old.RaftID != 0 {
		s.Voters, s.Learners = old.Voters, old.Learners
	} else {
		s.Voters, s.Learners = n.nodesOf(st.Conf.GetVoters()), n.nodesOf(st.Conf.GetLearners())
		n.member.conf = st.Conf
	}
	n.status.Store(s)
	wasLeader := old.leader == n.id().raftID && old.leader != 0
	if wasLeader && st.Role != etcd.StateLeader {
		n.waiters.failAll(errLost)
	}
	if old.leader != st.Lead || old.Term != st.Term {
		n.changed.signal()
	}
	if st.Lead != 0 && st.Applied.Term == st.Term && st.Applied.Index >= st.Commit {
		select {
		case <-n.ready:
		default:
			close(n.ready)
		}
	}
}

// nodeOf is the node id of a raft id. Only the loop may call it.
func (n *Node) nodeOf(raftID uint64) NodeID {
	m, _ := n.image.Member(raftID)
	return m.Node
}

func (n *Node) nodesOf(raftIDs []uint64) []NodeID {
	out := make([]NodeID, 0, len(raftIDs))
	for _, id := range raftIDs {
		out = append(out, n.nodeOf(id))
	}
	return out
}

// onApply is called by the core.
func (n *Node) onApply(index uint64, events []meta.Event) {
	n.seq.Store(n.image.Seq())
	for _, e := range events {
		switch e.(type) {
		case meta.MembersChanged, meta.ImageReplaced, meta.ClusterInfoSet:
			n.membersChanged()
		}
	}
	if n.opts.OnApply != nil {
		n.opts.OnApply(index, events)
	}
}

// broadcast is a channel that is closed at each signal and replaced.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{}
}

func (b *broadcast) init() { b.ch = make(chan struct{}) }

func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ch
}

func (b *broadcast) signal() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.ch)
	b.ch = make(chan struct{})
}
