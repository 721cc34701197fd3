package sim

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/chroniklog/chronik/raft"
	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/server/controller"
	"github.com/chroniklog/chronik/storage/plog"
	"github.com/chroniklog/chronik/storage/vfs"
)

// node is a machine: its disks, and the process that runs on it now.
type node struct {
	w         *world
	id        int32
	directory meta.ID
	mem       *vfs.Mem     // of the logs
	log       *raft.Memory // of the metadata
	skew      time.Duration

	life     int // of the process; a new one for every start
	up       bool
	paused   bool
	reviving bool
	held     []func() // what happens once it is no longer paused
	// synced is how far each partition's log was on the disk when the last
	// process ended.
	synced map[int32]int64

	process
}

// process is what a crash ends.
type process struct {
	disk        *disk
	incarnation meta.ID
	core        *raft.Core
	crashStage  raft.Stage
	crashArmed  bool
	controller  *controller.Core
	acting      bool // a command of the controller is in flight
	store       *plog.Store
	epoch       uint64 // of the broker; 0: not registered yet
	started     bool   // partitions have their roles
	parts       []*part
	asks        map[meta.ID]*ask
	asked       map[meta.ID][]int32 // who waits for a command's result here
	links       map[int32]*link     // to the leaders of what is copied
	touched     []meta.PartitionChanged
	reload      bool
	background  []func() // snapshots that wait for the watermark
	pending     []*answer

	planned struct{ raft, cycle, reconcile bool }
}

// after plans fn for this life of the node.
func (n *node) after(d time.Duration, fn func()) {
	life := n.life
	n.w.after(d, func() {
		if n.life == life {
			n.receive(fn)
		}
	})
}

// receive runs fn now if the node is up, or when it goes on.
func (n *node) receive(fn func()) {
	switch {
	case !n.up:
	case n.paused:
		n.held = append(n.held, fn)
	default:
		fn()
		n.crashIfDead()
	}
}

func (n *node) pause() {
	if n.up && !n.paused {
		n.w.note("pause", n.id)
		n.paused = true
	}
}

func (n *node) resume() {
	if !n.paused {
		return
	}
	n.w.note("resume", n.id)
	n.paused = false
	held := n.held
	n.held = nil
	life := n.life
	for _, fn := range held {
		if n.life == life {
			n.receive(fn)
		}
	}
}

// every runs fn again and again, about every period.
func (n *node) every(period time.Duration, fn func()) {
	n.after(period/2+time.Duration(n.w.rng.Int64N(int64(period))), func() {
		fn()
		n.every(period, fn)
	})
}

// wall is the node's clock, Unix milliseconds.
func (n *node) wall() int64 { return wallBase + (n.w.now + n.skew).Milliseconds() }

// start boots the node.
func (n *node) start() {
	if n.up {
		return
	}
	n.w.note("start", n.id)
	n.life++
	n.up, n.paused, n.held = true, false, nil
	n.process = process{
		disk: &disk{FS: n.mem}, incarnation: n.w.newID(), controller: controller.NewCore(controller.DefaultRules()),
		asks: map[meta.ID]*ask{}, asked: map[meta.ID][]int32{}, links: map[int32]*link{},
	}
	err := n.openStore()
	if err == nil {
		err = n.openRaft()
	}
	if err != nil {
		n.up = false
		n.w.fail("node %d: %w", n.id, err)
		return
	}
	n.every(raft.TickInterval, n.tick)
	n.every(50*time.Millisecond, n.control)
	n.every(250*time.Millisecond, n.beat)
	n.every(time.Second, n.tickReplicas)
	n.every(60*time.Millisecond, n.writeBehind)
	n.after(0, n.register)
}

func (n *node) openStore() (err error) {
	seed := rand.New(rand.NewPCG(n.w.rng.Uint64(), 1))
	n.store, err = plog.Open(context.Background(), plog.Options{
		FS: n.disk, Dir: "data", Manual: true, NoSync: n.w.o.Mutation.NoSync,
		Now: func() time.Time { return time.UnixMilli(n.wall()) }, Monotonic: func() time.Duration { return n.w.now },
		Random:           reader64{seed},
		JournalFileBytes: 64 << 10, MaxUnwritten: 1 << 20, WriteBehindBytes: 8 << 10, CheckpointBytes: 128 << 10,
		DirectBytes: 6 << 10, TailBytes: 24 << 10, ReserveBytes: -1, MaintenanceInterval: -1,
		Fatal: func(error) { n.disk.dead = true },
	})
	return err
}

