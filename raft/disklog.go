package raft

import (
	"encoding/binary"
	"fmt"

	etcd "go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/chroniklog/chronik/storage/kv"
)

func entryKey(index uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{prefixEntry[0]}, index)
}

func encodeEntry(e *pb.Entry) []byte {
	b := make([]byte, 0, 10+len(e.GetData()))
	b = append(b, recordVersion, byte(e.GetType()))
	b = binary.AppendUvarint(b, e.GetTerm())
	return append(b, e.GetData()...)
}

func decodeEntry(index uint64, b []byte) (*pb.Entry, error) {
	if len(b) < 3 || b[0] != recordVersion || b[1] > byte(pb.EntryConfChangeV2) {
		return nil, fmt.Errorf("entry %d is malformed", index)
	}
	term, n := binary.Uvarint(b[2:])
	if n <= 0 {
		return nil, fmt.Errorf("entry %d is malformed", index)
	}
	e := &pb.Entry{Term: new(term), Index: new(index), Type: pb.EntryType(b[1]).Enum()}
	if data := b[2+n:]; len(data) > 0 {
		e.Data = append([]byte(nil), data...)
	}
	return e, nil
}

// readEntries checks that every entry is there and fills the tail.
func (d *Disk) readEntries() error {
	switch {
	case d.last.Index < d.start.Index:
		return d.corrupt("log ends at %d before it starts at %d", d.last.Index, d.start.Index)
	case d.last.Index == d.start.Index && d.last.Term != d.start.Term:
		return d.corrupt("empty log ends in term %d and starts in %d", d.last.Term, d.start.Term)
	}
	next, prev := d.start.Index+1, d.start.Term
	d.tail.reset(next)
	s := d.log.Snapshot()
	defer s.Close()
	err := s.Scan(prefixEntry, entryKey(next), func(k, v []byte) error {
		if len(k) != 9 {
			return d.corrupt("key %q", k)
		}
		index := binary.BigEndian.Uint64(k[1:])
		if index > d.last.Index {
			return nil // left over from a longer log
		}
		e, err := decodeEntry(index, v)
		switch {
		case err != nil:
			return d.corrupt("%v", err)
		case index != next:
			return d.corrupt("entry %d is missing", next)
		case e.GetTerm() < prev || e.GetTerm() > d.hard.GetTerm():
			return d.corrupt("entry %d is of term %d, after %d and at most %d", index, e.GetTerm(), prev, d.hard.GetTerm())
		}
		next, prev = next+1, e.GetTerm()
		d.tail.append(e)
		return nil
	})
	if err != nil {
		return asCorrupt(err)
	}
	if next != d.last.Index+1 {
		return d.corrupt("entry %d is missing", next)
	}
	if prev != d.last.Term {
		return d.corrupt("last entry %d is of term %d, not %d", d.last.Index, prev, d.last.Term)
	}
	return nil
}

// FirstIndex implements Storage.
func (d *Disk) FirstIndex() uint64 { return d.start.Index + 1 }

// LastIndex implements Storage.
func (d *Disk) LastIndex() uint64 { return d.last.Index }

// Term implements Storage.
func (d *Disk) Term(i uint64) (uint64, error) {
	switch {
	case i < d.start.Index:
		return 0, etcd.ErrCompacted
	case i == d.start.Index:
		return d.start.Term, nil
	case i == d.last.Index:
		return d.last.Term, nil
	case i > d.last.Index:
		return 0, etcd.ErrUnavailable
	}
	e, err := d.entry(i)
	return e.GetTerm(), err
}

func (d *Disk) entry(i uint64) (*pb.Entry, error) {
	if e := d.tail.get(i); e != nil {
		return e, nil
	}
	b, err := d.log.Get(entryKey(i))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: entry %d: %w", ErrCorrupt, d.dir, i, err)
	}
	e, err := decodeEntry(i, b)
	if err != nil {
		return nil, d.corrupt("%v", err)
	}
	return e, nil
}

