package vfs

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// sector is the unit that a disk writes atomically, in bytes.
const sector = 512

// Crash returns the disk as a power loss now might leave it; seed chooses one
// of the possibilities. The receiver isn't changed: handles that a crashed
// process still holds write to a disk that nobody will see, and many crashes
// of one moment can be tried. The result has no unsynced bytes and no locks.
//
// Each write since its file's Sync is kept, lost, or torn: each of its 512
// byte sectors is kept or lost. Where a lost write had extended the file, the
// size may or may not have grown, over zeros. Truncations are kept or lost.
// Each change of names since the directory's SyncDir is kept or lost, but a
// change is lost with an earlier one that it builds on (one of its names), as
// file systems order those.
func (m *Mem) Crash(seed uint64) *Mem {
	rng := rand.New(rand.NewPCG(seed, 0x63726173680a))
	// Crashes differ in temper: some lose nearly all, some nearly nothing.
	keep := [...]float64{0.1, 0.5, 0.9}[rng.IntN(3)]
	return m.crash(&crash{rng: rng, keep: keep})
}

// CrashLosingAll is the Crash that keeps only what was synced.
func (m *Mem) CrashLosingAll() *Mem { return m.crash(&crash{keep: 0}) }

// CrashKeepingAll is a crash of the process alone: the operating system lives
// on and keeps every write, but locks are released.
func (m *Mem) CrashKeepingAll() *Mem { return m.crash(&crash{keep: 1}) }

// crash decides what is kept. Without rng it keeps all (1) or nothing (0).
type crash struct {
	rng   *rand.Rand
	keep  float64
	lost  map[int64]bool // changes of names, by id
	nodes map[*memNode]*memNode
	out   *Mem
}

func (m *Mem) crash(c *crash) *Mem {
	m.mu.RLock()
	defer m.mu.RUnlock()
	c.lose(m.root)
	c.nodes = map[*memNode]*memNode{}
	c.out = &Mem{limit: m.limit, ticks: m.ticks}
	c.out.root = c.node(m.root)
	c.out.root.refs = 1
	return c.out
}

// place is a change and where it happened.
type place struct {
	memChange
	dir *memDir
}

// lose decides, oldest first, which changes of names are lost.
func (c *crash) lose(root *memNode) {
	var all []place
	seen := map[*memNode]bool{}
	var visit func(n *memNode)
	visit = func(n *memNode) {
		if n.dir == nil || seen[n] {
			return
		}
		seen[n] = true
		for _, ch := range n.dir.changes {
			all = append(all, place{memChange: ch, dir: n.dir})
		}
		for _, entries := range []map[string]*memNode{n.dir.entries, n.dir.synced} {
			for _, child := range entries {
				visit(child)
			}
		}
		for _, ch := range n.dir.changes {
			if ch.node != nil {
				visit(ch.node)
			}
		}
	}
	visit(root)
	// Stable: a rename's halves in one directory keep their order.
	slices.SortStableFunc(all, func(a, b place) int { return cmp.Compare(a.id, b.id) })
	c.lost = map[int64]bool{}
	type spot struct {
		dir  *memDir
		name string
	}
	broken := map[spot]bool{} // names whose later changes build on a lost one
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].id == all[0].id {
			n++
		}
		lost := !c.kept()
		for _, p := range all[:n] {
			lost = lost || broken[spot{p.dir, p.name}]
		}
		if lost {
			c.lost[all[0].id] = true
			for _, p := range all[:n] {
				broken[spot{p.dir, p.name}] = true
			}
		}
		all = all[n:]
	}
}

func (c *crash) kept() bool {
	if c.rng == nil {
		return c.keep > 0
	}
	return c.rng.Float64() < c.keep
}

// node is n after the crash. A node can have two names when half of a rename
// was lost.
func (c *crash) node(n *memNode) *memNode {
	if out := c.nodes[n]; out != nil {
		return out
	}
	out := &memNode{modTime: n.modTime}
	c.nodes[n] = out
	if n.dir == nil {
		out.data = c.file(n)
		out.synced = slices.Clone(out.data)
		out.alloc = int64(len(out.data))
		c.out.used += out.alloc
		return out
	}
	entries := c.names(n.dir)
	out.dir = &memDir{entries: make(map[string]*memNode, len(entries))}
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		child := c.node(entries[name])
		child.refs++
		out.dir.entries[name] = child
	}
	out.dir.synced = maps.Clone(out.dir.entries)
	return out
}

func (c *crash) names(d *memDir) map[string]*memNode {
	entries := maps.Clone(d.synced)
	for _, ch := range d.changes {
		if !c.lost[ch.id] {
			ch.apply(entries)
		}
	}
	return entries
}

func (c *crash) file(n *memNode) []byte {
	image := slices.Clone(n.synced)
	for _, op := range n.writes {
		switch {
		case c.kept():
			image = op.apply(image)
		case c.rng == nil || op.data == nil:
		case c.rng.IntN(2) == 0:
			image = c.tear(image, op)
		case c.rng.IntN(4) == 0: // the size grew, the bytes did not arrive
			image = resize(image, max(int64(len(image)), op.off+int64(len(op.data))))
		}
	}
	return image
}

func (c *crash) tear(image []byte, op memOp) []byte {
	for at := int64(0); at < int64(len(op.data)); {
		off := op.off + at
		end := min(int64(len(op.data)), at+sector-off%sector)
		if c.rng.IntN(2) == 0 {
			image = memOp{off: off, data: op.data[at:end]}.apply(image)
		}
		at = end
	}
	return image
}

func (n *memNode) draw(b *strings.Builder, indent string) {
	for _, name := range slices.Sorted(maps.Keys(n.dir.entries)) {
		child := n.dir.entries[name]
		if child.dir != nil {
			fmt.Fprintf(b, "%s%s/ (%d unsynced)\n", indent, name, len(child.dir.changes))
			child.draw(b, indent+"  ")
			continue
		}
		fmt.Fprintf(b, "%s%s %d bytes (%d unsynced writes)\n", indent, name, len(child.data), len(child.writes))
	}
}
