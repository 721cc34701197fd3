package topicconfig

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Kind is the type of a config's value.
type Kind int8

// The kinds of values.
const (
	KindInt   Kind = iota // a decimal integer
	KindBool              // true or false
	KindEnum              // one word of a list
	KindList              // words of a list, separated by commas
	KindRatio             // a number between 0 and 1
)

// String names the kind as Kafka's DescribeConfigs does.
func (k Kind) String() string {
	return [...]string{"long", "boolean", "string", "list", "double"}[k]
}

// MaxMessageBytes bounds max.message.bytes: a batch is held in memory while
// it is checked, synced and replicated.
const MaxMessageBytes = 64 << 20

// definition is a row of the table. The zero min and max of an int mean "any
// value that fits".
type definition struct {
	name     string
	kind     Kind
	value    string // default
	min, max int64  // KindInt
	words    []string
	doc      string
}

// definitions is the table, by name. It is never written.
//
//nolint:gochecknoglobals // a constant table
var definitions = []definition{
	{
		name: "cleanup.policy", kind: KindList, value: "delete", words: []string{"compact", "delete"},
		doc: "delete removes old segments; compact keeps each key's last value; both may be combined.",
	},
	{
		name: "compression.type", kind: KindEnum, value: "producer",
		words: []string{"producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"},
		doc:   "The codec that batches are stored with; producer keeps the client's choice.",
	},
	{
		name: "delete.retention.ms", value: "86400000", max: math.MaxInt64,
		doc: "How long a compacted topic keeps tombstones.",
	},
	{
		name: "flush.messages", value: strconv.FormatInt(math.MaxInt64, 10), min: 1, max: math.MaxInt64,
		doc: "Fulfilled at any value: every record is synced before it is acknowledged.",
	},
	{
		name: "flush.ms", value: strconv.FormatInt(math.MaxInt64, 10), max: math.MaxInt64,
		doc: "Fulfilled at any value: every record is synced before it is acknowledged.",
	},
	{
		name: "max.compaction.lag.ms", value: strconv.FormatInt(math.MaxInt64, 10), min: 1, max: math.MaxInt64,
		doc: "The longest time that a record stays uncompacted; at least min.compaction.lag.ms.",
	},
	{
		name: "max.message.bytes", value: "1048588", min: 1, max: MaxMessageBytes,
		doc: "The largest record batch, as stored.",
	},
	{
		name: "message.timestamp.after.max.ms", value: "3600000", max: math.MaxInt64,
		doc: "How far a client's timestamp may lie after the broker's clock.",
	},
	{
		name: "message.timestamp.before.max.ms", value: strconv.FormatInt(math.MaxInt64, 10), max: math.MaxInt64,
		doc: "How far a client's timestamp may lie before the broker's clock.",
	},
	{
		name: "message.timestamp.type", kind: KindEnum, value: "CreateTime",
		words: []string{"CreateTime", "LogAppendTime"},
		doc:   "Whether a record keeps the client's timestamp or gets the broker's.",
	},
	{
		name: "min.cleanable.dirty.ratio", kind: KindRatio, value: "0.5",
		doc: "The share of uncompacted bytes that makes a log worth compacting.",
	},
	{
		name: "min.compaction.lag.ms", value: "0", max: math.MaxInt64,
		doc: "The shortest time that a record stays uncompacted.",
	},
	{
		name: "min.insync.replicas", value: "", min: 1, max: math.MaxInt16,
		doc: "The in-sync replicas that must have synced a record before acks=all answers; " +
			"2 when the replication factor is 3 or more, else 1.",
	},
	{
		name: "preallocate", kind: KindBool, value: "false",
		doc: "Fulfilled at any value: journal and segments reserve their space.",
	},
	{
		name: "remote.storage.enable", kind: KindBool, value: "false", words: []string{"false"},
		doc: "Only false: there is no remote tier.",
	},
	{
		name: "retention.bytes", value: "-1", min: -1, max: math.MaxInt64,
		doc: "The bytes that a partition keeps; -1 is without limit.",
	},
	{
		name: "retention.ms", value: "604800000", min: -1, max: math.MaxInt64,
		doc: "How long records are kept; -1 is without limit.",
	},
	{
		name: "segment.bytes", value: "268435456", min: 64 << 10, max: 1 << 30,
		doc: "The size at which a segment is sealed.",
	},
	{
		name: "segment.ms", value: "604800000", min: 1, max: math.MaxInt64,
		doc: "The age at which a segment is sealed.",
	},
	{
		name: "unclean.leader.election.enable", kind: KindBool, value: "false", words: []string{"false"},
		doc: "Only false: a replica outside the in-sync set never leads.",
	},
}

// fallback is the default; min.insync.replicas follows the replication factor.
func (d *definition) fallback(replicas int32) string {
	if d.name != "min.insync.replicas" {
		return d.value
	}
	if replicas >= 3 {
		return "2"
	}
	return "1"
}

// check judges a value.
func (d *definition) check(v string) error {
	switch d.kind {
	case KindInt:
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < d.min || n > d.max {
			return fmt.Errorf("%w: %s=%q: want an integer from %d to %d", ErrInvalid, d.name, clip(v), d.min, d.max)
		}
	case KindRatio:
		f, err := strconv.ParseFloat(v, 64)
		if err != nil || !(f >= 0 && f <= 1) {
			return fmt.Errorf("%w: %s=%q: want a number from 0 to 1", ErrInvalid, d.name, clip(v))
		}
	case KindList:
		return d.checkWords(v, splitList(v))
	case KindBool, KindEnum:
		return d.checkWords(v, []string{v})
	}
	return nil
}

func (d *definition) checkWords(v string, words []string) error {
	allowed := d.words
	if d.kind == KindBool && allowed == nil {
		allowed = []string{"false", "true"}
	}
	for _, w := range words {
		if !slices.Contains(allowed, w) {
			return fmt.Errorf("%w: %s=%q: want %s (%s)", ErrInvalid, d.name, clip(v),
				strings.Join(allowed, " or "), d.doc)
		}
	}
	return nil
}

// lookup finds a row; an unknown name's error proposes the nearest known one.
func lookup(name string) (*definition, error) {
	i := sort.Search(len(definitions), func(i int) bool { return definitions[i].name >= name })
	if i < len(definitions) && definitions[i].name == name {
		return &definitions[i], nil
	}
	near, distance := "", math.MaxInt
	for i := range definitions {
		if n := editDistance(clip(name), definitions[i].name); n < distance {
			near, distance = definitions[i].name, n
		}
	}
	return nil, fmt.Errorf("%w: unknown config %q; the nearest known one is %q", ErrInvalid, clip(name), near)
}

// editDistance is Levenshtein's: insertions, deletions and replacements.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost = 1 + min(diagonal, row[j], row[j-1])
			}
			diagonal, row[j] = row[j], cost
		}
	}
	return row[len(b)]
}

// clip bounds what a client's text may add to an error.
func clip(s string) string {
	if len(s) > 128 {
		return s[:128]
	}
	return s
}
