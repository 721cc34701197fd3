//go:build race

package record

// raced: the race detector makes sync.Pool drop objects at random, so that
// counts of allocations mean nothing.
const raced = true
