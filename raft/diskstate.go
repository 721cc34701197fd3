package raft

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"

	etcd "go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/storage/kv"
)

// tally counts the state's keys and sums their hashes. The store checks each
// value that it returns, but can't tell that a key is missing.
type tally struct{ keys, sum uint64 }

func (t *tally) add(k, v []byte) { t.keys++; t.sum += pairHash(k, v) }
func (t *tally) sub(k, v []byte) { t.keys--; t.sum -= pairHash(k, v) }

// pairHash is FNV-1a over key, value and the key's length.
func pairHash(k, v []byte) uint64 {
	const prime = 1099511628211
	h := uint64(14695981039346656037) ^ uint64(len(k))
	for _, c := range k {
		h = (h ^ uint64(c)) * prime
	}
	for _, c := range v {
		h = (h ^ uint64(c)) * prime
	}
	return h
}

func stateKey(k []byte) []byte { return append(prefixState[:1:1], k...) }

// Load implements Storage.
func (d *Disk) Load() (Boot, error) {
	image, err := d.loadImage()
	if err != nil {
		return Boot{}, err
	}
	hard := proto.Clone(d.hard).(*pb.HardState)
	return Boot{Hard: hard, Conf: proto.Clone(d.conf).(*pb.ConfState), Applied: d.applied, Image: image}, nil
}

func (d *Disk) loadImage() (*meta.Image, error) {
	var seen tally
	var scanErr error
	s := d.state.Snapshot()
	defer s.Close()
	image, err := meta.Load(func(yield func(k, v []byte) bool) {
		scanErr = s.Scan(prefixState, nil, func(k, v []byte) error {
			seen.add(k[1:], v)
			if !yield(k[1:], v) {
				return errStop
			}
			return nil
		})
	})
	if scanErr != nil && scanErr != errStop {
		return nil, asCorrupt(scanErr)
	}
	if errors.Is(err, meta.ErrVersion) {
		return nil, fmt.Errorf("%s: %w", path.Join(d.dir, d.stateName()), err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, path.Join(d.dir, d.stateName()), err)
	}
	if seen != d.tally {
		return nil, fmt.Errorf("%w: %s: %d keys with sum %x, not %d with %x", ErrCorrupt,
			path.Join(d.dir, d.stateName()), seen.keys, seen.sum, d.tally.keys, d.tally.sum)
	}
	return image, nil
}

// openState opens the state that s points to and reads a.
func (d *Disk) openState() error {
	name := path.Join(d.dir, d.stateName())
	if _, err := d.files.Stat(name); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrCorrupt, name, err)
	}
	db, err := d.openKV(d.stateName(), 0)
	if err != nil {
		return err
	}
	d.state = db
	b, err := db.Get(keyApplied)
	if err != nil {
		return fmt.Errorf("%w: %s: applied position: %w", ErrCorrupt, name, err)
	}
	if err := d.decodeApplied(b); err != nil {
		return err
	}
	if d.applied.Index < d.start.Index || d.applied.Index > d.last.Index {
		return fmt.Errorf("%w: %s: applied %d, but the log is %d to %d", ErrCorrupt, name,
			d.applied.Index, d.FirstIndex(), d.last.Index)
	}
	return nil
}

func (d *Disk) encodeApplied() ([]byte, error) {
	conf, err := proto.MarshalOptions{Deterministic: true}.Marshal(d.conf)
	return append(record(d.applied.Index, d.applied.Term, d.tally.keys, d.tally.sum), conf...), err
}

func (d *Disk) decodeApplied(b []byte) error {
	const fixed = 1 + 4*8
	v, err := d.numbers(b[:min(len(b), fixed)], 4)
	if err != nil {
		return err
	}
	conf := &pb.ConfState{}
	if err := proto.Unmarshal(b[fixed:], conf); err != nil {
		return d.corrupt("configuration: %v", err)
	}
	d.applied, d.tally = Position{Index: v[0], Term: v[1]}, tally{keys: v[2], sum: v[3]}
	d.conf = pb.EnsureConfState(conf)
	return nil
}

