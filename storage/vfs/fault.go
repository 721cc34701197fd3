package vfs

import (
	"io"
	"path"
	"slices"
	"strings"
	"sync"
)

// Op names an operation of FS or File.
type Op string

// The operations; OpAny in a Rule stands for all of them.
const (
	OpAny         Op = ""
	OpCreate      Op = "create"
	OpOpen        Op = "open" // Open and OpenRead
	OpRead        Op = "read"
	OpWrite       Op = "write"
	OpTruncate    Op = "truncate"
	OpSync        Op = "sync"
	OpSize        Op = "size"
	OpPreallocate Op = "preallocate"
	OpClose       Op = "close"
	OpRemove      Op = "remove"
	OpRemoveAll   Op = "removeall"
	OpRename      Op = "rename"
	OpMkdirAll    Op = "mkdirall"
	OpReadDir     Op = "readdir"
	OpStat        Op = "stat"
	OpSyncDir     Op = "syncdir"
	OpLock        Op = "lock"
	OpFree        Op = "free"
)

// Rule makes calls fail or wait. Of several that match a call, all count it,
// and the first added that is due acts.
type Rule struct {
	// Op is the operation, OpAny for every one.
	Op Op
	// Glob, in path.Match's syntax, is compared with as many of the name's
	// last elements as it has itself: "*.log" matches "/data/a.log", "t1/*"
	// matches "/data/t1/a.log". Empty matches all. A file keeps the name that
	// it was opened by; a rename matches by either name.
	Glob string
	// Skip calls that match are let through first.
	Skip int
	// Times is how many calls are affected after those, 0 for all.
	Times int
	// Block makes the call wait until Armed.Release or Armed.Remove, before
	// Err is returned or, without Err, the call goes on: a stalled disk.
	Block bool
	// Err is returned instead of doing the operation. Without Err and Block
	// the rule only counts. A close fails, but closes all the same.
	Err error
	// Short is how many bytes a write writes before it returns Err.
	Short int
}

// Fault wraps an FS and breaks it as its rules say. Without rules it only
// counts. It is safe for concurrent use.
type Fault struct {
	fs     FS
	watch  func(Op, string)
	mu     sync.Mutex
	rules  []*Armed
	counts map[call]int
}

type call struct {
	op   Op
	name string
}

// NewFault wraps fs.
func NewFault(fs FS) *Fault {
	return &Fault{fs: fs, counts: map[call]int{}}
}

// Watch makes fn see every call before it is done, whatever the rules say. It
// may wait, to let others come first. Call it before the first use.
func (f *Fault) Watch(fn func(op Op, name string)) { f.watch = fn }

// Armed is a Rule in force.
type Armed struct {
	rule     Rule
	owner    *Fault
	calls    int // that matched
	hits     int // that were affected
	waiting  int
	entered  chan struct{} // closed at the first hit
	released chan struct{} // closed by Release and Remove
	open     bool          // released is closed
}

