package meta

import "bytes"

// MaxEntry bounds an entry's value in bytes.
const MaxEntry = 64 << 10

// SetClusterInfo gives the cluster its identity, once. Repeating the same is
// harmless; another one is refused.
type SetClusterInfo struct {
	ID     string
	Secret []byte
}

func (*SetClusterInfo) kind() kind          { return kindSetClusterInfo }
func (c *SetClusterInfo) encode(e *encoder) { e.str(c.ID); e.bytes(c.Secret) }
func (c *SetClusterInfo) decode(d *decoder) { c.ID, c.Secret = d.str(), d.bytes() }

func (c *SetClusterInfo) apply(s *step) Result {
	if c.ID == "" || len(c.ID) > 64 || len(c.Secret) > 256 {
		return refuse(ErrInvalidCommand, "a cluster needs an id of 1 to 64 bytes")
	}
	if s.info.ID != "" {
		if s.info.ID != c.ID || !bytes.Equal(s.info.Secret, c.Secret) {
			return refuse(ErrConflict, "the cluster is %q", s.info.ID)
		}
		return Result{}
	}
	s.info = ClusterInfo{ID: c.ID, Secret: c.Secret}
	s.put([]byte{keyInfo}, encodeInfo(s.info))
	s.emit(ClusterInfoSet{ClusterID: c.ID})
	return Result{}
}

// SetEntry stores a named value: a user, an ACL, a quota. Result.Value is its
// new version.
type SetEntry struct {
	Space, Key string
	Value      []byte
	Delete     bool
	// IfVersion, when Check is set, must be the present version; 0: absent.
	Check     bool
	IfVersion uint64
}

func (*SetEntry) kind() kind { return kindSetEntry }

func (c *SetEntry) encode(e *encoder) {
	e.str(c.Space)
	e.str(c.Key)
	e.bytes(c.Value)
	e.bool(c.Delete)
	e.bool(c.Check)
	e.u64(c.IfVersion)
}

func (c *SetEntry) decode(d *decoder) {
	c.Space, c.Key, c.Value = d.str(), d.str(), d.bytes()
	c.Delete, c.Check, c.IfVersion = d.bool(), d.bool(), d.u64()
}

func (c *SetEntry) apply(s *step) Result {
	if c.Space == "" || c.Key == "" || len(c.Space)+len(c.Key) > 1024 || len(c.Value) > MaxEntry ||
		bytes.IndexByte([]byte(c.Space), 0) >= 0 {
		return refuse(ErrInvalidCommand, "an entry needs a space and a key, and at most %d bytes", MaxEntry)
	}
	old, ok := s.entries[c.Space][c.Key]
	if c.Check && old.Version != c.IfVersion {
		return refuse(ErrConflict, "%s/%s is at version %d", c.Space, c.Key, old.Version)
	}
	if c.Delete {
		if !ok {
			return Result{}
		}
		delete(s.entries[c.Space], c.Key)
		s.del(entryKey(c.Space, c.Key))
		s.emit(EntryChanged{Space: c.Space, Key: c.Key, Deleted: true})
		return Result{}
	}
	v := Entry{Space: c.Space, Key: c.Key, Value: c.Value, Version: s.index}
	s.setEntry(v)
	s.put(entryKey(c.Space, c.Key), encodeEntry(v))
	s.emit(EntryChanged{Space: c.Space, Key: c.Key})
	return Result{Value: int64(s.index)}
}

func (m *Image) setEntry(v Entry) {
	if m.entries[v.Space] == nil {
		m.entries[v.Space] = map[string]Entry{}
	}
	m.entries[v.Space][v.Key] = v
}
