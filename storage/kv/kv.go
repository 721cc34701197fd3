// Package kv is a small ordered key-value store with synced transactions. It
// is the only importer of Badger, and adds what Badger lacks:
//
//   - Each value carries a CRC-32C of its key and itself. A read that meets
//     another one fails with ErrCorrupt, whatever Badger says.
//   - After a failed write the store is dead: Badger would show the key and
//     accept the next transaction although the disk has neither.
//   - Writes stop before the disk is full. Badger writes through mmap: there a
//     full disk is a SIGBUS, not an error, and again at the next start.
//
// What it can't repair is that Badger forgets synced transactions behind a
// damaged byte of its log without a word. Whoever needs to know keeps a record
// of what must be there outside of the store (see raft's fence file).
//
// # Disk full
//
// A store keeps a ballast file of Options.Ballast bytes beside its data and
// reserves the space of the log files that it writes to. A write is refused
// with ErrDiskFull while less than Options.MinFree bytes are free (flushes and
// compactions need room that can't be refused later). Free space, or delete
// the file named "ballast" to have room for a start and a clean-up; it is made
// again by the next start that finds room for it.
//
// # Settings
//
// Every transaction is synced. Memtables are 16 MiB and there are two, caches
// are 4 MiB, nothing is compressed, values stay in the tree: a store with
// metadata of 100 MB runs in about 100 MiB of memory.
package kv

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"sync"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/chroniklog/chronik/storage/vfs"
)

// Bounds of one transaction and of one value in bytes, and of one
// transaction's keys.
const (
	MaxBatch     = 2 << 20
	MaxBatchKeys = 16_000
	MaxValue     = 1<<20 - 64
)

const (
	memTable = 16 << 20
	cache    = 4 << 20
	vlogFile = 1 << 20 // unused: values stay in the tree
)

var (
	// ErrNotFound: no such key.
	ErrNotFound = errors.New("key not found")
	// ErrCorrupt: bytes on disk are not those that were written. The text
	// names the directory.
	ErrCorrupt = errors.New("corrupt store")
	// ErrDiskFull: too little space is free; nothing was written.
	ErrDiskFull = errors.New("disk full")
	// ErrTooLarge: a transaction or value above the bounds; nothing was
	// written.
	ErrTooLarge = errors.New("transaction is too large")
	// ErrFailed: an earlier write failed; what the disk holds is not known.
	// The process must end.
	ErrFailed = errors.New("store failed")

	errClosed = fmt.Errorf("%w: it was closed", ErrFailed)
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Options of a store; Dir is required.
type Options struct {
	Dir    string
	Logger *slog.Logger // nil: none
	// MinFree is the free space in bytes below which writes are refused;
	// 0: 64 MiB, negative: no check.
	MinFree int64
	// Ballast is the size of the ballast file; 0: none.
	Ballast int64
	// FS is where free space is asked for; nil: the machine's.
	FS vfs.FS

	memTable int64 // its size; tests make it small
}

// DB is an open store. It is safe for concurrent use; writes are made by one
// goroutine at a time.
type DB struct {
	db    *badger.DB
	dir   string
	space *space

	mu        sync.Mutex
	failed    error
	closed    bool
	compactor compactor
}

// Open opens a store, or makes one in a directory that is empty or absent.
// ErrCorrupt if Badger can't read the directory.
func Open(o Options) (db *DB, err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.FS == nil {
		o.FS = vfs.OS()
	}
	// Badger panics on some kinds of damage.
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, fmt.Errorf("%w: open %s: %v", ErrCorrupt, o.Dir, r)
		}
	}()
	s, err := newSpace(o)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", o.Dir, err)
	}
	if err := verifyTables(o.Dir); err != nil {
		return nil, err
	}
	b, err := badger.Open(settings(o))
	if err != nil {
		return nil, fmt.Errorf("%w: open %s: %w", ErrCorrupt, o.Dir, err)
	}
	if err := s.reserve(); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", o.Dir, err), b.Close())
	}
	db = &DB{db: b, dir: o.Dir, space: s, compactor: newCompactor()}
	go db.compact(o.Logger)
	return db, nil
}

func settings(o Options) badger.Options {
	return badger.DefaultOptions(o.Dir).
		WithSyncWrites(true).
		WithDetectConflicts(false).
		WithMemTableSize(cmp.Or(o.memTable, memTable)).
		WithNumMemtables(2).
		WithNumLevelZeroTables(level0Tables).
		WithNumLevelZeroTablesStall(level0Stall).
		WithNumCompactors(0). // see compactor
		WithNumGoroutines(1).
		WithCompression(options.None).
		WithChecksumVerificationMode(options.OnBlockRead).
		WithBlockCacheSize(cache).
		WithIndexCacheSize(cache).
		WithValueThreshold(MaxValue + 32).
		WithValueLogFileSize(vlogFile).
		WithMetricsEnabled(false).
		WithLogger(logger{o.Logger})
}

// Batch is a transaction to be. The zero value is empty and ready.
type Batch struct {
	ops     []op
	size    int
	longest int // value
}

type op struct {
	key, value []byte // value nil: delete
}

// overhead is what one key costs beside its bytes.
const overhead = 16

// Put sets a key. The batch keeps both slices; a nil value is an empty one.
func (b *Batch) Put(key, value []byte) {
	if value == nil {
		value = []byte{}
	}
	b.ops = append(b.ops, op{key, value})
	b.size += len(key) + len(value) + overhead
	b.longest = max(b.longest, len(value))
}

