package plog

import (
	"errors"
	"path"
	"strings"
)

// trash lets go of files: they are removed when a checkpoint that doesn't know
// them is durable.
func (s *Store) trash(names ...string) {
	s.trashMu.Lock()
	s.garbage = append(s.garbage, names...)
	s.trashMu.Unlock()
}

// quarantine does so with the files of corrupt logs: they are put away.
func (s *Store) quarantine(logs ...life) {
	s.trashMu.Lock()
	s.condemned = append(s.condemned, logs...)
	s.trashMu.Unlock()
}

// hasTrash tells whether there are files to be removed, or just being removed.
func (s *Store) hasTrash() bool {
	s.trashMu.Lock()
	defer s.trashMu.Unlock()
	return s.emptying || len(s.garbage)+len(s.condemned) > 0
}

// takeTrash takes what there is, until trashGone.
func (s *Store) takeTrash() (garbage []string, condemned []life) {
	s.trashMu.Lock()
	defer s.trashMu.Unlock()
	garbage, condemned = s.garbage, s.condemned
	s.garbage, s.condemned = nil, nil
	s.emptying = len(garbage)+len(condemned) > 0
	return garbage, condemned
}

// trashGone tells that what takeTrash took was removed, or given back.
func (s *Store) trashGone() {
	s.trashMu.Lock()
	s.emptying = false
	s.trashMu.Unlock()
}

// emptyTrash removes files.
func (s *Store) emptyTrash(names []string) {
	for _, name := range names {
		s.segFiles.Forget(name)
		s.discard(name)
	}
}

// putAway moves the files of a corrupt log to the directory quarantine, where
// the store never looks again: they may be all that is left of the records.
func (s *Store) putAway(x life) {
	from, to := s.shard(shardOf(x.id)), path.Join(s.opts.Dir, "quarantine")
	infos, err := s.opts.FS.ReadDir(from)
	if err == nil {
		err = s.opts.FS.MkdirAll(to)
	}
	moved := 0
	for _, info := range infos {
		f, ok := parseName(strings.TrimSuffix(info.Name, ".tmp"))
		if !ok || f.id != x.id || f.incarnation != x.incarnation {
			continue
		}
		s.segFiles.Forget(path.Join(from, info.Name))
		err = errors.Join(err, s.opts.FS.Rename(path.Join(from, info.Name), path.Join(to, info.Name)))
		moved++
	}
	if err == nil && moved > 0 && !s.opts.NoSync {
		err = errors.Join(s.opts.FS.SyncDir(to), s.opts.FS.SyncDir(s.opts.Dir))
	}
	log := s.opts.Logger.With("log", x.id.String(), "incarnation", x.incarnation, "files", moved, "dir", to)
	if err != nil {
		log.Error("not all files of a corrupt log were put away", "error", err)
		return
	}
	log.Warn("files of a corrupt log were put away")
}
