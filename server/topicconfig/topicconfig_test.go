package topicconfig

import (
	"errors"
	"sort"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTableIsSortedAndDefaultsAreValid(t *testing.T) {
	if !sort.SliceIsSorted(definitions, func(i, j int) bool { return definitions[i].name < definitions[j].name }) {
		t.Fatal("definitions are looked up by binary search: sort them")
	}
	for i := range definitions {
		d := &definitions[i]
		for _, rf := range []int32{1, 3} {
			if err := d.check(d.fallback(rf)); err != nil {
				t.Errorf("default of %s: %v", d.name, err)
			}
		}
		if !strings.HasSuffix(d.doc, ".") {
			t.Errorf("%s: doc %q is no sentence", d.name, d.doc)
		}
	}
}

func TestParseDefaults(t *testing.T) {
	v, err := Parse(nil, 3)
	if err != nil {
		t.Fatal(err)
	}
	want := Values{
		Delete: true, Retention: 7 * 24 * time.Hour, RetentionBytes: -1, SegmentBytes: 256 << 20,
		SegmentAge: 7 * 24 * time.Hour, MaxMessageBytes: 1<<20 + 12, TimestampBefore: maxDuration,
		TimestampAfter: time.Hour, Compression: "producer", MinInsyncReplicas: 2,
		DeleteRetention: 24 * time.Hour, MinCleanableRatio: 0.5, MaxCompactionLag: maxDuration,
	}
	if v != want {
		t.Errorf("got %+v\nwant %+v", v, want)
	}
	if v, _ := Parse(nil, 1); v.MinInsyncReplicas != 1 {
		t.Errorf("min.insync.replicas of one replica = %d", v.MinInsyncReplicas)
	}
}

func TestCheck(t *testing.T) {
	tests := []struct {
		name, value string
		wantErr     string // empty: valid
	}{
		{"retention.ms", "-1", ""},
		{"retention.ms", "-2", "want an integer from -1"},
		{"retention.ms", "1d", `retention.ms="1d"`},
		{"retention.ms", "", "want an integer"},
		{"retention.msec", "1", `the nearest known one is "retention.ms"`},
		{"cleanup_policy", "compact", `the nearest known one is "cleanup.policy"`},
		{"cleanup.policy", "compact,delete", ""},
		{"cleanup.policy", "delete, compact", ""},
		{"cleanup.policy", "compact,", "want compact or delete"},
		{"cleanup.policy", "keep", "want compact or delete"},
		{"compression.type", "zstd", ""},
		{"compression.type", "brotli", "want producer or"},
		{"message.timestamp.type", "LogAppendTime", ""},
		{"message.timestamp.type", "logappendtime", "want CreateTime"},
		{"max.message.bytes", "67108864", ""},
		{"max.message.bytes", "67108865", "want an integer from 1 to 67108864"},
		{"segment.bytes", "1", "want an integer from 65536"},
		{"min.cleanable.dirty.ratio", "NaN", "from 0 to 1"},
		{"min.cleanable.dirty.ratio", "1", ""},
		{"min.insync.replicas", "0", "from 1"},
		{"min.insync.replicas", "4", "above the replication factor 3"},
		{"min.insync.replicas", "3", ""},
		{"unclean.leader.election.enable", "false", ""},
		{"unclean.leader.election.enable", "true", "never leads"},
		{"remote.storage.enable", "true", "no remote tier"},
		{"flush.messages", "1", ""},
		{"preallocate", "true", ""},
		{"preallocate", "yes", "want false or true"},
	}
	for _, tt := range tests {
		err := Check(map[string]string{tt.name: tt.value}, 3)
		switch {
		case tt.wantErr == "" && err != nil:
			t.Errorf("%s=%s: %v", tt.name, tt.value, err)
		case tt.wantErr != "" && err == nil:
			t.Errorf("%s=%s was accepted", tt.name, tt.value)
		case tt.wantErr != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.wantErr)):
			t.Errorf("%s=%s: %v, want %q", tt.name, tt.value, err, tt.wantErr)
		}
	}
}

func TestLagsContradict(t *testing.T) {
	lags := map[string]string{"min.compaction.lag.ms": "60000", "max.compaction.lag.ms": "60000"}
	if err := Check(lags, 1); err != nil {
		t.Error(err)
	}
	lags["max.compaction.lag.ms"] = "59999"
	if err := Check(lags, 1); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "above max.compaction.lag.ms") {
		t.Errorf("got %v", err)
	}
}

func TestCheckIsOrdered(t *testing.T) {
	err := Check(map[string]string{"zzz": "1", "aaa": "1"}, 1)
	if err == nil || !strings.Contains(err.Error(), `"aaa"`) {
		t.Errorf("want the first name's error, got %v", err)
	}
}

func TestDescribe(t *testing.T) {
	entries := Describe(map[string]string{"retention.ms": "5"}, 3)
	if len(entries) != len(definitions) {
		t.Fatalf("%d entries, want %d", len(entries), len(definitions))
	}
	for _, e := range entries {
		if e.Set != (e.Name == "retention.ms") {
			t.Errorf("%s: Set = %v", e.Name, e.Set)
		}
		if e.Name == "retention.ms" && (e.Value != "5" || e.Default != "604800000") {
			t.Errorf("retention.ms: %+v", e)
		}
		if e.Kind.String() == "" {
			t.Errorf("%s has no kind", e.Name)
		}
	}
}

// What Check accepts, Parse reads.
func TestCheckedConfigsParse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		configs := map[string]string{}
		for range rapid.IntRange(0, 4).Draw(t, "n") {
			d := &definitions[rapid.IntRange(0, len(definitions)-1).Draw(t, "row")]
			value := rapid.OneOf(rapid.StringMatching(`-?[0-9]{1,20}`), rapid.String(),
				rapid.SampledFrom(append([]string{"true", "false", "0.3"}, d.words...))).Draw(t, "value")
			configs[d.name] = value
		}
		if Check(configs, 3) != nil {
			return
		}
		v, err := Parse(configs, 3)
		if err != nil {
			t.Fatalf("Check accepted %v, Parse: %v", configs, err)
		}
		if !v.Delete && !v.Compact {
			t.Fatalf("no cleanup policy in %v", configs)
		}
	})
}
