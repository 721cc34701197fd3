package partition

import (
	"crypto/sha256"

	"github.com/chroniklog/chronik/storage/record"
)

// KeyHash stands for a record key: 16 bytes of its SHA-256, so that no two
// keys are taken for one another, even by a client that tries.
type KeyHash [16]byte

// HashKey hashes a record key.
func HashKey(key []byte) KeyHash {
	sum := sha256.Sum256(key)
	return KeyHash(sum[:16])
}

// BatchKey is the key of one record of a batch.
type BatchKey struct {
	Hash  KeyHash
	Delta int32 // offset − base offset
	Live  bool  // the value is not null
}

// HashKeys appends the keys of a batch's records, in order, to dst. r is a
// reader to reuse.
func HashKeys(dst []BatchKey, r *record.Reader, batch []byte, maxDecompressed int) ([]BatchKey, error) {
	h, err := r.Reset(batch, maxDecompressed)
	if err != nil {
		return dst, err
	}
	if h.Control() {
		return dst, nil
	}
	var rec record.Record
	for r.Next(&rec) {
		if rec.Key != nil {
			dst = append(dst, BatchKey{
				Hash: HashKey(rec.Key), Delta: int32(rec.Offset - h.BaseOffset), Live: rec.Value != nil,
			})
		}
	}
	return dst, r.Err()
}

// KeyState is the last write of a key.
type KeyState struct {
	Offset int64 // NoOffset: there is none
	Live   bool  // the value is not null
}

// keyWrite is a KeyState with its key, as queued.
type keyWrite struct {
	hash KeyHash
	KeyState
}

// KnownKey is what a look-up in the log found: the last write of a key among
// the records below Below. Offset is NoOffset when there is none.
type KnownKey struct {
	Below  int64
	Offset int64
	Live   bool
}

// keyIndex holds the last write of keys, in two layers: settled, below the
// watermark or of an earlier epoch, and staged, which a reader must not see
// yet. For each key whose last settled write is at or above floor, settled has
// it; the keys that were last written below floor are in the log only.
type keyIndex struct {
	active  bool
	max     int
	floor   int64
	settled map[KeyHash]KeyState
	order   []keyWrite // of settled, by offset; entries that settled supersedes are stale
	staged  map[KeyHash]KeyState
	pending []keyWrite // of staged, by offset
}

func newKeyIndex(limit int) keyIndex { return keyIndex{max: limit} }

// stage remembers a write that the watermark has not passed.
func (x *keyIndex) stage(h KeyHash, offset int64, live bool) {
	x.staged[h] = KeyState{Offset: offset, Live: live}
	x.pending = append(x.pending, keyWrite{h, KeyState{offset, live}})
}

// settle moves what the watermark passed to the settled layer.
func (x *keyIndex) settle(hw int64) {
	n := 0
	for ; n < len(x.pending) && x.pending[n].Offset < hw; n++ {
		w := &x.pending[n]
		x.add(w.hash, w.KeyState)
		if x.staged[w.hash].Offset == w.Offset {
			delete(x.staged, w.hash)
		}
	}
	if n > 0 {
		x.pending = append(x.pending[:0], x.pending[n:]...)
	}
}

// add puts a write, later than any before it, in the settled layer.
func (x *keyIndex) add(h KeyHash, k KeyState) {
	x.settled[h] = k
	x.order = append(x.order, keyWrite{h, k})
	for len(x.settled) > x.max {
		x.evict()
	}
	if len(x.order) > 2*x.max+16 {
		x.compactOrder()
	}
}

// evict forgets the key whose last write is the oldest.
func (x *keyIndex) evict() {
	w := x.order[0]
	x.order = x.order[1:]
	if x.settled[w.hash].Offset == w.Offset {
		delete(x.settled, w.hash)
		x.floor = w.Offset + 1
	}
}

// compactOrder drops the stale entries.
func (x *keyIndex) compactOrder() {
	live := make([]keyWrite, 0, 2*x.max+17)
	for _, w := range x.order {
		if x.settled[w.hash].Offset == w.Offset {
			live = append(live, w)
		}
	}
	x.order = live
}