// Add puts a rule in force. It panics if the rule's Glob is malformed.
func (f *Fault) Add(r Rule) *Armed {
	if _, err := path.Match(r.Glob, ""); err != nil {
		panic("vfs: rule: " + r.Glob + ": " + err.Error())
	}
	a := &Armed{rule: r, owner: f, entered: make(chan struct{}), released: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append(f.rules, a)
	return a
}

// Clear removes every rule and lets blocked calls go on.
func (f *Fault) Clear() {
	f.mu.Lock()
	rules := f.rules
	f.rules = nil
	f.mu.Unlock()
	for _, a := range rules {
		a.Release()
	}
}

// Count is how many calls of op so far matched glob, as in Rule; the calls
// that failed are counted too.
func (f *Fault) Count(op Op, glob string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for c, times := range f.counts {
		if (op == OpAny || op == c.op) && matches(glob, c.name) {
			n += times
		}
	}
	return n
}

// Calls is how many calls matched the rule so far.
func (a *Armed) Calls() int { return a.read(&a.calls) }

// Hits is how many of them it affected.
func (a *Armed) Hits() int { return a.read(&a.hits) }

// Waiting is how many calls are blocked now.
func (a *Armed) Waiting() int { return a.read(&a.waiting) }

func (a *Armed) read(n *int) int {
	a.owner.mu.Lock()
	defer a.owner.mu.Unlock()
	return *n
}

// Entered is closed when the rule affects its first call; for a Block rule the
// call is then waiting.
func (a *Armed) Entered() <-chan struct{} { return a.entered }

// Release lets blocked calls, and all later ones, go on to Err or the
// operation. It is idempotent.
func (a *Armed) Release() {
	a.owner.mu.Lock()
	defer a.owner.mu.Unlock()
	if !a.open {
		a.open = true
		close(a.released)
	}
}

// Remove ends the rule and releases what it blocks.
func (a *Armed) Remove() {
	a.owner.mu.Lock()
	a.owner.rules = slices.DeleteFunc(a.owner.rules, func(r *Armed) bool { return r == a })
	a.owner.mu.Unlock()
	a.Release()
}

func matches(glob, name string) bool {
	if glob == "" {
		return true
	}
	glob = strings.TrimPrefix(glob, "/")
	name = strings.TrimPrefix(path.Clean(name), "/")
	want := strings.Count(glob, "/") + 1
	if elements := strings.Split(name, "/"); len(elements) > want {
		name = strings.Join(elements[len(elements)-want:], "/")
	}
	ok, _ := path.Match(glob, name) // Add has checked the syntax
	return ok
}

func (r *Rule) matches(op Op, names []string) bool {
	if r.Op != OpAny && r.Op != op {
		return false
	}
	return slices.ContainsFunc(names, func(name string) bool { return matches(r.Glob, name) })
}

// enter counts the call, waits if a rule says so, and returns the rule that
// makes it fail, or nil.
func (f *Fault) enter(op Op, names ...string) *Rule {
	if f.watch != nil {
		f.watch(op, names[0])
	}
	f.mu.Lock()
	f.counts[call{op, names[0]}]++
	var due *Armed
	for _, a := range f.rules {
		if !a.rule.matches(op, names) {
			continue
		}
		a.calls++
		n := a.calls - a.rule.Skip
		if due == nil && n > 0 && (a.rule.Times == 0 || n <= a.rule.Times) {
			due = a
		}
	}
	if due == nil {
		f.mu.Unlock()
		return nil
	}
	due.hits++
	if due.hits == 1 {
		close(due.entered)
	}
	if due.rule.Block {
		due.waiting++
		f.mu.Unlock()
		<-due.released
		f.mu.Lock()
		due.waiting--
	}
	f.mu.Unlock()
	if due.rule.Err == nil {
		return nil
	}
	return &due.rule
}

// err is enter for the operations that fail as a whole.
func (f *Fault) err(op Op, names ...string) error {
	if r := f.enter(op, names...); r != nil {
		return r.Err
	}
	return nil
}

// Create implements FS.
func (f *Fault) Create(name string) (File, error) {
	return f.open(OpCreate, name, f.fs.Create)
}

// Open implements FS.
func (f *Fault) Open(name string) (File, error) {
	return f.open(OpOpen, name, f.fs.Open)
}

// OpenRead implements FS.
func (f *Fault) OpenRead(name string) (File, error) {
	return f.open(OpOpen, name, f.fs.OpenRead)
}

func (f *Fault) open(op Op, name string, do func(string) (File, error)) (File, error) {
	if err := f.err(op, name); err != nil {
		return nil, err
	}
	inner, err := do(name)
	if err != nil {
		return nil, err
	}
	return &faultFile{f: f, inner: inner, name: name}, nil
}

// Remove implements FS.
func (f *Fault) Remove(name string) error {
	if err := f.err(OpRemove, name); err != nil {
		return err
	}
	return f.fs.Remove(name)
}

// RemoveAll implements FS.
func (f *Fault) RemoveAll(name string) error {
	if err := f.err(OpRemoveAll, name); err != nil {
		return err
	}
	return f.fs.RemoveAll(name)
}

// Rename implements FS.
func (f *Fault) Rename(oldName, newName string) error {
	if err := f.err(OpRename, oldName, newName); err != nil {
		return err
	}
	return f.fs.Rename(oldName, newName)
}

// MkdirAll implements FS.
func (f *Fault) MkdirAll(dir string) error {
	if err := f.err(OpMkdirAll, dir); err != nil {
		return err
	}
	return f.fs.MkdirAll(dir)
}

// ReadDir implements FS.
func (f *Fault) ReadDir(dir string) ([]Info, error) {
	if err := f.err(OpReadDir, dir); err != nil {
		return nil, err
	}
	return f.fs.ReadDir(dir)
}

// Stat implements FS.
func (f *Fault) Stat(name string) (Info, error) {
	if err := f.err(OpStat, name); err != nil {
		return Info{}, err
	}
	return f.fs.Stat(name)
}

// SyncDir implements FS.
func (f *Fault) SyncDir(dir string) error {
	if err := f.err(OpSyncDir, dir); err != nil {
		return err
	}
	return f.fs.SyncDir(dir)
}

// Lock implements FS.
func (f *Fault) Lock(name string) (io.Closer, error) {
	if err := f.err(OpLock, name); err != nil {
		return nil, err
	}
	return f.fs.Lock(name)
}

// Free implements FS.
func (f *Fault) Free(dir string) (free, total int64, err error) {
	if err := f.err(OpFree, dir); err != nil {
		return 0, 0, err
	}
	return f.fs.Free(dir)
}
