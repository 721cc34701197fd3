package raft

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// A snapshot is the state's keys and values as a stream, on the wire and in a
// file:
//
//	magic  "CHKSNAP" version u8
//	frame  length u32, CRC-32C u32 of the payload, payload
//	…
//	end    length 0, CRC 0, SHA-256 of all payloads
//
// The first payload is index u64, term u64, ConfState (protobuf); the others
// are pairs: key length uvarint, value length uvarint, key, value. Numbers are
// little endian.
const (
	snapshotMagic    = "CHKSNAP"
	snapshotVersion  = 1
	snapshotFrame    = 64 << 10 // a frame ends with the pair that exceeds it
	maxSnapshotFrame = 2 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// SnapshotMeta is where a snapshot was taken.
type SnapshotMeta struct {
	Position
	Conf *pb.ConfState
}

func snapshotMetadata(p Position, conf *pb.ConfState) *pb.SnapshotMetadata {
	return &pb.SnapshotMetadata{
		ConfState: proto.Clone(conf).(*pb.ConfState), Index: new(p.Index), Term: new(p.Term),
	}
}

// snapshotWriter writes a snapshot; the first error sticks.
type snapshotWriter struct {
	w   io.Writer
	buf []byte
	sum hash.Hash
	err error
}

func newSnapshotWriter(w io.Writer, m SnapshotMeta) *snapshotWriter {
	s := &snapshotWriter{w: w, sum: sha256.New()}
	_, s.err = w.Write(append([]byte(snapshotMagic), snapshotVersion))
	conf, err := proto.MarshalOptions{Deterministic: true}.Marshal(m.Conf)
	if err != nil && s.err == nil {
		s.err = err
	}
	s.buf = binary.LittleEndian.AppendUint64(s.buf, m.Index)
	s.buf = binary.LittleEndian.AppendUint64(s.buf, m.Term)
	s.buf = append(s.buf, conf...)
	s.flush()
	return s
}

func (s *snapshotWriter) pair(k, v []byte) {
	s.buf = binary.AppendUvarint(s.buf, uint64(len(k)))
	s.buf = binary.AppendUvarint(s.buf, uint64(len(v)))
	s.buf = append(append(s.buf, k...), v...)
	if len(s.buf) >= snapshotFrame {
		s.flush()
	}
}

func (s *snapshotWriter) flush() {
	if s.err != nil || len(s.buf) == 0 {
		return
	}
	var head [8]byte
	binary.LittleEndian.PutUint32(head[:], uint32(len(s.buf)))
	binary.LittleEndian.PutUint32(head[4:], crc32.Checksum(s.buf, castagnoli))
	s.sum.Write(s.buf)
	if _, s.err = s.w.Write(head[:]); s.err == nil {
		_, s.err = s.w.Write(s.buf)
	}
	s.buf = s.buf[:0]
}

func (s *snapshotWriter) finish() error {
	s.flush()
	if s.err == nil {
		_, s.err = s.w.Write(s.sum.Sum(make([]byte, 8)))
	}
	return s.err
}

// readSnapshot reads a whole snapshot and calls fn with each pair, which is
// valid until fn returns. ErrCorrupt if anything is wrong with it; pairs that
// fn saw by then mean nothing.
func readSnapshot(r io.Reader, fn func(k, v []byte) error) (SnapshotMeta, error) {
	in := snapshotReader{r: bufio.NewReader(r), sum: sha256.New()}
	m, err := in.head()
	if err != nil {
		return m, err
	}
	for {
		frame, err := in.frame()
		if err != nil || frame == nil {
			return m, err
		}
		for len(frame) > 0 {
			k, v, rest, err := cutPair(frame)
			if err != nil {
				return m, err
			}
			if err := fn(k, v); err != nil {
				return m, err
			}
			frame = rest
		}
	}
}

type snapshotReader struct {
	r   *bufio.Reader
	sum hash.Hash
	buf []byte
}

func corruptSnapshot(what string) error { return fmt.Errorf("%w: snapshot: %s", ErrCorrupt, what) }

func (s *snapshotReader) head() (m SnapshotMeta, err error) {
	var magic [len(snapshotMagic) + 1]byte
	if _, err := io.ReadFull(s.r, magic[:]); err != nil {
		return m, short(err)
	}
	if string(magic[:len(snapshotMagic)]) != snapshotMagic {
		return m, corruptSnapshot("magic")
	}
	if v := magic[len(snapshotMagic)]; v != snapshotVersion {
		return m, fmt.Errorf("snapshot version %d, this release reads %d; upgrade this node", v, snapshotVersion)
	}
	b, err := s.frame()
	if err != nil {
		return m, err
	}
	if len(b) < 16 {
		return m, corruptSnapshot("header")
	}
	m.Index, m.Term = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	m.Conf = &pb.ConfState{}
	if err := proto.Unmarshal(b[16:], m.Conf); err != nil {
		return m, corruptSnapshot("configuration")
	}
	pb.EnsureConfState(m.Conf)
	return m, nil
}

// frame returns the next payload, valid until the next call; nil at a good
// end.
func (s *snapshotReader) frame() ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(s.r, head[:]); err != nil {
		return nil, short(err)
	}
	n, crc := binary.LittleEndian.Uint32(head[:]), binary.LittleEndian.Uint32(head[4:])
	if n == 0 {
		var sum [sha256.Size]byte
		if _, err := io.ReadFull(s.r, sum[:]); err != nil {
			return nil, short(err)
		}
		if crc != 0 || !bytes.Equal(sum[:], s.sum.Sum(nil)) {
			return nil, corruptSnapshot("SHA-256")
		}
		return nil, nil
	}
	if n > maxSnapshotFrame {
		return nil, corruptSnapshot("frame length")
	}
	if cap(s.buf) < int(n) {
		s.buf = make([]byte, n)
	}
	s.buf = s.buf[:n]
	if _, err := io.ReadFull(s.r, s.buf); err != nil {
		return nil, short(err)
	}
	if crc32.Checksum(s.buf, castagnoli) != crc {
		return nil, corruptSnapshot("frame checksum")
	}
	s.sum.Write(s.buf)
	return s.buf, nil
}

func short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return corruptSnapshot("short")
	}
	return fmt.Errorf("read snapshot: %w", err)
}

func cutPair(b []byte) (k, v, rest []byte, err error) {
	nk, a := binary.Uvarint(b)
	if a <= 0 {
		return nil, nil, nil, corruptSnapshot("pair")
	}
	nv, c := binary.Uvarint(b[a:])
	if c <= 0 {
		return nil, nil, nil, corruptSnapshot("pair")
	}
	b = b[a+c:]
	if nk > uint64(len(b)) || nv > uint64(len(b))-nk {
		return nil, nil, nil, corruptSnapshot("pair")
	}
	return b[:nk], b[nk : nk+nv], b[nk+nv:], nil
}
