package backup

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"time"

	"github.com/chroniklog/chronik/server/client"
)

// Format and Version name what this release writes and reads.
const (
	Format  = "chronik-backup"
	Version = 1
)

// Names in the directory.
const (
	manifestFile = "manifest.json"
	sumsFile     = "SHA256SUMS"
	logsDir      = "logs"
)

// maxManifest bounds what is read of a manifest: 100,000 partitions take 30 MB.
const maxManifest = 256 << 20

var (
	// ErrNotEmpty: a backup is written into a directory of its own.
	ErrNotEmpty = errors.New("the directory is not empty")
	// ErrForeign: the directory holds no backup.
	ErrForeign = errors.New("not a backup")
	// ErrUnfinished: the backup was not completed.
	ErrUnfinished = errors.New("the backup is unfinished")
	// ErrNewer: a newer release wrote the backup.
	ErrNewer = errors.New("the backup is of a newer release")
	// ErrCorrupt: the backup is damaged.
	ErrCorrupt = errors.New("the backup is corrupt")
)

// Manifest describes a backup.
type Manifest struct {
	Format    string    `json:"format"`
	Version   int       `json:"version"`
	ID        string    `json:"id"`         // random
	WrittenBy string    `json:"written_by"` // the release
	Began     time.Time `json:"began"`
	Ended     time.Time `json:"ended"`

	Cluster client.ClusterBackup `json:"cluster"`
	Logs    []Log                `json:"logs"` // every partition of every topic, in their order
	Groups  []Group              `json:"groups"`
	// Skipped says what was there and is not in the backup, and why.
	Skipped []string `json:"skipped,omitempty"`
}

// Log is a partition in a backup.
type Log struct {
	TopicID   string `json:"topic_id"`
	Partition int32  `json:"partition"`
	// Start and End are the offsets that the log starts and ends at. First is
	// where the first batch begins, which may be before Start, or Start.
	First int64 `json:"first"`
	Start int64 `json:"start"`
	End   int64 `json:"end"`
	// LeaderEpoch was the leader's; no batch is of a later one.
	LeaderEpoch int32 `json:"leader_epoch"`
	Records     int64 `json:"records"`
	Bytes       int64 `json:"bytes"` // of batches; 0: there is no file
	StateBytes  int64 `json:"state_bytes"`
}

// Group is what a consumer group had committed.
type Group struct {
	Group   string               `json:"group"`
	Offsets []client.GroupOffset `json:"offsets"`
}

// Totals are what a backup holds.
func (m *Manifest) Totals() (partitions int, records, bytes int64) {
	for i := range m.Logs {
		records += m.Logs[i].Records
		bytes += m.Logs[i].Bytes
	}
	return len(m.Logs), records, bytes
}

func (l *Log) file() string { return l.name("log") }

func (l *Log) stateFile() string { return l.name("state") }

func (l *Log) name(ext string) string {
	return path.Join(logsDir, fmt.Sprintf("%s-%d.%s", l.TopicID, l.Partition, ext))
}

// files are the names that the manifest speaks of, without itself, in order.
func (m *Manifest) files() (names []string) {
	for i := range m.Logs {
		if l := &m.Logs[i]; l.Bytes > 0 {
			names = append(names, l.file())
		}
		if l := &m.Logs[i]; l.StateBytes > 0 {
			names = append(names, l.stateFile())
		}
	}
	slices.Sort(names)
	return names
}

// parseManifest reads a manifest and judges it. A newer release's is told by
// its version, whatever else it says.
func parseManifest(text []byte) (*Manifest, error) {
	var head struct {
		Format  string
		Version int
	}
	if err := json.Unmarshal(text, &head); err != nil || head.Format != Format {
		return nil, fmt.Errorf("%w: %s does not say %q", ErrForeign, manifestFile, Format)
	}
	if head.Version > Version {
		return nil, fmt.Errorf("%w: format version %d, this one reads up to %d", ErrNewer, head.Version, Version)
	}
	m := new(Manifest)
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(m); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, manifestFile, err)
	}
	return m, m.check()
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// check holds the manifest's parts against each other: what a restoration
// relies on.
func (m *Manifest) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s: %s", ErrCorrupt, manifestFile, fmt.Sprintf(format, args...))
	}
	if m.Version < 1 || m.ID == "" || len(m.ID) > 128 {
		return bad("version %d, id %q", m.Version, m.ID)
	}
	ends := map[client.TopicPartition]int64{}
	logs := m.Logs
	for _, t := range m.Cluster.Topics {
		if !uuid.MatchString(t.ID) || t.Partitions < 1 || int(t.Partitions) > len(logs) {
			return bad("topic %q has id %q, %d partitions", t.Name, t.ID, t.Partitions)
		}
		for p, l := range logs[:t.Partitions] {
			switch {
			case l.TopicID != t.ID || int(l.Partition) != p:
				return bad("the log of %s/%d is missing", t.Name, p)
			case l.First < 0 || l.First > l.Start || l.Start > l.End || l.LeaderEpoch < 0 || l.Bytes < 0 || l.StateBytes < 0:
				return bad("the log of %s/%d has offsets %d, %d to %d", t.Name, p, l.First, l.Start, l.End)
			}
			if _, twice := ends[client.TopicPartition{Topic: t.Name, Partition: int32(p)}]; twice {
				return bad("topic %q is there twice", t.Name)
			}
			ends[client.TopicPartition{Topic: t.Name, Partition: int32(p)}] = l.End
		}
		logs = logs[t.Partitions:]
	}
	if len(logs) > 0 {
		return bad("%d logs of no topic", len(logs))
	}
	for _, g := range m.Groups {
		for _, o := range g.Offsets {
			if end, ok := ends[o.TopicPartition]; !ok || o.Offset < 0 || o.Offset > end {
				return bad("group %q has offset %d in %s/%d", g.Group, o.Offset, o.Topic, o.Partition)
			}
		}
	}
	return nil
}
