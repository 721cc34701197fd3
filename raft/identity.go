package raft

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/storage/vfs"
)

// identity says whose log a directory holds. It is a file of its own, so that
// it survives the log:
//
//	magic "CHKRAFT" version u8, raft id u64, node id u32,
//	cluster id length u8, cluster id, members (encodeMembers), CRC-32C u32
type identity struct {
	raftID  uint64
	node    NodeID
	cluster string
	// members are those that were known last: where to ask for a healthy
	// quorum when the log is corrupt.
	members []meta.Member
}

const (
	identityName    = "identity"
	identityMagic   = "CHKRAFT"
	identityVersion = 1
	maxIdentity     = 64 << 10
)

// newRaftID is random and neither 0 nor one of etcd raft's own numbers.
func newRaftID() (uint64, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b[:])>>1 | 1, nil
}

func (i *identity) encode() []byte {
	b := append([]byte(identityMagic), identityVersion)
	b = binary.LittleEndian.AppendUint64(b, i.raftID)
	b = binary.LittleEndian.AppendUint32(b, uint32(i.node))
	b = append(b, byte(len(i.cluster)))
	b = append(b, i.cluster...)
	b = append(b, encodeMembers(i.members)...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func parseIdentity(b []byte) (identity, error) {
	const fixed = len(identityMagic) + 1 + 8 + 4 + 1
	var i identity
	if len(b) < fixed+4 || string(b[:len(identityMagic)]) != identityMagic {
		return i, fmt.Errorf("%w: not an identity", ErrCorrupt)
	}
	if v := b[len(identityMagic)]; v != identityVersion {
		return i, fmt.Errorf("identity version %d, this release reads %d; upgrade this node", v, identityVersion)
	}
	body, crc := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != crc {
		return i, fmt.Errorf("%w: checksum", ErrCorrupt)
	}
	rest := body[len(identityMagic)+1:]
	i.raftID, i.node = binary.LittleEndian.Uint64(rest), int32(binary.LittleEndian.Uint32(rest[8:]))
	n := int(rest[12])
	rest = rest[13:]
	if n > len(rest) {
		return i, fmt.Errorf("%w: cluster id", ErrCorrupt)
	}
	i.cluster = string(rest[:n])
	var err error
	i.members, err = decodeMembers(rest[n:])
	return i, err
}

// loadIdentity reads the identity; fs.ErrNotExist if there is none.
func loadIdentity(files vfs.FS, dir string) (identity, error) {
	name := path.Join(dir, identityName)
	f, err := files.OpenRead(name)
	if err != nil {
		return identity{}, err
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, maxIdentity))
	if err := errors.Join(err, f.Close()); err != nil {
		return identity{}, fmt.Errorf("read %s: %w", name, err)
	}
	i, err := parseIdentity(b)
	if err != nil {
		return i, fmt.Errorf("%s: %w", name, err)
	}
	return i, nil
}

// save replaces the identity; a crash leaves the old or the new one.
func (i *identity) save(files vfs.FS, dir string) error {
	name := path.Join(dir, identityName)
	tmp := name + ".tmp"
	if err := files.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write identity: %w", err)
	}
	f, err := files.Create(tmp)
	if err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	_, err = f.WriteAt(i.encode(), 0)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	if err := files.Rename(tmp, name); err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	return files.SyncDir(dir)
}
