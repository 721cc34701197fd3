package raft

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	etcd "go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/chroniklog/chronik/raft/meta"
)

// Timing, in ticks. The driver of a core decides what a tick is; Node's is
// TickInterval.
const (
	// Half of the messages of an idle group are heartbeats' and their answers;
	// five of them fit into the shortest election.
	heartbeatTicks = 2
	electionTicks  = 10 // to 19, at random
)

// Limits of the log's traffic in bytes and messages.
const (
	maxMessageBytes     = 1 << 20
	maxInflightMessages = 256
	maxInflightBytes    = 16 << 20
	maxUncommittedBytes = 16 << 20
	// maxCommittedBytes bounds the commands of one apply; what they expand to
	// is cut into transactions.
	maxCommittedBytes = 1 << 20
)

// Core is the raft node without clock, goroutine or network: Tick, Step,
// Propose and the like change it in memory, and Process does what they amount
// to. Calls must come from one goroutine at a time. With Memory as storage,
// and etcd raft's random numbers seeded (testing/cryptotest.SetGlobalRandom),
// equal calls have equal outcomes.
type Core struct {
	cfg  CoreConfig
	rn   *etcd.RawNode
	soft etcd.SoftState

	applied Position
	conf    *pb.ConfState
	image   *meta.Image
	logged  appliedLog
	// stand is how many ticks are left to a candidature, 0 if there is none.
	stand int
	// lost is what Process is going to stop the core with.
	lost error
	// err is what stopped the core; it does nothing any more.
	err error
}

// CoreConfig is what a core works with; ID, Storage, Fence and Send are
// required.
type CoreConfig struct {
	// ID is the raft id: random, new for each incarnation of the storage.
	ID      uint64
	Storage Storage
	Fence   Fence
	// Send takes messages for other members. It must not block or call the
	// core. MsgSnap messages carry what Storage.Snapshot returned, and the
	// storage is still at that position.
	Send func([]*pb.Message)
	// Lock is held while the image changes; nil if nobody else reads it.
	Lock sync.Locker
	// OnApply has the events of applied entries, in order, after they are
	// durable. It must not block or call the core.
	OnApply func(index uint64, events []meta.Event)
	// OnResult has the result of each applied command.
	OnResult func(request meta.ID, r meta.Result)
	Logger   *slog.Logger
	// CompactEvery is how many applied entries trigger a compaction of the
	// log; CompactKeep how many it leaves for followers that lag.
	CompactEvery, CompactKeep uint64
	// Hook, when set, is called before each step of Process; an error from it
	// stops the core there, as a crash would.
	Hook func(Stage) error
}

// Stage names the steps of Process for Hook.
type Stage int

// The steps, in order. StageInstall comes only with a snapshot, StageCompact
// when the log is long.
const (
	StageInstall Stage = iota
	StageSave
	StageFence
	StageSend
	StageApply
	StageAdvance
	StageCompact
)

// NewCore starts a core from its storage.
func NewCore(cfg CoreConfig) (*Core, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.CompactEvery == 0 {
		cfg.CompactEvery = 10_000
	}
	if cfg.CompactKeep == 0 {
		cfg.CompactKeep = 5_000
	}
	if cfg.Lock == nil {
		cfg.Lock = new(sync.Mutex)
	}
	b, err := cfg.Storage.Load()
	if err != nil {
		return nil, fmt.Errorf("load metadata: %w", err)
	}
	// What was applied was committed; commits alone are not written.
	b.Hard.Commit = new(max(b.Hard.GetCommit(), b.Applied.Index))
	if b.Hard.GetCommit() > cfg.Storage.LastIndex() {
		return nil, fmt.Errorf("%w: commit %d is beyond the last entry %d", ErrCorrupt,
			b.Hard.GetCommit(), cfg.Storage.LastIndex())
	}
	c := &Core{cfg: cfg, applied: b.Applied, conf: b.Conf, image: b.Image}
	c.rn, err = etcd.NewRawNode(&etcd.Config{
		ID:            cfg.ID,
		ElectionTick:  electionTicks,
		HeartbeatTick: heartbeatTicks,
		Storage:       &logView{Storage: cfg.Storage, boot: &b},
		Applied:       b.Applied.Index,

		MaxSizePerMsg:             maxMessageBytes,
		MaxCommittedSizePerReady:  maxCommittedBytes,
		MaxUncommittedEntriesSize: maxUncommittedBytes,
		MaxInflightMsgs:           maxInflightMessages,
		MaxInflightBytes:          maxInflightBytes,

		CheckQuorum:               true,
		PreVote:                   true,
		ReadOnlyOption:            etcd.ReadOnlySafe,
		DisableProposalForwarding: true,
		StepDownOnRemoval:         true,
		Logger:                    etcdLogger{cfg.Logger},
	})
	if err != nil {
		return nil, fmt.Errorf("start raft: %w", err)
	}
	return c, nil
}

