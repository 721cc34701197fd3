package plog

import (
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/chroniklog/chronik/storage/journal"
	"github.com/chroniklog/chronik/storage/vfs"
)

// formatVersion is the version of the data directory as a whole.
const formatVersion = 1

// formatText is the content of the file FORMAT. It is written last when a
// directory is set up: its presence says that the rest is there.
func formatText(id [16]byte) string {
	text := fmt.Sprintf("chronik storage %d\nid %s\n", formatVersion, hex.EncodeToString(id[:]))
	return text + fmt.Sprintf("crc %08x\n", crc32.Checksum([]byte(text), castagnoli))
}

// castagnoli is never written after its initialization.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// parseFormat reads what formatText wrote.
func parseFormat(text string) (id [16]byte, err error) {
	var version int
	var hexID string
	if _, err := fmt.Sscanf(text, "chronik storage %d\n", &version); err != nil {
		return id, errors.New("it is not a format file of this program")
	}
	if version != formatVersion {
		return id, fmt.Errorf("it says version %d, this program knows %d", version, formatVersion)
	}
	if _, err := fmt.Sscanf(text[strings.IndexByte(text, '\n')+1:], "id %s\n", &hexID); err != nil {
		return id, errors.New("it has no id")
	}
	b, err := hex.DecodeString(hexID)
	if err != nil || len(b) != len(id) {
		return id, errors.New("its id is malformed")
	}
	id = [16]byte(b)
	if text != formatText(id) {
		return id, errors.New("its checksum is wrong")
	}
	return id, nil
}

// format reads the format file, or sets a new directory up.
func (s *Store) format() error {
	name := path.Join(s.opts.Dir, "FORMAT")
	text, err := readFile(s.opts.FS, name, 4096)
	if errors.Is(err, fs.ErrNotExist) {
		return s.setUp(name)
	}
	if err != nil {
		return err
	}
	if s.id, err = parseFormat(string(text)); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrFormat, name, err)
	}
	return nil
}

// setUp makes a new data directory.
func (s *Store) setUp(name string) error {
	fsys, dir := s.opts.FS, s.opts.Dir
	for n := range shards { // there is a file FORMAT before any log has one
		infos, err := fsys.ReadDir(s.shard(n))
		if err == nil && len(infos) > 0 {
			return fmt.Errorf("%w: %s is missing, but %s is not empty", ErrFormat, name, s.shard(n))
		}
	}
	if _, err := io.ReadFull(s.opts.Random, s.id[:]); err != nil {
		return err
	}
	if err := fsys.MkdirAll(path.Join(dir, "journal")); err != nil {
		return err
	}
	for n := range shards {
		if err := fsys.MkdirAll(s.shard(n)); err != nil {
			return err
		}
	}
	if err := fsys.SyncDir(path.Join(dir, "logs")); err != nil {
		return err
	}
	first := &checkpoint{Store: s.id, Start: journal.Start{Seq: 1, LSN: 1}, LSN: 1}
	if _, err := s.writeCheckpoint(first); err != nil {
		return err
	}
	if err := writeFile(fsys, name, []byte(formatText(s.id)), s.sync); err != nil {
		return err
	}
	return fsys.SyncDir(path.Dir(path.Clean(dir)))
}

// readFile reads a whole file of at most limit bytes.
func readFile(fsys vfs.FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.OpenRead(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fmt.Errorf("%s has %d bytes, at most %d were expected", name, size, limit)
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); n < len(b) {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b, nil
}

// writeFile writes a file in one step: it is there whole, and durably, or not
// at all.
func writeFile(fsys vfs.FS, name string, b []byte, sync func(vfs.File) error) error {
	tmp := name + ".tmp"
	if err := fsys.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := fsys.Create(tmp)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(b, 0); err == nil {
		err = sync(f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(tmp, name); err != nil {
		return err
	}
	return fsys.SyncDir(path.Dir(name))
}

func (s *Store) sync(f vfs.File) error {
	if s.opts.NoSync {
		return nil
	}
	return f.Sync()
}
