package raft

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	pb "go.etcd.io/raft/v3/raftpb"
)

// Message implements Handler.
func (n *Node) Message(m *pb.Message) {
	select {
	case n.inbox <- m:
	default: // the loop is behind; raft repeats what matters
	}
}

// Unreachable implements Handler.
func (n *Node) Unreachable(id uint64) {
	select {
	case n.control <- func(c *Core) { c.Unreachable(id) }:
	default: // a hint only
	}
}

// errSnapshotBusy: one snapshot at a time is enough.
var errSnapshotBusy = errors.New("another snapshot is being received")

// Snapshot implements Handler: the stream goes to a file, durable and checked,
// and only then raft hears of it.
func (n *Node) Snapshot(m *pb.Message, r io.Reader) error {
	if !n.receiving.TryLock() {
		return errSnapshotBusy
	}
	defer n.receiving.Unlock()
	dir := filepath.Join(n.opts.Dir, snapDir)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("receive snapshot: %w", err)
	}
	var suffix [8]byte
	if _, err := rand.Read(suffix[:]); err != nil {
		return fmt.Errorf("receive snapshot: %w", err)
	}
	name := filepath.Join(dir, hex.EncodeToString(suffix[:]))
	if err := storeSnapshot(name, m, r); err != nil {
		return errors.Join(fmt.Errorf("receive snapshot: %w", err), os.Remove(name))
	}
	m.Snapshot.Data = []byte(name)
	select {
	case n.inbox <- m:
		return nil
	case <-n.ctx.Done():
		return errors.Join(ErrClosed, os.Remove(name))
	}
}

// storeSnapshot writes and checks a stream.
func storeSnapshot(name string, m *pb.Message, r io.Reader) error {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	in := io.TeeReader(r, f)
	sm, err := readSnapshot(in, func(_, _ []byte) error { return nil })
	if err == nil {
		_, err = io.Copy(io.Discard, in) // its end is part of the protocol
	}
	if err == nil && sm.Index != m.GetSnapshot().GetMetadata().GetIndex() {
		err = fmt.Errorf("%w: stream of %d in a message of %d", ErrCorrupt,
			sm.Index, m.GetSnapshot().GetMetadata().GetIndex())
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// stream writes the snapshot.
func (s *snapshotSource) stream(w io.Writer) error {
	out := newSnapshotWriter(w, s.meta)
	err := s.snap.Scan(prefixState, nil, func(k, v []byte) error {
		out.pair(k[1:], v)
		return out.err
	})
	if err != nil {
		return asCorrupt(err)
	}
	return out.finish()
}