// logView is Storage as etcd raft wants it.
type logView struct {
	Storage
	boot *Boot
}

// InitialState implements etcd raft's Storage.
func (v *logView) InitialState() (*pb.HardState, *pb.ConfState, error) {
	return v.boot.Hard, v.boot.Conf, nil
}

// FirstIndex implements etcd raft's Storage.
func (v *logView) FirstIndex() (uint64, error) { return v.Storage.FirstIndex(), nil }

// LastIndex implements etcd raft's Storage.
func (v *logView) LastIndex() (uint64, error) { return v.Storage.LastIndex(), nil }

// Tick is one unit of time.
func (c *Core) Tick() {
	if c.err == nil {
		c.logged.tick(c.cfg.Logger)
		c.rn.Tick()
		c.succeed()
	}
}

// Step takes a message from another member. Messages that make no sense here
// are dropped.
func (c *Core) Step(m *pb.Message) {
	if c.err != nil || c.lost != nil || m.GetTo() != c.cfg.ID {
		return
	}
	// A heartbeat commits no more than what this member acknowledged.
	if last := c.cfg.Storage.LastIndex(); m.GetType() == pb.MsgHeartbeat && m.GetCommit() > last {
		c.lost = fmt.Errorf("%w: the controller has this node's word for entry %d, and the last one here is %d: "+
			"the data directory is an older copy of itself, or the disk lost what it had synced; "+
			"let this node enter anew with --join and an empty directory", ErrCorrupt, m.GetCommit(), last)
		return
	}
	if err := c.rn.Step(m); err != nil && !errors.Is(err, etcd.ErrProposalDropped) {
		c.cfg.Logger.Debug("dropped raft message", "type", m.GetType(), "from", m.GetFrom(), "error", err)
	}
}

// Campaign starts an election at once.
func (c *Core) Campaign() error { return c.rn.Campaign() }

// Propose proposes an encoded command. ErrNotLeader: another member must do
// it; ErrBusy: too much is uncommitted. Otherwise the result comes to
// OnResult, unless the leader changes before: then it may or may not be
// applied later.
func (c *Core) Propose(cmd []byte) error {
	if c.err != nil {
		return c.err
	}
	if c.soft.RaftState != etcd.StateLeader {
		return errNotLeader
	}
	return proposeError(c.rn.Propose(cmd))
}

// ProposeConf proposes a change of the members.
func (c *Core) ProposeConf(cc *pb.ConfChangeV2) error {
	if c.err != nil {
		return c.err
	}
	if c.soft.RaftState != etcd.StateLeader {
		return errNotLeader
	}
	return proposeError(c.rn.ProposeConfChange(cc))
}

func proposeError(err error) error {
	if errors.Is(err, etcd.ErrProposalDropped) {
		return errDropped
	}
	return err
}

// Transfer asks the leader to hand over to another voter.
func (c *Core) Transfer(to uint64) { c.rn.TransferLeader(to) }

// Unreachable tells that messages to a member were lost.
func (c *Core) Unreachable(id uint64) { c.rn.ReportUnreachable(id) }

// SnapshotSent tells how the sending of a snapshot ended. It must be called
// once for each MsgSnap.
func (c *Core) SnapshotSent(id uint64, ok bool) {
	status := etcd.SnapshotFinish
	if !ok {
		status = etcd.SnapshotFailure
	}
	c.rn.ReportSnapshot(id, status)
}

// State is where the core is.
type State struct {
	Term, Commit, LastIndex uint64
	Applied                 Position
	Lead                    uint64 // raft id; 0: none known
	Role                    etcd.StateType
	Conf                    *pb.ConfState // read-only
}

// State reads the core's state.
func (c *Core) State() State {
	st := c.rn.BasicStatus()
	return State{
		Term: st.GetTerm(), Commit: st.GetCommit(), LastIndex: c.cfg.Storage.LastIndex(),
		Applied: c.applied, Lead: st.Lead, Role: st.RaftState, Conf: c.conf,
	}
}

// Image is the applied state. Without CoreConfig.Lock only the core's
// goroutine may read it. Install replaces it.
func (c *Core) Image() *meta.Image { return c.image }