// Apply implements Storage: one transaction.
func (d *Disk) Apply(a Applied) error {
	final := make(map[string][]byte, len(a.Changes))
	for _, c := range a.Changes {
		final[string(c.Key)] = c.Value
	}
	var batch kv.Batch
	s := d.state.Snapshot()
	defer s.Close()
	next := d.tally
	for key, value := range final {
		k := []byte(key)
		old, err := s.Get(stateKey(k))
		switch {
		case err == nil:
			next.sub(k, old)
		case !errors.Is(err, kv.ErrNotFound):
			return asCorrupt(err)
		}
		if value == nil {
			batch.Delete(stateKey(k))
			continue
		}
		next.add(k, value)
		batch.Put(stateKey(k), value)
	}
	d.applied, d.conf, d.tally = a.Position, a.Conf, next
	v, err := d.encodeApplied()
	if err != nil {
		return err
	}
	batch.Put(keyApplied, v)
	return asCorrupt(d.state.Write(&batch))
}

// Snapshot implements Storage: Data is empty, the stream is OpenSnapshot's.
func (d *Disk) Snapshot() (*pb.Snapshot, error) {
	if d.applied.Index == 0 {
		return nil, etcd.ErrSnapshotTemporarilyUnavailable
	}
	return &pb.Snapshot{Metadata: snapshotMetadata(d.applied, d.conf)}, nil
}

// snapshotSource is the applied state at one moment. It may be read by another
// goroutine; Close it before the Disk.
type snapshotSource struct {
	meta SnapshotMeta
	snap *kv.Snapshot
}

func (d *Disk) openSnapshot() *snapshotSource {
	return &snapshotSource{
		meta: SnapshotMeta{Position: d.applied, Conf: proto.Clone(d.conf).(*pb.ConfState)},
		snap: d.state.Snapshot(),
	}
}

func (s *snapshotSource) Close() { s.snap.Close() }

// Install implements Storage. Data is the name of the file that holds the
// stream.
func (d *Disk) Install(snap *pb.Snapshot, hard *pb.HardState) (*meta.Image, error) {
	name := string(snap.GetData())
	next := newDisk(diskOptions{
		FS: d.files, Dir: filepath.FromSlash(d.dir), Logger: d.logger, MinFree: d.minFree,
	})
	next.stateNum, next.step = d.stateNum+1, d.step
	if err := next.fill(name); err != nil {
		return nil, errors.Join(fmt.Errorf("install snapshot: %w", err), next.Close())
	}
	m := snap.GetMetadata()
	if next.applied.Index != m.GetIndex() || next.applied.Term != m.GetTerm() {
		err := d.corrupt("snapshot %s is of %d, not %d", name, next.applied.Index, m.GetIndex())
		return nil, errors.Join(err, next.Close())
	}
	image, err := next.loadImage()
	if err != nil {
		return nil, errors.Join(err, next.Close())
	}
	old := d.state
	oldName := d.stateName()
	d.state, d.stateNum = next.state, next.stateNum
	d.applied, d.conf, d.tally = next.applied, next.conf, next.tally
	d.start, d.last = d.applied, d.applied
	d.tail.reset(d.start.Index + 1)
	if !etcd.IsEmptyHardState(hard) {
		d.hard = proto.Clone(hard).(*pb.HardState)
	}
	var batch kv.Batch
	d.putStart(&batch)
	if err := errors.Join(d.writeLog(&batch), old.Close()); err != nil {
		return nil, err
	}
	d.wrote()
	if err := d.files.RemoveAll(path.Join(d.dir, oldName)); err != nil {
		return nil, fmt.Errorf("install snapshot: %w", err)
	}
	if err := os.Remove(name); err != nil {
		return nil, fmt.Errorf("install snapshot: %w", err)
	}
	d.wrote()
	return image, d.dropBelow(nil, d.start.Index)
}

// fill makes the state directory of d from a snapshot file.
func (d *Disk) fill(name string) error {
	if err := d.files.RemoveAll(path.Join(d.dir, d.stateName())); err != nil {
		return err
	}
	var err error
	if d.state, err = d.openKV(d.stateName(), 0); err != nil {
		return err
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	var batch kv.Batch
	m, err := readSnapshot(f, func(k, v []byte) error {
		d.tally.add(k, v)
		batch.Put(stateKey(k), append([]byte{}, v...))
		if batch.Size() < kv.MaxBatch/2 && batch.Len() < kv.MaxBatchKeys/2 {
			return nil
		}
		defer batch.Reset()
		return asCorrupt(d.state.Write(&batch))
	})
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	d.applied, d.conf = m.Position, m.Conf
	v, err := d.encodeApplied()
	if err != nil {
		return err
	}
	d.wrote()
	batch.Put(keyApplied, v)
	if err := d.state.Write(&batch); err != nil {
		return asCorrupt(err)
	}
	d.wrote()
	return d.files.SyncDir(d.dir)
}
