package plog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"slices"
)

// A state snapshot is a file: header, then the owner's bytes.
const (
	stateMagic   = "CHRNSTAT"
	stateVersion = 1
	stateHeader  = 56
	statesKept   = 2
	maxState     = 1 << 30
)

// stateRef is a snapshot that is on disk.
type stateRef struct {
	offset int64
	number uint64
}

// encodeState makes the file's content.
func encodeState(f fileName, state []byte) []byte {
	b := make([]byte, stateHeader, stateHeader+len(state))
	copy(b, stateMagic)
	binary.LittleEndian.PutUint32(b[8:], stateVersion)
	copy(b[16:], f.id.Topic[:])
	binary.LittleEndian.PutUint32(b[32:], uint32(f.id.Partition))
	binary.LittleEndian.PutUint32(b[36:], f.incarnation)
	binary.LittleEndian.PutUint64(b[40:], uint64(f.base))
	b = append(b, state...)
	binary.LittleEndian.PutUint32(b[48:], crc32.Checksum(state, castagnoli))
	binary.LittleEndian.PutUint32(b[52:], crc32.Checksum(b[:52], castagnoli))
	return b
}

// decodeState returns the owner's bytes; they alias b.
func decodeState(f fileName, b []byte) ([]byte, error) {
	if len(b) < stateHeader || string(b[:8]) != stateMagic ||
		crc32.Checksum(b[:52], castagnoli) != binary.LittleEndian.Uint32(b[52:]) {
		return nil, errors.New("bad header")
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != stateVersion {
		return nil, fmt.Errorf("version %d is unknown", v)
	}
	state := b[stateHeader:]
	switch {
	case [16]byte(b[16:32]) != f.id.Topic, binary.LittleEndian.Uint32(b[32:]) != uint32(f.id.Partition),
		binary.LittleEndian.Uint32(b[36:]) != f.incarnation, binary.LittleEndian.Uint64(b[40:]) != uint64(f.base):
		return nil, errors.New("it is another log's or offset's")
	case crc32.Checksum(state, castagnoli) != binary.LittleEndian.Uint32(b[48:]):
		return nil, errors.New("bad checksum")
	}
	return state, nil
}

// SaveState keeps a snapshot of what the owner derived from the batches below
// offset. It is durable on return. The newest of the two highest offsets are
// kept; Truncate and Reset remove those that they make untrue. The state must
// not exceed 1 GiB. ErrBeyondEnd.
func (l *Log) SaveState(offset int64, state []byte) error {
	if len(state) > maxState {
		return l.wrap("save state of", fmt.Errorf("%d bytes are more than %d", len(state), maxState))
	}
	l.stateMu.Lock()
	defer l.stateMu.Unlock()
	if err := l.checkState(offset); err != nil {
		return l.wrap("save state of", err)
	}
	f := l.newName(offset, stateExt)
	if err := writeFile(l.s.opts.FS, l.s.path(f), encodeState(f, state), l.s.sync); err != nil {
		return l.wrap("save state of", err)
	}
	l.mu.Lock()
	drop := []stateRef{{offset: offset, number: f.number}}
	err := l.gone
	if err == nil {
		kept := slices.DeleteFunc(slices.Clone(l.states), func(r stateRef) bool { return r.offset == offset })
		kept = kept[max(0, len(kept)-statesKept+1):]
		kept = append(kept, drop[0])
		drop = slices.DeleteFunc(slices.Clone(l.states), func(r stateRef) bool { return slices.Contains(kept, r) })
		l.states = kept
	}
	l.mu.Unlock()
	for _, ref := range drop {
		l.s.discard(l.s.path(l.stateName(ref)))
		l.stateNames = true
	}
	return l.wrap("save state of", err)
}

// checkState tells whether a snapshot at offset may be saved.
func (l *Log) checkState(offset int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.gone != nil:
		return l.gone
	case offset < 0 || offset > l.end.Load():
		return fmt.Errorf("%w: %d, the end is %d", ErrBeyondEnd, offset, l.end.Load())
	}
	return nil
}

// LoadState returns the newest snapshot at or below atMost that can be read;
// none is not an error, for the log itself tells the same. What can't be read
// is skipped, and logged.
func (l *Log) LoadState(atMost int64) (offset int64, state []byte, ok bool, err error) {
	l.stateMu.Lock()
	defer l.stateMu.Unlock()
	l.mu.Lock()
	states, gone := slices.Clone(l.states), l.gone
	l.mu.Unlock()
	if gone != nil {
		return 0, nil, false, l.wrap("load state of", gone)
	}
	for _, ref := range slices.Backward(states) {
		if ref.offset > atMost {
			continue
		}
		name := l.s.path(l.stateName(ref))
		b, err := readFile(l.s.opts.FS, name, maxState+stateHeader)
		if err == nil {
			state, err = decodeState(l.stateName(ref), b)
		}
		if err != nil {
			l.s.opts.Logger.Warn("state snapshot can't be used", "log", l.id.String(), "file", name, "error", err)
			continue
		}
		return ref.offset, state, true, nil
	}
	return 0, nil, false, nil
}

func (l *Log) stateName(r stateRef) fileName {
	return fileName{id: l.id, incarnation: l.incarnation, base: r.offset, number: r.number, ext: stateExt}
}

// dropStates removes, durably, the snapshots above offset. It comes before the
// log is cut: a snapshot that is lost costs time, one that is untrue does harm.
// Under stateMu.
func (l *Log) dropStates(offset int64) error {
	l.mu.Lock()
	kept, dropped := splitStates(l.states, offset)
	l.states = kept
	l.mu.Unlock()
	for _, ref := range dropped {
		name := l.s.path(l.stateName(ref))
		if err := l.s.opts.FS.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if len(dropped) == 0 && !l.stateNames {
		return nil
	}
	err := l.s.syncDir(shardOf(l.id))
	l.stateNames = err != nil
	return err
}

// splitStates tells the snapshots at or below offset from those above.
func splitStates(states []stateRef, offset int64) (below, above []stateRef) {
	for _, ref := range states {
		if ref.offset <= offset {
			below = append(below, ref)
		} else {
			above = append(above, ref)
		}
	}
	return below, above
}

// discard removes a file that nothing needs. That it fails only costs space:
// the next Open removes what no log knows.
func (s *Store) discard(name string) {
	if err := s.opts.FS.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.opts.Logger.Warn("file was not removed", "file", name, "error", err)
	}
}