// reader64 makes bytes of a source of chance.
type reader64 struct{ rng *rand.Rand }

func (r reader64) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r.rng.Uint32())
	}
	return len(b), nil
}

var _ io.Reader = reader64{}

// writeBehind is the store's background writer.
func (n *node) writeBehind() { n.store.Background() }

// crashIfDead ends the process if its disk did.
func (n *node) crashIfDead() {
	if n.up && n.disk.dead {
		n.crash(n.w.chance(0.7))
	}
}

// crash ends the process; power tells that the machine lost what it had not
// synced, too.
func (n *node) crash(power bool) {
	if !n.up {
		return
	}
	n.w.note("crash", n.id, b64(power))
	n.w.report.Crashes++
	n.disk.dead = true
	if power {
		n.mem = n.mem.Crash(n.w.rng.Uint64())
	} else {
		n.mem = n.mem.CrashKeepingAll()
	}
	n.remember()
	if n.w.o.Mutation.ForgetVotes {
		n.log.ForgetVote()
	}
	old := n.process
	n.life++
	n.up, n.paused, n.held = false, false, nil
	n.process = process{}
	for _, a := range old.pending {
		a.lost()
	}
	for _, id := range sortedKeys(old.links) {
		old.links[id].hangUp()
	}
	n.w.nodeGone(n)
	old.store.Abort()
	n.refuse()
}

// remember notes what a process that ends has on the disk.
func (n *node) remember() {
	if n.synced == nil {
		n.synced = map[int32]int64{}
	}
	for p := range int32(n.w.o.Partitions) {
		n.synced[p] = n.syncedTo(p)
	}
}

// syncedTo is the end of what the node has on the disk of a partition.
func (n *node) syncedTo(p int32) int64 {
	if n.store != nil {
		if log, ok := n.store.Log(n.w.logID(p)); ok {
			return log.FlushedOffset()
		}
	}
	return n.synced[p]
}

// refuse lets the controller find out that nobody listens here any more.
func (n *node) refuse() {
	if n.w.chance(0.5) {
		return
	}
	n.w.after(between(n.w.rng, time.Millisecond, 100*time.Millisecond), func() {
		for _, c := range n.w.nodes {
			if n.up || !c.up || c.paused || !c.controller.Leading() {
				continue
			}
			if b, ok := c.core.Image().Broker(n.id); ok && !b.Fenced {
				c.controller.Refused(b.ID, b.Epoch)
			}
		}
	})
}

// pump plans what this node has to do next.
func (n *node) pump() {
	if !n.up || n.paused {
		return
	}
	n.poll()
	if !n.planned.raft && n.core.HasReady() {
		n.planned.raft = true
		n.after(between(n.w.rng, 50*time.Microsecond, 2*time.Millisecond), n.processRaft)
	}
	if !n.planned.cycle && n.store.Pending() {
		n.planned.cycle = true
		n.after(between(n.w.rng, 0, time.Millisecond), n.beginCycle)
	}
	if !n.planned.reconcile && n.started && (len(n.touched) > 0 || n.reload) {
		n.planned.reconcile = true
		n.after(n.w.net.delay(), n.reconcile)
	}
	for _, id := range n.linked() {
		n.links[id].pump()
	}
}

// beginCycle starts a commit cycle, whose sync takes its time.
func (n *node) beginCycle() {
	if !n.store.StartCycle() {
		n.planned.cycle = false
		return
	}
	d := between(n.w.rng, 200*time.Microsecond, 4*time.Millisecond)
	if n.w.chance(n.w.net.slow) {
		d = between(n.w.rng, 10*time.Millisecond, 600*time.Millisecond)
	}
	n.after(d, func() {
		n.planned.cycle = false
		n.store.EndCycle()
	})
}

func b64(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (n *node) String() string { return fmt.Sprintf("node %d", n.id) }
