package raft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"path/filepath"
	"strings"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/chroniklog/chronik/storage/kv"
	"github.com/chroniklog/chronik/storage/vfs"
)

// Disk is the Storage of a real node: two stores and a fence in one directory.
//
//	log/       m = raft id of the owner
//	           h = hard state, last entry, transaction count
//	           s = position before the first entry, number of the state directory
//	           l + index BE64 = term, type, data
//	state-N/   a = applied position, ConfState, count and sum of the keys
//	           k + key = the image's keys
//	fence      see fenceFile
//	snap/      snapshots being received
//
// Only entries between s and h's last count: cutting the log at either end is
// one small transaction, and the leftovers are removed later. Installing a
// snapshot fills a new state directory and then, in one transaction of the
// log, points s to it.
type Disk struct {
	files   vfs.FS
	dir     string
	raftID  uint64
	logger  *slog.Logger
	minFree int64
	ballast int64

	log   *kv.DB
	fence *fenceFile

	hard  *pb.HardState
	seq   uint64
	start Position // of the entry before the first
	last  Position
	tail  tail

	state    *kv.DB
	stateNum uint64
	applied  Position
	conf     *pb.ConfState
	tally    tally

	// step, when set, is called after each durable write of an installation or
	// a compaction: a crash may come there.
	step func()
}

// wrote tells of a durable write.
func (d *Disk) wrote() {
	if d.step != nil {
		d.step()
	}
}

// diskOptions say where the metadata is and what disk must remain free.
type diskOptions struct {
	FS      vfs.FS // nil: the machine's. The stores' own files are always there
	Dir     string
	RaftID  uint64 // the log's owner
	Logger  *slog.Logger
	MinFree int64 // kv.Options.MinFree
	Ballast int64 // kv.Options.Ballast
}

// recordVersion begins each value of both stores.
const recordVersion = 1

var (
	keyOwner    = []byte("m")
	keyHard     = []byte("h")
	keyStart    = []byte("s")
	keyApplied  = []byte("a")
	prefixEntry = []byte("l")
	prefixState = []byte("k")
)

const (
	logDir   = "log"
	statePre = "state-"
	snapDir  = "snap"
)

// errFresh: the directory holds no log yet.
var errFresh = errors.New("no metadata log yet")

