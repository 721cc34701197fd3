package journal

import (
	"fmt"
	"slices"
)

// writeBytes is how much is encoded before it is handed to the file: writes
// are large enough, and the buffer stays small.
const writeBytes = 1 << 20

// NextLSN is the LSN that the next frame must have. Only for the goroutine
// that calls Write.
func (j *Journal) NextLSN() uint64 { return j.lsn }

// NextCycle is the number that the next Write gives to its cycle. Only for the
// goroutine that calls Write.
func (j *Journal) NextCycle() uint64 { return j.cycle + 1 }

// Write makes the frames of the next cycle durable; cycles are numbered without
// a gap. The frames' LSNs follow NextLSN without a gap too. The slice and the
// payloads are the caller's again when Write returns.
//
// A cycle may span files. After an error that says that the disk is full the
// same call may be repeated; after any other the journal must not be used
// again, for nobody knows what the disk holds.
func (j *Journal) Write(frames []Frame) error {
	cycle := j.cycle + 1
	for len(frames) > 0 && frames[0].LSN < j.lsn { // a repeated call
		frames = frames[1:]
	}
	for len(frames) > 0 {
		if frames[0].LSN != j.lsn {
			panic(fmt.Sprintf("journal: frame has LSN %d, want %d", frames[0].LSN, j.lsn))
		}
		n, err := j.fit(cycle, frames)
		if err != nil {
			return err
		}
		end, err := j.writePart(cycle, frames[:n], n == len(frames))
		if err != nil {
			return fmt.Errorf("write %s: %w", j.cur.name, err)
		}
		if !j.opts.NoSync {
			if err := j.cur.f.Sync(); err != nil {
				return &SyncError{File: j.cur.name, Err: err}
			}
		}
		j.pos, j.fresh = end, nil
		j.mu.Lock()
		j.lsn += uint64(n)
		j.cur.begun = true
		j.mu.Unlock()
		frames = frames[n:]
	}
	j.mu.Lock()
	j.cycle = cycle
	j.mu.Unlock()
	return nil
}

// SyncError says that a sync failed. The page cache can't be trusted after it.
type SyncError struct {
	File string
	Err  error
}

func (e *SyncError) Error() string { return "sync " + e.File + ": " + e.Err.Error() }

// Unwrap gives the file system's error.
func (e *SyncError) Unwrap() error { return e.Err }

// fit tells how many of the frames, at least one, go into the current file; it
// begins a new life where the first of them finds no room.
func (j *Journal) fit(cycle uint64, frames []Frame) (int, error) {
	if size := int64(frames[0].Size()); j.cur == nil || j.pos+size > j.cur.bytes {
		if err := j.begin(cycle, size); err != nil {
			return 0, err
		}
	}
	at, n := j.pos, 0
	for n < len(frames) {
		at += int64(frames[n].Size())
		if at > j.cur.bytes {
			break
		}
		n++
	}
	return n, nil
}

// begin takes a spare, or makes a file, for a new life with room for a frame.
func (j *Journal) begin(cycle uint64, size int64) error {
	need := size + PageBytes
	j.mu.Lock()
	i := slices.IndexFunc(j.spares, func(f *file) bool { return f.bytes >= need })
	var f *file
	if i >= 0 {
		f = j.spares[i]
		j.spares = slices.Delete(j.spares, i, i+1)
	}
	j.mu.Unlock()
	if f == nil {
		if need > j.opts.FileBytes {
			panic(fmt.Sprintf("journal: frame of %d bytes exceeds a file", size))
		}
		var err error
		if f, err = j.create(j.opts.FileBytes, nil); err != nil {
			return fmt.Errorf("begin a journal file: %w", err)
		}
	}
	h := header{
		Store: j.opts.Store, Seq: j.seq, Mark: j.mark, FirstLSN: j.lsn, FirstCycle: cycle, FileBytes: uint64(f.bytes),
	}
	f.seq, f.salt, f.mark, f.begun = j.seq, saltOf(j.opts.Store, j.seq), j.mark, false
	f.firstLSN, f.firstCycle, f.nextLSN = j.lsn, cycle, 0
	j.mu.Lock()
	if j.cur != nil {
		j.cur.nextLSN = j.lsn
	}
	j.live = append(j.live, f)
	j.cur = f
	j.seq++
	j.mu.Unlock()
	j.bytes.Add(f.bytes)
	j.pos, j.fresh = PageBytes, h.encode()
	return nil
}

// writePart writes frames, after the header page if the life is new, and pads
// to a page. It returns where the next cycle starts.
func (j *Journal) writePart(cycle uint64, frames []Frame, last bool) (end int64, err error) {
	at := j.pos
	buf := j.buf[:0]
	if j.fresh != nil {
		at -= PageBytes
		buf = append(buf, j.fresh...)
	}
	for i := range frames {
		fr := &frames[i]
		fr.Cycle, fr.Last, fr.mark = cycle, last && i == len(frames)-1, j.cur.mark
		buf = appendFrame(buf, j.cur.salt, fr)
		if len(buf) >= writeBytes {
			if _, err := j.cur.f.WriteAt(buf, at); err != nil {
				return 0, err
			}
			at += int64(len(buf))
			buf = buf[:0]
		}
	}
	if pad := int(-(at + int64(len(buf))) & (PageBytes - 1)); pad > 0 {
		buf = append(buf, zeroPage[:pad]...)
	}
	_, err = j.cur.f.WriteAt(buf, at)
	j.buf = buf[:0]
	if cap(j.buf) > 2*writeBytes {
		j.buf = nil
	}
	return at + int64(len(buf)), err
}

// zeroPage is never written.
var zeroPage [PageBytes]byte