// Delete removes a key, if it is there.
func (b *Batch) Delete(key []byte) {
	b.ops = append(b.ops, op{key: key})
	b.size += len(key) + overhead
}

// Len is the number of keys; Size the bytes, as MaxBatch counts them.
func (b *Batch) Len() int { return len(b.ops) }

// Size is the batch's bytes as MaxBatch counts them.
func (b *Batch) Size() int { return b.size }

// Reset empties the batch.
func (b *Batch) Reset() { *b = Batch{ops: b.ops[:0]} }

// Write applies a batch, all or nothing, and returns when it is synced. The
// last of several operations on one key counts. After any error but
// ErrDiskFull and ErrTooLarge the store is dead.
func (d *DB) Write(b *Batch) error {
	if b.Len() == 0 {
		return nil
	}
	if b.Len() > MaxBatchKeys || b.size > MaxBatch || b.longest > MaxValue {
		return fmt.Errorf("write %s: %w: %d keys, %d bytes, values of up to %d", d.dir, ErrTooLarge,
			b.Len(), b.size, b.longest)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed != nil {
		return d.failed
	}
	if err := d.space.check(b.size); err != nil {
		return fmt.Errorf("write %s: %w", d.dir, err)
	}
	if err := d.commit(b); err != nil {
		d.failed = fmt.Errorf("%w: write %s: %w", ErrFailed, d.dir, err)
		return d.failed
	}
	d.compactor.wrote(b.size)
	return nil
}

func (d *DB) commit(b *Batch) error {
	txn := d.db.NewTransaction(true)
	defer txn.Discard()
	for _, o := range b.ops {
		var err error
		if o.value == nil {
			err = txn.Delete(o.key)
		} else {
			err = txn.Set(o.key, seal(o.key, o.value))
		}
		if err != nil {
			return err
		}
	}
	return txn.Commit()
}

// seal is a value with its CRC behind it.
func seal(key, value []byte) []byte {
	out := make([]byte, 0, len(value)+4)
	out = append(out, value...)
	return binary.LittleEndian.AppendUint32(out, sum(key, value))
}

func sum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

// unseal is the value without its CRC, shared with b.
func (d *DB) unseal(key, b []byte) ([]byte, error) {
	n := len(b) - 4
	if n < 0 || binary.LittleEndian.Uint32(b[n:]) != sum(key, b[:n]) {
		return nil, fmt.Errorf("%w: %s: checksum of key %q", ErrCorrupt, d.dir, key)
	}
	return b[:n:n], nil
}

// Snapshot is the store at one moment. Close it.
func (d *DB) Snapshot() *Snapshot { return &Snapshot{d: d, txn: d.db.NewTransaction(false)} }

// Get reads one key; the value is the caller's. ErrNotFound, ErrCorrupt.
func (d *DB) Get(key []byte) ([]byte, error) {
	s := d.Snapshot()
	defer s.Close()
	return s.Get(key)
}

// Snapshot reads the store as it was at one moment. It is not safe for
// concurrent use.
type Snapshot struct {
	d   *DB
	txn *badger.Txn
}

// Get reads one key; the value is the caller's. ErrNotFound, ErrCorrupt.
func (s *Snapshot) Get(key []byte) ([]byte, error) {
	item, err := s.txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: key %q: %w", ErrCorrupt, s.d.dir, key, err)
	}
	v, err := item.ValueCopy(nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: key %q: %w", ErrCorrupt, s.d.dir, key, err)
	}
	return s.d.unseal(key, v)
}

// Scan calls fn with every key that begins with prefix and is not below from
// (nil: the first), in order, until fn returns an error. Key and value are
// valid until fn returns.
func (s *Snapshot) Scan(prefix, from []byte, fn func(key, value []byte) error) (err error) {
	// Badger panics when a table's block can't be read by an iterator.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: scan %s: %v", ErrCorrupt, s.d.dir, r)
		}
	}()
	opt := badger.DefaultIteratorOptions
	opt.Prefix = prefix
	opt.PrefetchSize = 32
	it := s.txn.NewIterator(opt)
	defer it.Close()
	if bytes.Compare(from, prefix) < 0 {
		from = prefix
	}
	for it.Seek(from); it.Valid(); it.Next() {
		item := it.Item()
		key := item.Key()
		err := item.Value(func(v []byte) error {
			v, err := s.d.unseal(key, v)
			if err != nil {
				return err
			}
			return fn(key, v)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Close releases the snapshot.
func (s *Snapshot) Close() { s.txn.Discard() }

// CheckSpace tells, without writing, whether a write of n bytes would be
// refused for want of space: ErrDiskFull.
func (d *DB) CheckSpace(n int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.space.check(n)
}

// Close flushes and closes the store; writes fail from then on. Snapshots must
// be closed before. On a full disk it leaves the files as they are instead:
// Badger flushes through a mapping, which the lack of space would turn into a
// signal that ends the process. Everything is synced and is replayed by the
// next Open; until the process ends the directory stays locked.
func (d *DB) Close() error {
	d.mu.Lock()
	again := d.closed
	d.closed, d.failed = true, cmp.Or(d.failed, errClosed)
	d.mu.Unlock()
	if again {
		return nil
	}
	d.compactor.stop()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.space.check(0) != nil {
		return nil
	}
	if err := d.db.Close(); err != nil {
		return fmt.Errorf("close %s: %w", d.dir, err)
	}
	return nil
}