// IndexesKeys tells whether the index of keys is in use, so that StageBatch
// needs the keys of each batch.
func (s *State) IndexesKeys() bool { return s.keys.active }

// ActivateKeys begins to index keys: those written from now on, at or above
// the offset it returns. The executor then reads the log below that offset
// into a KeyScan and hands it to MergeKeys.
func (s *State) ActivateKeys() (from int64) {
	if !s.keys.active {
		s.keys.active = true
		s.keys.floor = s.end
		s.keys.settled = make(map[KeyHash]KeyState)
		s.keys.staged = make(map[KeyHash]KeyState)
	}
	return s.keys.floor
}

// KeyScan collects the last writes of keys from a read of the log.
type KeyScan struct{ x keyIndex }

// NewKeyScan begins a scan at the log's start.
func (s *State) NewKeyScan() *KeyScan {
	x := newKeyIndex(s.limits.Keys)
	x.settled = make(map[KeyHash]KeyState)
	return &KeyScan{x: x}
}

// Add takes the keys of the next batch, of those below the offset limit.
func (k *KeyScan) Add(base, limit int64, keys []BatchKey) {
	for i := range keys {
		if o := base + int64(keys[i].Delta); o < limit {
			k.x.add(keys[i].Hash, KeyState{Offset: o, Live: keys[i].Live})
		}
	}
}

// MergeKeys puts what a scan of the log below the index's first floor found
// under what was written since. A no-op if the index was dropped meanwhile, or
// has had to forget newer keys already.
func (s *State) MergeKeys(from int64, k *KeyScan) {
	x := &s.keys
	if !x.active || x.floor != from {
		return
	}
	newer := x.order
	x.order = k.x.order
	for h, st := range k.x.settled {
		if _, ok := x.settled[h]; !ok {
			x.settled[h] = st
		}
	}
	x.order = append(x.order, newer...)
	x.floor = k.x.floor
	for len(x.settled) > x.max {
		x.evict()
	}
	x.compactOrder()
}

// KeyFloor is the offset below which keys may have been written last that the
// index does not hold.
func (s *State) KeyFloor() int64 { return s.keys.floor }

// lookup finds the last staged write of a key; ok is false when only the log
// below floor can tell.
func (s *State) lookup(h KeyHash, known *KnownKey) (k KeyState, ok bool) {
	if k, ok = s.keys.staged[h]; !ok {
		return s.LookupSettled(h, known)
	}
	return s.visible(k), true
}

// LookupSettled is the last write of a key that readers may see; offset is
// NoOffset if there is none. ok is false when only the log can tell: look the
// key up below KeyFloor and come again.
func (s *State) LookupSettled(h KeyHash, known *KnownKey) (k KeyState, ok bool) {
	k, ok = s.keys.settled[h]
	switch {
	case ok:
	case s.keys.floor <= s.logStart:
		return KeyState{Offset: NoOffset}, true
	case known != nil && s.keys.floor <= known.Below:
		k = KeyState{Offset: known.Offset, Live: known.Live}
	default:
		return KeyState{}, false
	}
	return s.visible(k), true
}

// visible forgets a write that was trimmed.
func (s *State) visible(k KeyState) KeyState {
	if k.Offset < s.logStart {
		return KeyState{Offset: NoOffset}
	}
	return k
}

// checkKey checks If-Match and If-None-Match on the record's key.
func (s *State) checkKey(c *Conditions, key []byte, known *KnownKey) Verdict {
	if c.IfKeyOffset < 0 && !c.IfKeyAbsent {
		return Verdict{}
	}
	if !s.keys.active {
		return Verdict{NeedKey: true}
	}
	k, ok := s.lookup(HashKey(key), known)
	if !ok {
		return Verdict{NeedKey: true}
	}
	current, cites := NoOffset, s.end
	if k.Live {
		current, cites = k.Offset, k.Offset+1
	}
	if c.IfKeyAbsent && current != NoOffset || c.IfKeyOffset >= 0 && c.IfKeyOffset != current {
		return refuse(&KeyPreconditionError{Current: current}, cites)
	}
	return Verdict{}
}
