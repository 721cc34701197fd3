// Package journal is the write-ahead journal that all logs of a data directory
// share: one write and one sync make the appends of any number of logs durable.
//
// # Files
//
// The journal is a chain of files of one size. A file lives many lives: when
// no log needs its frames any more it becomes a spare, and is overwritten in a
// later life. Overwriting bytes that were written before needs no change of
// the file system's own metadata, which is what makes its sync fast; so spares
// are written with zeros before their first use. Each life has a sequence
// number, one more than the life before it in the chain, and a salt that is
// derived from it and from the store's random id. The salt starts the CRC of
// every frame: what an earlier life left behind never validates. A life whose
// first write was cut off may have lost its header, and its sequence number is
// used again after the restart; so the lives of one process carry a random mark
// too, in the header and in every frame.
//
// # Cycles
//
// Write takes the frames of one commit cycle. They start on a page of their
// own, so that no page that was synced is ever written again in the same life,
// and the page cache never has to read before it writes. The last frame of a
// cycle is marked.
//
// # Torn or corrupt
//
// Write returns after the sync, and the next cycle starts after that. So a
// frame that doesn't validate is the torn tail of an unanswered write only if
// no frame of a later cycle follows it anywhere; else it was synced once and
// is corrupt. After recovery the journal goes on in a new life, whose header
// tells at which LSN, so that a torn tail is not judged a second time.
//
// # Ownership
//
// Write, and nothing else, is called by one goroutine, the committer. Release
// and Prepare may be called by others. The byte formats are drawn in
// storage/plog/FORMAT.md.
package journal

import "errors"

// ErrCorrupt says that something in the journal was durable once and can't be
// read now. The text names the file. Nothing was deleted or changed.
var ErrCorrupt = errors.New("journal is corrupt")