// Entries implements Storage.
func (d *Disk) Entries(lo, hi, maxSize uint64) ([]*pb.Entry, error) {
	if lo <= d.start.Index {
		return nil, etcd.ErrCompacted
	}
	if hi > d.last.Index+1 {
		return nil, etcd.ErrUnavailable
	}
	var out []*pb.Entry
	var size uint64
	for i := lo; i < hi; i++ {
		e, err := d.entry(i)
		if err != nil {
			return nil, err
		}
		size += uint64(proto.Size(e))
		if len(out) > 0 && size > maxSize {
			break
		}
		out = append(out, e)
	}
	return out, nil
}

// Save implements Storage. Entries that exceed one transaction go in several;
// the log is whole after each of them, because the hard state (which never
// takes anything back) and the end of the log go with it.
func (d *Disk) Save(entries []*pb.Entry, hard *pb.HardState) error {
	if len(entries) > 0 {
		if first := entries[0].GetIndex(); first <= d.start.Index || first > d.last.Index+1 {
			return d.corrupt("append at %d to a log of %d to %d", first, d.FirstIndex(), d.last.Index)
		}
	}
	if !etcd.IsEmptyHardState(hard) {
		d.hard = proto.Clone(hard).(*pb.HardState)
	}
	var batch kv.Batch
	for _, e := range entries {
		v := encodeEntry(e)
		if batch.Len() > 0 && (batch.Size()+len(v) > kv.MaxBatch-1024 || batch.Len() >= kv.MaxBatchKeys-2) {
			if err := d.writeLog(&batch); err != nil {
				return err
			}
			batch.Reset()
		}
		batch.Put(entryKey(e.GetIndex()), v)
		d.tail.append(e)
		d.last = Position{Index: e.GetIndex(), Term: e.GetTerm()}
	}
	return d.writeLog(&batch)
}

// writeLog commits a batch together with the head of the log.
func (d *Disk) writeLog(b *kv.Batch) error {
	d.seq++
	b.Put(keyHard, record(d.seq, d.hard.GetTerm(), d.hard.GetVote(), min(d.hard.GetCommit(), d.last.Index),
		d.last.Index, d.last.Term))
	return asCorrupt(d.log.Write(b))
}

func (d *Disk) putStart(b *kv.Batch) {
	b.Put(keyStart, record(d.start.Index, d.start.Term, d.stateNum))
}

// Compact implements Storage.
func (d *Disk) Compact(index uint64) error {
	if index <= d.start.Index {
		return nil
	}
	if index > d.applied.Index {
		return fmt.Errorf("compact to %d, but only %d is applied", index, d.applied.Index)
	}
	term, err := d.Term(index)
	if err != nil {
		return err
	}
	from := entryKey(d.start.Index)
	d.start = Position{Index: index, Term: term}
	d.tail.dropTo(index)
	var batch kv.Batch
	d.putStart(&batch)
	if err := d.writeLog(&batch); err != nil {
		return err
	}
	d.wrote()
	if err := d.fence.Write(d.Mark()); err != nil {
		return err
	}
	d.wrote()
	return d.dropBelow(from, index)
}

// dropBelow removes what entries there are from the key on up to index, in
// transactions of bounded size. Starting behind what was removed before keeps
// the scan off Badger's tombstones.
func (d *Disk) dropBelow(from []byte, index uint64) error {
	var keys [][]byte
	s := d.log.Snapshot()
	err := s.Scan(prefixEntry, from, func(k, _ []byte) error {
		if len(k) == 9 && binary.BigEndian.Uint64(k[1:]) > index {
			return errStop
		}
		keys = append(keys, append([]byte(nil), k...))
		return nil
	})
	s.Close()
	if err != nil && err != errStop {
		return asCorrupt(err)
	}
	for len(keys) > 0 {
		var batch kv.Batch
		n := min(len(keys), kv.MaxBatchKeys)
		for _, k := range keys[:n] {
			batch.Delete(k)
		}
		if err := d.log.Write(&batch); err != nil {
			return asCorrupt(err)
		}
		d.wrote()
		keys = keys[n:]
	}
	return nil
}
