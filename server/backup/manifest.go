package backup

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

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

// Bounds of a manifest, so that one that somebody made up takes no more memory
// than a large one. 100,000 partitions take 30 MB.
const (
	maxManifest = 256 << 20 // bytes
	// maxElements bounds the elements of lists, which take more memory than text.
	maxElements = 4 << 20
	// maxOffset is beyond every log: ten million records a second take 28 years.
	maxOffset = 1 << 53
	maxEpoch  = 1 << 30
)

var (
	// ErrNotEmpty: a backup is written into a directory of its own.
	ErrNotEmpty = errors.New("the directory is not empty")
	// ErrForeign: the directory holds no backup.
	ErrForeign = errors.New("not a backup")
	// ErrUnfinished: the backup was not completed.
	ErrUnfinished = errors.New("the backup is unfinished")
	// ErrNewer: a newer release wrote the backup.
	ErrNewer = errors.New("the backup is of a newer release")
	// ErrTooLarge: the cluster has more partitions or committed offsets than a
	// backup can.
	ErrTooLarge = errors.New("too much for one backup")
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
	if err := countElements(text, maxElements); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, manifestFile, err)
	}
	m := new(Manifest)
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(m); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, manifestFile, err)
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	return m, nil
}

// countElements fails if lists have more than so many elements together.
func countElements(text []byte, most int) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	var lists []bool // of the values around: a list, not an object
	for n := 0; ; {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		delim, _ := token.(json.Delim)
		if delim != ']' && delim != '}' && len(lists) > 0 && lists[len(lists)-1] {
			if n++; n > most {
				return fmt.Errorf("lists have more than %d elements", most)
			}
		}
		switch delim {
		case '[', '{':
			lists = append(lists, delim == '[')
		case ']', '}':
			lists = lists[:len(lists)-1]
		}
	}
}

var (
	uuid     = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	backupID = regexp.MustCompile(`^[0-9A-Za-z._-]{1,128}$`)
)

// badManifest is ErrCorrupt with what is wrong.
func badManifest(format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ErrCorrupt, manifestFile, fmt.Sprintf(format, args...))
}

// check holds the manifest's parts against each other: what a restoration
// relies on.
func (m *Manifest) check() error {
	if m.Version < 1 || !backupID.MatchString(m.ID) {
		return badManifest("version %d, id %.100q", m.Version, m.ID)
	}
	if m.Cluster.NextProducer < 0 {
		return badManifest("next producer id %d", m.Cluster.NextProducer)
	}
	for _, s := range m.Skipped { // they are shown
		if strings.ContainsFunc(s, unicode.IsControl) {
			return badManifest("a control character in %.100q", s)
		}
	}
	ends, err := m.checkLogs()
	if err != nil {
		return err
	}
	return m.checkGroups(ends)
}

// checkLogs wants the logs of every topic, in order, and tells their ends.
func (m *Manifest) checkLogs() (map[client.TopicPartition]int64, error) {
	ends := map[client.TopicPartition]int64{}
	names, ids := map[string]bool{}, map[string]bool{}
	logs := m.Logs
	for i := range m.Cluster.Topics {
		t := &m.Cluster.Topics[i]
		switch {
		case !uuid.MatchString(t.ID) || t.Partitions < 1 || int(t.Partitions) > len(logs) || t.Replication < 0:
			return nil, badManifest("topic %.300q has id %.100q, %d partitions, %d replicas", t.Name, t.ID, t.Partitions,
				t.Replication)
		case names[t.Name]:
			return nil, badManifest("topic %.300q is there twice", t.Name)
		case ids[t.ID]:
			return nil, badManifest("topic %.300q has the id %s of another", t.Name, t.ID)
		}
		names[t.Name], ids[t.ID] = true, true
		for p := range logs[:t.Partitions] {
			l := &logs[p]
			if l.TopicID != t.ID || int(l.Partition) != p {
				return nil, badManifest("the log of %.300s/%d is missing", t.Name, p)
			}
			if err := l.check(); err != nil {
				return nil, badManifest("the log of %.300s/%d has %v", t.Name, p, err)
			}
			ends[client.TopicPartition{Topic: t.Name, Partition: int32(p)}] = l.End
		}
		logs = logs[t.Partitions:]
	}
	if len(logs) > 0 {
		return nil, badManifest("%d logs of no topic", len(logs))
	}
	return ends, nil
}

// check judges a log's numbers. First may be before Start, by what one batch
// holds at most.
func (l *Log) check() error {
	switch {
	case l.First < 0 || l.First > l.Start || l.Start > l.End || l.End > maxOffset:
		return fmt.Errorf("offsets %d, %d to %d", l.First, l.Start, l.End)
	case l.LeaderEpoch < 0 || l.LeaderEpoch > maxEpoch:
		return fmt.Errorf("leader epoch %d", l.LeaderEpoch)
	case l.Records < 0 || l.Bytes < 0 || l.StateBytes < 0 || l.StateBytes > maxManifest:
		return fmt.Errorf("%d records in %d bytes, and a state of %d", l.Records, l.Bytes, l.StateBytes)
	}
	return nil
}

// checkGroups wants each group once, with offsets in the logs.
func (m *Manifest) checkGroups(ends map[client.TopicPartition]int64) error {
	groups := map[string]bool{}
	for _, g := range m.Groups {
		if groups[g.Group] {
			return badManifest("group %.300q is there twice", g.Group)
		}
		groups[g.Group] = true
		seen := make(map[client.TopicPartition]bool, len(g.Offsets))
		for _, o := range g.Offsets {
			end, ok := ends[o.TopicPartition]
			if !ok || o.Offset < 0 || o.Offset > end || seen[o.TopicPartition] {
				return badManifest("group %.300q has offset %d in %.300s/%d", g.Group, o.Offset, o.Topic, o.Partition)
			}
			seen[o.TopicPartition] = true
		}
	}
	return nil
}
