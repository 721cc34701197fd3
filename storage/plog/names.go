package plog

import (
	"encoding/hex"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// The kinds of files of a log; they are the names' extensions.
const (
	segmentExt = "seg"   // records
	indexExt   = "idx"   // where offsets are in a segment
	stateExt   = "state" // snapshot of the owner's state
)

// shards is the number of directories that logs' files are spread over. It
// bounds the directory syncs that any number of new files needs.
const shards = 16

// fileName is a log's file. No two files ever have the same number, so a name
// is never used twice, and an old file can be removed at leisure.
type fileName struct {
	id          ID
	incarnation uint32
	base        int64 // first offset; of a state: the offset it stands at
	number      uint64
	ext         string
}

// shard is the directory of the log's files.
func (s *Store) shard(n int) string {
	return path.Join(s.opts.Dir, "logs", strconv.FormatInt(int64(n), shards))
}

func shardOf(id ID) int { return int(id.Topic[15] % shards) }

// path is where the file is.
func (s *Store) path(f fileName) string { return path.Join(s.shard(shardOf(f.id)), f.String()) }

// String is the name without the directory.
func (f fileName) String() string {
	return fmt.Sprintf("%s-%d-%d-%020d-%d.%s",
		hex.EncodeToString(f.id.Topic[:]), f.id.Partition, f.incarnation, f.base, f.number, f.ext)
}

// parseName is the inverse of String.
func parseName(name string) (f fileName, ok bool) {
	stem, ext, found := strings.Cut(name, ".")
	parts := strings.Split(stem, "-")
	if !found || len(parts) != 5 {
		return f, false
	}
	topic, err := hex.DecodeString(parts[0])
	if err != nil || len(topic) != 16 {
		return f, false
	}
	f.id.Topic = [16]byte(topic)
	var n [4]uint64
	for i, bits := range []int{31, 32, 63, 64} {
		if n[i], err = strconv.ParseUint(parts[i+1], 10, bits); err != nil {
			return f, false
		}
	}
	f.id.Partition, f.incarnation, f.base, f.number = int32(n[0]), uint32(n[1]), int64(n[2]), n[3]
	switch ext {
	case segmentExt, indexExt, stateExt:
		f.ext = ext
	default:
		return f, false
	}
	return f, f.String() == name
}

// newName gives a file of the log a number of its own.
func (l *Log) newName(base int64, ext string) fileName {
	return fileName{id: l.id, incarnation: l.incarnation, base: base, number: l.s.files.Add(1), ext: ext}
}
