package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/chroniklog/chronik/server/backup"
)

// ClusterBackupCmd backs a cluster up.
type ClusterBackupCmd struct {
	Remote   `embed:""`
	Dir      string `arg:"" help:"Directory to write, new or empty; with --verify, to check."`
	Parallel int    `name:"parallel" default:"4" help:"Partitions that are read at once, each with 8 MiB in memory."`
	Verify   bool   `name:"verify" help:"Check a backup instead: every file, sum and batch. No cluster is asked."`
}

// Help shows examples.
func (ClusterBackupCmd) Help() string {
	return `Topics, their configs and records, what consumer groups have committed, producers
and settings, while the cluster serves. Each partition is backed up to an end that
was committed; docs/OPERATIONS.md says more.

Examples:

    chronik cluster backup /backup/2026-11-25
    chronik cluster backup /backup/2026-11-25 --verify
    tar -C /backup -czf - 2026-11-25 | ssh vault 'cat > chronik.tgz'`
}

// Run takes or checks a backup.
func (c ClusterBackupCmd) Run(ctx context.Context, streams Streams) error {
	if c.Parallel < 1 || c.Parallel > 64 {
		return usagef("--parallel is %d: 1 to 64 are possible", c.Parallel)
	}
	shown := newBackupProgress(streams.Err)
	o := backup.Options{Parallel: c.Parallel, Progress: shown.show, Release: buildVersion(), Now: time.Now}
	if c.Verify {
		m, err := backup.Verify(ctx, c.Dir, o)
		shown.clear()
		return reportBackup(c.Remote, streams, m, err, "is whole: it has")
	}
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	m, err := backup.Take(ctx, api, c.Dir, o)
	shown.clear()
	return reportBackup(c.Remote, streams, m, err, "has")
}

// ClusterRestoreCmd restores a backup.
type ClusterRestoreCmd struct {
	Remote      `embed:""`
	Dir         string `arg:"" help:"Directory of the backup."`
	Parallel    int    `name:"parallel" default:"4" help:"Partitions that are restored at once, each with 8 MiB in memory."`
	Replication int16  `name:"replication-factor" help:"Replicas of every topic (0: as many as there were)."`
}

// Help shows examples.
func (ClusterRestoreCmd) Help() string {
	return `The cluster must be empty: new data directories, no topics. The backup is checked
before anything is written. Records have the same offsets, keys, times and topic
ids; groups go on from where they were. Keep clients away until it is done. After
an interruption the same command goes on.

Examples:

    chronik cluster restore /backup/2026-11-25 --server http://10.0.0.7:8080
    chronik cluster restore /backup/2026-11-25 --replication-factor 1    # into a single node`
}

// Run restores a backup.
func (c ClusterRestoreCmd) Run(ctx context.Context, streams Streams) error {
	if c.Parallel < 1 || c.Parallel > 64 {
		return usagef("--parallel is %d: 1 to 64 are possible", c.Parallel)
	}
	if c.Replication < 0 {
		return usagef("--replication-factor is %d: 1 or more are possible, or 0 for as many as there were", c.Replication)
	}
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	shown := newBackupProgress(streams.Err)
	m, err := backup.Restore(ctx, api, c.Dir, backup.Options{
		Parallel: c.Parallel, Progress: shown.show, Replication: c.Replication,
	})
	shown.clear()
	return reportBackup(c.Remote, streams, m, err, "is restored:")
}

// reportBackup tells what a backup has.
func reportBackup(r Remote, streams Streams, m *backup.Manifest, err error, verb string) error {
	if err != nil {
		return err
	}
	for _, s := range m.Skipped {
		fmt.Fprintf(streams.Err, "not in the backup: %s\n", s)
	}
	partitions, records, bytes := m.Totals()
	if r.JSON() {
		return writeJSON(streams.Out, map[string]any{
			"id": m.ID, "cluster_id": m.Cluster.ClusterID, "began": m.Began, "ended": m.Ended,
			"topics": len(m.Cluster.Topics), "partitions": partitions, "records": records, "bytes": bytes,
			"groups": len(m.Groups), "skipped": len(m.Skipped),
		})
	}
	_, err = fmt.Fprintf(streams.Err, "backup %s of %s %s %d record(s), %.1f MB, in %d partition(s) of %d topic(s); "+
		"offsets of %d group(s)\n", m.ID, m.Ended.Format(time.RFC3339), verb, records, float64(bytes)/1e6, partitions,
		len(m.Cluster.Topics), len(m.Groups))
	return err
}

// backupProgress shows how far a backup or restoration has come: at a terminal
// in one line that changes, elsewhere in a line now and then.
type backupProgress struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool
	shown    time.Time
}

func newBackupProgress(out io.Writer) *backupProgress {
	return &backupProgress{out: out, terminal: isTerminal(out), shown: time.Now()}
}

func (p *backupProgress) show(now backup.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	every, form := drainLines, "%s\n"
	if p.terminal {
		every, form = progressEvery, "\r\x1b[K%s"
	}
	if time.Since(p.shown) < every {
		return
	}
	p.shown = time.Now()
	fmt.Fprintf(p.out, form, fmt.Sprintf("%d of %d partition(s), %d record(s), %.1f MB",
		now.Done, now.Partitions, now.Records, float64(now.Bytes)/1e6))
}

func (p *backupProgress) clear() {
	if p.terminal {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