// openDisk opens a log that createDisk made. ErrCorrupt if what is there
// contradicts the fence or itself; errFresh if there is nothing.
func openDisk(o diskOptions) (*Disk, error) {
	d := newDisk(o)
	fenced, err := fenceExists(d.files, d.dir)
	if err != nil {
		return nil, fmt.Errorf("open metadata log: %w", err)
	}
	if !fenced {
		return nil, d.unfenced()
	}
	if err := d.openLog(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func newDisk(o diskOptions) *Disk {
	d := &Disk{
		files: o.FS, dir: filepath.ToSlash(o.Dir), raftID: o.RaftID, logger: o.Logger,
		minFree: o.MinFree, ballast: o.Ballast,
	}
	if d.files == nil {
		d.files = vfs.OS()
	}
	if d.logger == nil {
		d.logger = slog.New(slog.DiscardHandler)
	}
	return d
}

// unfenced judges a directory without a fence: nothing may be there that is
// older than one.
func (d *Disk) unfenced() error {
	names, err := d.files.ReadDir(d.dir)
	if err != nil {
		return fmt.Errorf("open metadata log: %w", err)
	}
	for _, n := range names {
		if n.Name == logDir {
			return fmt.Errorf("%w: %s is missing, but %s exists", ErrCorrupt,
				path.Join(d.dir, fenceName), path.Join(d.dir, logDir))
		}
	}
	return errFresh
}

func (d *Disk) openLog() error {
	fence, mark, err := openFence(d.files, d.dir)
	if err != nil {
		return err
	}
	d.fence = fence
	d.log, err = d.openKV(logDir, d.ballast)
	if err != nil {
		return err
	}
	fresh, err := d.readHeads()
	if err != nil {
		return err
	}
	if fresh {
		if mark != (Mark{}) {
			return d.corrupt("log is empty, but the fence saw transaction %d", mark.Seq)
		}
		return errFresh
	}
	if mark == (Mark{}) && d.seq > 1 {
		return d.corrupt("log is at transaction %d, but %s is empty", d.seq, fenceName)
	}
	if err := d.readEntries(); err != nil {
		return err
	}
	if err := d.openState(); err != nil {
		return err
	}
	if err := d.Mark().check(mark); err != nil {
		return d.corrupt("%v", err)
	}
	return d.sweep()
}

func (d *Disk) openKV(name string, ballast int64) (*kv.DB, error) {
	db, err := kv.Open(kv.Options{
		Dir: filepath.FromSlash(path.Join(d.dir, name)), Logger: d.logger, MinFree: d.minFree,
		Ballast: ballast, FS: d.files,
	})
	return db, asCorrupt(err)
}

// asCorrupt gives the store's conditions this package's names.
func asCorrupt(err error) error {
	switch {
	case errors.Is(err, kv.ErrCorrupt):
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	case errors.Is(err, kv.ErrDiskFull):
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	return err
}

func (d *Disk) corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ErrCorrupt, d.dir, fmt.Sprintf(format, args...))
}

// createDisk makes a log that begins with a seed. Remains of an attempt that
// a crash interrupted are replaced; it must not be called on a log that
// openDisk can open.
func createDisk(o diskOptions, seed Seed) (*Disk, error) {
	d := newDisk(o)
	if err := d.create(seed); err != nil {
		return nil, errors.Join(fmt.Errorf("create metadata log: %w", err), d.Close())
	}
	return d, nil
}

func (d *Disk) create(seed Seed) error {
	if err := d.wipe(); err != nil {
		return err
	}
	b, changes := seed.boot()
	d.hard, d.start, d.last, d.stateNum = b.Hard, b.Applied, b.Applied, 1
	d.tail.reset(d.start.Index + 1)
	var err error
	if d.state, err = d.openKV(d.stateName(), 0); err != nil {
		return err
	}
	if err := d.Apply(Applied{Position: b.Applied, Conf: b.Conf, Changes: changes}); err != nil {
		return err
	}
	if err := createFence(d.files, d.dir); err != nil {
		return err
	}
	if d.fence, _, err = openFence(d.files, d.dir); err != nil {
		return err
	}
	if d.log, err = d.openKV(logDir, d.ballast); err != nil {
		return err
	}
	if err := d.files.SyncDir(d.dir); err != nil {
		return err
	}
	var batch kv.Batch
	batch.Put(keyOwner, record(d.raftID))
	d.putStart(&batch)
	if err := d.writeLog(&batch); err != nil {
		return err
	}
	return d.fence.Write(d.Mark())
}

func (d *Disk) stateName() string { return fmt.Sprintf("%s%d", statePre, d.stateNum) }

// wipe removes everything of this log. The fence goes last: while it is there
// a log that is not looks corrupt, not fresh.
func (d *Disk) wipe() error {
	names, err := d.files.ReadDir(d.dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		if n.Name == logDir || n.Name == snapDir || strings.HasPrefix(n.Name, statePre) {
			if err := d.files.RemoveAll(path.Join(d.dir, n.Name)); err != nil {
				return err
			}
		}
	}
	if err := d.files.SyncDir(d.dir); err != nil {
		return err
	}
	if err := d.files.RemoveAll(path.Join(d.dir, fenceName)); err != nil {
		return err
	}
	return d.files.SyncDir(d.dir)
}

// sweep removes what a crash left: other state directories, received
// snapshots, entries outside of the log.
func (d *Disk) sweep() error {
	names, err := d.files.ReadDir(d.dir)
	if err != nil {
		return fmt.Errorf("open metadata log: %w", err)
	}
	for _, n := range names {
		stale := strings.HasPrefix(n.Name, statePre) && n.Name != d.stateName()
		if !stale && n.Name != snapDir {
			continue
		}
		if err := d.files.RemoveAll(path.Join(d.dir, n.Name)); err != nil {
			return fmt.Errorf("open metadata log: %w", err)
		}
	}
	return d.dropBelow(nil, d.start.Index)
}

// Mark implements Storage.
func (d *Disk) Mark() Mark {
	return Mark{
		Seq: d.seq, Term: d.hard.GetTerm(), Vote: d.hard.GetVote(),
		LastIndex: d.last.Index, LastTerm: d.last.Term, Applied: d.applied.Index,
	}
}

// CheckSpace is ErrDiskFull when n more bytes would be refused.
func (d *Disk) CheckSpace(n int) error {
	return asCorrupt(errors.Join(d.log.CheckSpace(n)))
}

// Close closes both stores and the fence.
func (d *Disk) Close() error {
	var errs []error
	if d.log != nil {
		errs = append(errs, d.log.Close())
	}
	if d.state != nil {
		errs = append(errs, d.state.Close())
	}
	if d.fence != nil {
		errs = append(errs, d.fence.close())
	}
	d.log, d.state, d.fence = nil, nil, nil
	return errors.Join(errs...)
}

// readHeads reads h and s; fresh if there is neither.
func (d *Disk) readHeads() (fresh bool, err error) {
	h, err := d.log.Get(keyHard)
	if errors.Is(err, kv.ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, asCorrupt(err)
	}
	s, err := d.log.Get(keyStart)
	if errors.Is(err, kv.ErrNotFound) {
		return false, d.corrupt("log has no start")
	}
	if err != nil {
		return false, asCorrupt(err)
	}
	if err := d.checkOwner(); err != nil {
		return false, err
	}
	hv, err := d.numbers(h, 6)
	if err != nil {
		return false, err
	}
	sv, err := d.numbers(s, 3)
	if err != nil {
		return false, err
	}
	d.seq, d.last = hv[0], Position{Index: hv[4], Term: hv[5]}
	d.hard = &pb.HardState{Term: &hv[1], Vote: &hv[2], Commit: &hv[3]}
	d.start, d.stateNum = Position{Index: sv[0], Term: sv[1]}, sv[2]
	return false, nil
}

// checkOwner makes sure that the log is this raft id's, not one that a crash
// left when the node had given it up.
func (d *Disk) checkOwner() error {
	b, err := d.log.Get(keyOwner)
	if err != nil {
		return fmt.Errorf("%w: %s: owner: %w", ErrCorrupt, path.Join(d.dir, logDir), err)
	}
	v, err := d.numbers(b, 1)
	if err == nil && v[0] != d.raftID {
		return d.corrupt("log belongs to raft id %x, not %x", v[0], d.raftID)
	}
	return err
}

// numbers reads a record of n u64.
func (d *Disk) numbers(b []byte, n int) ([]uint64, error) {
	if len(b) > 0 && b[0] > recordVersion {
		return nil, fmt.Errorf("%s: record version %d, this release reads up to %d; upgrade this node",
			d.dir, b[0], recordVersion)
	}
	if len(b) != 1+8*n || b[0] == 0 {
		return nil, d.corrupt("record of %d bytes", len(b))
	}
	out := make([]uint64, n)
	for i := range out {
		out[i] = binary.LittleEndian.Uint64(b[1+8*i:])
	}
	return out, nil
}

func record(v ...uint64) []byte {
	b := make([]byte, 0, 1+8*len(v))
	b = append(b, recordVersion)
	for _, n := range v {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return b
}
