package plog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path"
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
// offset. It is durable on return. The two newest are kept; Truncate and Reset
// remove those that they make untrue. The state must not exceed 1 GiB.
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
	states := append(l.states, stateRef{offset: offset, number: f.number})
	for len(states) > statesKept {
		l.s.discard(l.s.path(l.stateName(states[0])))
		states = states[1:]
	}
	l.states = states
	return nil
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
	if err := l.usable(); err != nil {
		return 0, nil, false, l.wrap("load state of", err)
	}
	for i := len(l.states) - 1; i >= 0; i-- {
		ref := l.states[i]
		if ref.offset > atMost {
			continue
		}
		name := l.s.path(l.stateName(ref))
		b, err := readFile(l.s.opts.FS, name, maxState+stateHeader)
		if err == nil {
			state, err = decodeState(l.stateName(ref), b)
		}
		if err != nil {
			l.s.opts.Logger.Warn("state snapshot can't be used", "log", l.id.String(), "file", name, "err", err)
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
func (l *Log) dropStates(offset int64) error {
	l.stateMu.Lock()
	defer l.stateMu.Unlock()
	kept := l.states[:0]
	dropped := false
	for _, ref := range l.states {
		if ref.offset <= offset {
			kept = append(kept, ref)
			continue
		}
		name := l.s.path(l.stateName(ref))
		if err := l.s.opts.FS.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		dropped = true
	}
	l.states = kept
	if !dropped {
		return nil
	}
	return l.s.opts.FS.SyncDir(path.Dir(l.s.path(l.stateName(stateRef{}))))
}

// discard removes a file that nothing needs. That it fails only costs space:
// the next Open removes what no log knows.
func (s *Store) discard(name string) {
	if err := s.opts.FS.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.opts.Logger.Warn("file was not removed", "file", name, "err", err)
	}
}
