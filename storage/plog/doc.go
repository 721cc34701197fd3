// Package plog stores the logs of partitions. A Store is a data directory, a
// Log one partition's records in it. FORMAT.md draws every file.
//
// # A log's life
//
// Open recovers every log that the directory holds. Create hands one out, or
// makes it, without any I/O: 10,000 logs cost no goroutine, timer, buffer or
// open file as long as they are idle. The partition binds itself as the log's
// Owner, appends under its own lock, and is told from the commit goroutine when
// what it appended is on disk.
//
// # The commit cycle
//
// One goroutine, the committer, runs cycles back to back while there is
// something to write: it asks the owners of dirty logs to append now, collects
// what they appended, makes it durable, and tells them. There is no timer:
// what comes in during a sync is the next cycle. Small parts of any number of
// logs go through the shared journal, with one write and one sync; a large
// part goes straight to the log's segments and leaves an extent in the journal
// (direct.go). Truncations, trims, resets and deletions are frames too.
//
// # Behind the cycle
//
// A background writer moves journaled bytes from memory to segments (flush.go),
// and checkpoints: it syncs the segments and writes down, for all logs in one
// file, up to where each is durable and from which frame on it has to be
// replayed (checkpoint.go). Journal files that no log needs are recycled, and
// files that no checkpoint knows any more are removed. A maintenance pass
// applies retention, compacts and scrubs.
//
// # What holds
//
//   - Bytes that were durable are never overwritten: a truncation seals the
//     segment where it cuts it. So a frame can be replayed any number of times.
//   - Files have unique numbers; no name is used twice.
//   - A log's recovery LSN is exact: frames below it are in the durable
//     segments, frames from it on are not, but for those whose replay changes
//     nothing.
//   - A file is removed, and a journal file recycled, only after a checkpoint
//     that doesn't need it is durable in both copies.
//   - Nothing is removed before everything was judged. Torn is what no later
//     cycle follows; anything else that can't be read is corrupt, and stays.
//   - After a failed sync nothing is acknowledged any more.
//
// # Locks
//
// In the order in which they may be nested: an owner's lock, Store.mu, a log's
// stateMu, io, mu; the others are leaves. io orders changes of a log's files
// and may be held over I/O; mu guards its fields and never is. Nobody waits for
// the committer with mu held, and the committer never waits for io: it takes
// the journal where it can't have it.
package plog
