// Package topicconfig knows the configs of a topic: their names, defaults and
// ranges. The names are Kafka's, so that what a Kafka client, a script or a
// Terraform file sets keeps its meaning. It is pure.
//
// A config is stored as the client wrote it, a string, and only when it was
// set; Parse turns a topic's stored strings into Values. What is stored was
// checked by Check, so Parse of it can't fail unless the stored value is from
// a newer release.
//
// A few of Kafka's configs have one answer here: every record is synced before
// it is acknowledged and no unclean leader is ever elected. They are accepted
// when the wish is fulfilled anyway (flush.messages, preallocate, …) and
// refused with a reason when it can't be (unclean.leader.election.enable=true,
// remote.storage.enable=true). A config that would be silently ignored is not
// in the table.
package topicconfig

import (
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"
)

// ErrInvalid matches every error of this package: an unknown name (the nearest
// known one is in the text) or a value out of its range.
var ErrInvalid = errors.New("invalid topic config")

// Entry is one config of a topic with its effective value.
type Entry struct {
	Name    string
	Value   string
	Default string
	Set     bool   // the topic has a value of its own
	Doc     string // one sentence
	Kind    Kind
}

// Values are a topic's effective configs.
type Values struct {
	// Delete and Compact are cleanup.policy's members; at least one is set.
	Delete, Compact bool
	// Retention is retention.ms; negative: without limit.
	Retention time.Duration
	// RetentionBytes is retention.bytes, per partition; negative: without limit.
	RetentionBytes int64
	// SegmentBytes is segment.bytes, SegmentAge segment.ms: a segment that
	// reaches either is sealed.
	SegmentBytes int64
	SegmentAge   time.Duration
	// MaxMessageBytes is max.message.bytes: the largest batch, as stored.
	MaxMessageBytes int
	// LogAppendTime is message.timestamp.type=LogAppendTime.
	LogAppendTime bool
	// TimestampBefore and TimestampAfter are how far a client's timestamp may
	// lie before or after the broker's clock.
	TimestampBefore, TimestampAfter time.Duration
	// Compression is compression.type: "producer" keeps what the client chose.
	Compression string
	// MinInsyncReplicas is min.insync.replicas.
	MinInsyncReplicas int32
	// DeleteRetention is how long a compacted topic keeps tombstones.
	DeleteRetention time.Duration
	// MinCompactionLag keeps young records from compaction; MaxCompactionLag is
	// how long it may take until it has seen a record.
	MinCompactionLag, MaxCompactionLag time.Duration
	// MinCleanableRatio is the share of uncompacted bytes that makes a log
	// worth compacting.
	MinCleanableRatio float64
}

// Check judges configs before they are stored. replicas is the topic's
// replication factor, which bounds min.insync.replicas. Names are judged in
// order, so that the same request gets the same error.
func Check(configs map[string]string, replicas int32) error {
	for _, name := range sortedNames(configs) {
		if err := CheckOne(name, configs[name]); err != nil {
			return err
		}
	}
	v, err := Parse(configs, replicas)
	if err != nil {
		return err
	}
	if replicas > 0 && v.MinInsyncReplicas > replicas {
		return fmt.Errorf("%w: min.insync.replicas=%d is above the replication factor %d",
			ErrInvalid, v.MinInsyncReplicas, replicas)
	}
	if v.MinCompactionLag > v.MaxCompactionLag {
		return fmt.Errorf("%w: min.compaction.lag.ms=%d is above max.compaction.lag.ms=%d",
			ErrInvalid, v.MinCompactionLag.Milliseconds(), v.MaxCompactionLag.Milliseconds())
	}
	return nil
}

// CheckOne judges one name and value.
func CheckOne(name, value string) error {
	d, err := lookup(name)
	if err != nil {
		return err
	}
	return d.check(value)
}

// CheckName judges a name alone.
func CheckName(name string) error {
	_, err := lookup(name)
	return err
}

// Parse returns the effective values of a topic with the given stored configs
// and replication factor.
func Parse(configs map[string]string, replicas int32) (Values, error) {
	p := parser{configs: configs, replicas: replicas}
	v := Values{
		Retention:         p.millis("retention.ms"),
		RetentionBytes:    p.int64("retention.bytes"),
		SegmentBytes:      p.int64("segment.bytes"),
		SegmentAge:        p.millis("segment.ms"),
		MaxMessageBytes:   int(p.int64("max.message.bytes")),
		LogAppendTime:     p.text("message.timestamp.type") == "LogAppendTime",
		TimestampBefore:   p.millis("message.timestamp.before.max.ms"),
		TimestampAfter:    p.millis("message.timestamp.after.max.ms"),
		Compression:       p.text("compression.type"),
		MinInsyncReplicas: int32(p.int64("min.insync.replicas")),
		DeleteRetention:   p.millis("delete.retention.ms"),
		MinCompactionLag:  p.millis("min.compaction.lag.ms"),
		MaxCompactionLag:  p.millis("max.compaction.lag.ms"),
		MinCleanableRatio: p.ratio("min.cleanable.dirty.ratio"),
	}
	for _, policy := range splitList(p.text("cleanup.policy")) {
		v.Delete = v.Delete || policy == "delete"
		v.Compact = v.Compact || policy == "compact"
	}
	return v, p.err
}

// Describe lists every config of a topic, by name.
func Describe(configs map[string]string, replicas int32) []Entry {
	entries := make([]Entry, 0, len(definitions))
	for i := range definitions {
		d := &definitions[i]
		e := Entry{Name: d.name, Default: d.fallback(replicas), Doc: d.doc, Kind: d.kind}
		e.Value, e.Set = configs[d.name]
		if !e.Set {
			e.Value = e.Default
		}
		entries = append(entries, e)
	}
	return entries
}

// parser reads stored values and keeps the first error.
type parser struct {
	configs  map[string]string
	replicas int32
	err      error
}

func (p *parser) text(name string) string {
	d, err := lookup(name)
	if err != nil { // a name in Parse that the table lacks; the tests hold them together
		p.fail(err)
		return ""
	}
	v, ok := p.configs[name]
	if !ok {
		return d.fallback(p.replicas)
	}
	if err := d.check(v); err != nil {
		p.fail(err)
		return d.fallback(p.replicas)
	}
	return v
}

func (p *parser) int64(name string) int64 {
	n, err := strconv.ParseInt(p.text(name), 10, 64)
	if err != nil {
		p.fail(fmt.Errorf("%w: %s: %w", ErrInvalid, name, err))
	}
	return n
}

// millis reads a duration; -1 is none and what overflows is "for ever".
func (p *parser) millis(name string) time.Duration {
	n := p.int64(name)
	if n > int64(maxDuration/time.Millisecond) {
		return maxDuration
	}
	return time.Duration(n) * time.Millisecond
}

func (p *parser) ratio(name string) float64 {
	f, err := strconv.ParseFloat(p.text(name), 64)
	if err != nil {
		p.fail(fmt.Errorf("%w: %s: %w", ErrInvalid, name, err))
	}
	return f
}

func (p *parser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

const maxDuration = time.Duration(1<<63 - 1)

func sortedNames(configs map[string]string) []string {
	names := make([]string, 0, len(configs))
	for name := range configs {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func splitList(s string) []string {
	parts := strings.Split(s, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}
