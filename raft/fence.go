package raft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path"

	"github.com/chroniklog/chronik/storage/vfs"
)

// The fence file is two slots of 4 KiB, written in turn, so that a torn write
// leaves the other one:
//
//	magic u32, version u32, count u64, seq u64, term u64, vote u64,
//	last index u64, last term u64, applied u64, CRC-32C u32 of all before
//
// Numbers are little endian; the rest of a slot is zero.
const (
	fenceName    = "fence"
	fenceSlot    = 4096
	fenceMagic   = 0x4b46_4843
	fenceVersion = 1
)

// fenceFile is the fence on disk.
type fenceFile struct {
	f     vfs.File
	name  string
	count uint64
	buf   [fenceSlot]byte
}

// createFence makes an empty fence file, durable in its directory.
func createFence(files vfs.FS, dir string) error {
	name := path.Join(dir, fenceName)
	f, err := files.Create(name)
	if err != nil {
		return fmt.Errorf("create fence: %w", err)
	}
	_, err = f.WriteAt(make([]byte, 2*fenceSlot), 0)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("create fence %s: %w", name, err)
	}
	return files.SyncDir(dir)
}

// openFence opens the fence and returns its newest mark; the zero mark if
// nothing was written yet. fs.ErrNotExist if there is none; ErrCorrupt if
// neither slot is good.
func openFence(files vfs.FS, dir string) (*fenceFile, Mark, error) {
	name := path.Join(dir, fenceName)
	f, err := files.Open(name)
	if err != nil {
		return nil, Mark{}, err
	}
	c := &fenceFile{f: f, name: name}
	m, err := c.read()
	if err != nil {
		return nil, Mark{}, errors.Join(err, f.Close())
	}
	return c, m, nil
}

func fenceExists(files vfs.FS, dir string) (bool, error) {
	_, err := files.Stat(path.Join(dir, fenceName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (c *fenceFile) read() (best Mark, err error) {
	var slots [2 * fenceSlot]byte
	if size, err := c.f.Size(); err != nil || size != int64(len(slots)) {
		return best, errors.Join(fmt.Errorf("%w: %s has %d bytes, not %d", ErrCorrupt, c.name, size, len(slots)), err)
	}
	if _, err := c.f.ReadAt(slots[:], 0); err != nil {
		return best, fmt.Errorf("read fence %s: %w", c.name, err)
	}
	found := false
	for _, slot := range [][]byte{slots[:fenceSlot], slots[fenceSlot:]} {
		count, m, ok := parseMark(slot)
		if ok && (!found || count > c.count) {
			best, c.count, found = m, count, true
		}
	}
	if !found && !bytes.Equal(slots[:], make([]byte, len(slots))) {
		return best, fmt.Errorf("%w: %s: checksum of both slots", ErrCorrupt, c.name)
	}
	return best, nil
}

// Write implements Fence: one write and one fdatasync.
func (c *fenceFile) Write(m Mark) error {
	c.count++
	b := c.buf[:0]
	b = binary.LittleEndian.AppendUint32(b, fenceMagic)
	b = binary.LittleEndian.AppendUint32(b, fenceVersion)
	for _, v := range []uint64{c.count, m.Seq, m.Term, m.Vote, m.LastIndex, m.LastTerm, m.Applied} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if _, err := c.f.WriteAt(c.buf[:], int64(c.count%2)*fenceSlot); err != nil {
		return fmt.Errorf("write fence %s: %w", c.name, err)
	}
	if err := c.f.Sync(); err != nil {
		return fmt.Errorf("sync fence %s: %w", c.name, err)
	}
	return nil
}

func (c *fenceFile) close() error { return c.f.Close() }

func parseMark(b []byte) (count uint64, m Mark, ok bool) {
	const size = 8 + 7*8
	if binary.LittleEndian.Uint32(b) != fenceMagic || binary.LittleEndian.Uint32(b[4:]) != fenceVersion ||
		binary.LittleEndian.Uint32(b[size:]) != crc32.Checksum(b[:size], castagnoli) {
		return 0, m, false
	}
	var v [7]uint64
	for i := range v {
		v[i] = binary.LittleEndian.Uint64(b[8+8*i:])
	}
	return v[0], Mark{Seq: v[1], Term: v[2], Vote: v[3], LastIndex: v[4], LastTerm: v[5], Applied: v[6]}, true
}

// check compares the store with the fence.
func (m Mark) check(fence Mark) error {
	switch {
	case m.Seq < fence.Seq || m.Applied < fence.Applied:
		return fmt.Errorf("log transaction %d, applied %d; the fence saw %d and %d",
			m.Seq, m.Applied, fence.Seq, fence.Applied)
	case m.Seq == fence.Seq && (m.Term != fence.Term || m.Vote != fence.Vote ||
		m.LastIndex != fence.LastIndex || m.LastTerm != fence.LastTerm):
		return fmt.Errorf("term %d, vote %x, last %d/%d; the fence saw %d, %x, %d/%d in the same transaction",
			m.Term, m.Vote, m.LastIndex, m.LastTerm, fence.Term, fence.Vote, fence.LastIndex, fence.LastTerm)
	case m.Term < fence.Term:
		return fmt.Errorf("term %d; the fence saw %d", m.Term, fence.Term)
	}
	return nil
}
