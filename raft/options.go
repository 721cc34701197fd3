package raft

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/storage/vfs"
)

// NodeID names a broker.
type NodeID = meta.NodeID

// TickInterval is the length of a tick: heartbeats go out each tick, elections
// begin after 10 to 19 of silence.
const TickInterval = 50 * time.Millisecond

// Defaults of Options.
const (
	DefaultMinFree        = 32 << 20
	DefaultBallast        = 64 << 20
	DefaultProposeTimeout = 30 * time.Second
)

// Bounds of the node's queues. What doesn't fit is refused (proposals) or
// dropped (messages: raft sends them again).
const (
	maxProposals = 4096
	maxInbox     = 1024
)

// Options of a node. Dir, NodeID and Fatal are required.
type Options struct {
	Dir    string // for the metadata only; made if absent
	NodeID NodeID
	// Addr is the peer address that other members are told, host:port.
	Addr string
	// Peers is the static quorum of a first start, this node included: every
	// node the same map. Empty, and no Join: this node is the sole voter.
	Peers map[NodeID]string
	// Join is the peer address of a member of a running cluster to enter.
	Join string
	// Transport connects to other nodes; nil: a sole voter without peers. The
	// node closes it.
	Transport Transport

	Logger *slog.Logger
	Now    func() time.Time
	// OnApply has the events of applied commands, in order, once they are
	// durable. It is called by the loop: it must not block, nor propose.
	OnApply func(index uint64, events []meta.Event)
	// Fatal must end the process. It is called at most once, by the loop.
	Fatal func(error)

	// Metrics are told what the node does; nil: nobody is.
	Metrics *Metrics

	// FS is where fence and identity are; nil: the machine's.
	FS vfs.FS
	// MinFree and Ballast are bytes; 0: the defaults, negative: none.
	MinFree, Ballast int64
	// Tick is the length of a tick; 0: TickInterval.
	Tick time.Duration
	// ProposeTimeout ends a Propose whose context has no earlier deadline.
	ProposeTimeout time.Duration
	// CompactEvery and CompactKeep: see CoreConfig.
	CompactEvery, CompactKeep uint64
}

// Metrics are told what a node does. None may block.
type Metrics struct {
	// Round has the time of one round of the loop's work: save, sync, send,
	// apply.
	Round func(took time.Duration)
	// Proposed has the time of one Propose; answered: the command got a
	// result, a refusal included.
	Proposed func(took time.Duration, answered bool)
	// Installed: a snapshot was taken over.
	Installed func()
}

func (o *Options) defaults() error {
	if o.Metrics == nil {
		o.Metrics = &Metrics{
			Round: func(time.Duration) {}, Proposed: func(time.Duration, bool) {}, Installed: func() {},
		}
	}
	switch {
	case o.Dir == "":
		return errors.New("raft: no directory")
	case o.NodeID < 1:
		return fmt.Errorf("raft: node id %d; 1 is the lowest", o.NodeID)
	case o.Fatal == nil:
		return errors.New("raft: no Fatal")
	case len(o.Peers) > 0 && o.Peers[o.NodeID] == "":
		return fmt.Errorf("raft: the peers lack this node (%d)", o.NodeID)
	case (len(o.Peers) > 0 || o.Join != "") && o.Transport == nil:
		return errors.New("raft: peers need a transport")
	case len(o.Peers) > 0 && o.Join != "":
		return errors.New("raft: peers and join exclude each other")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.FS == nil {
		o.FS = vfs.OS()
	}
	if o.MinFree == 0 {
		o.MinFree = DefaultMinFree
	}
	if o.Ballast == 0 {
		o.Ballast = DefaultBallast
	}
	o.Ballast = max(o.Ballast, 0)
	if o.Tick == 0 {
		o.Tick = TickInterval
	}
	if o.ProposeTimeout == 0 {
		o.ProposeTimeout = DefaultProposeTimeout
	}
	if o.Addr == "" {
		o.Addr = o.Peers[o.NodeID]
	}
	return nil
}

func (o *Options) disk(raftID uint64) diskOptions {
	return diskOptions{FS: o.FS, Dir: o.Dir, RaftID: raftID, Logger: o.Logger, MinFree: o.MinFree, Ballast: o.Ballast}
}
