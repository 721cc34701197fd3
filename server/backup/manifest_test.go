package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chroniklog/chronik/server/client"
)

const (
	idA = "00000000-0000-4000-8000-00000000000a"
	idB = "00000000-0000-4000-8000-00000000000b"
)

// sample is a manifest of two topics and a group.
func sample() *Manifest {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return &Manifest{
		Format: Format, Version: Version, ID: "0123abcd", WrittenBy: "test", Began: at, Ended: at,
		Cluster: client.ClusterBackup{
			ClusterID: "c", NextProducer: 7, Configs: map[string]string{},
			Topics: []client.TopicBackup{
				{ID: idA, Name: "a", Partitions: 2, Configs: map[string]string{"retention.ms": "-1"}, CreatedAt: at},
				{ID: idB, Name: "b", Partitions: 1, Configs: map[string]string{}, CreatedAt: at},
			},
		},
		Logs: []Log{
			{TopicID: idA, First: 1, Start: 2, End: 9, LeaderEpoch: 3, Records: 7, Bytes: 100, StateBytes: 5},
			{TopicID: idA, Partition: 1},
			{TopicID: idB, End: 4, Records: 4, Bytes: 80},
		},
		Groups: []Group{{Group: "g", Offsets: []client.GroupOffset{
			{TopicPartition: client.TopicPartition{Topic: "a"}, Offset: 9},
			{TopicPartition: client.TopicPartition{Topic: "b"}, Offset: 0},
		}}},
	}
}

func encode(t testing.TB, m *Manifest) []byte {
	t.Helper()
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestManifest(t *testing.T) {
	want := sample()
	got, err := parseManifest(encode(t, want))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	files := []string{"logs/" + idA + "-0.log", "logs/" + idA + "-0.state", "logs/" + idB + "-0.log"}
	if d := cmp.Diff(files, got.files()); d != "" {
		t.Error(d)
	}
}

// What is no manifest of ours is named, whatever it says otherwise.
func TestManifestTexts(t *testing.T) {
	good := string(encode(t, sample()))
	replace := func(old, with string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("the sample lacks %s", old)
		}
		return strings.Replace(good, old, with, 1)
	}
	for name, tc := range map[string]struct {
		text string
		want error
		says string
	}{
		"empty":            {"", ErrForeign, Format},
		"no object":        {"[]", ErrForeign, Format},
		"something else":   {`{"format":"tar","version":1}`, ErrForeign, Format},
		"cut":              {good[:len(good)/2], ErrForeign, Format},
		"two":              {good + good, ErrForeign, Format},
		"nested too deep":  {strings.Repeat("[", 1<<20), ErrForeign, Format},
		"newer":            {replace(`"version":1`, `"version":2,"shape":{"new":[1]}`), ErrNewer, "version 2, this one reads up to 1"},
		"newer, logs gone": {`{"format":"chronik-backup","version":9,"logs":7}`, ErrNewer, "version 9"},
		"version 0":        {replace(`"version":1`, `"version":0`), ErrCorrupt, "version 0"},
		"version -1":       {replace(`"version":1`, `"version":-1`), ErrCorrupt, "version -1"},
		"unknown field":    {replace(`"version":1`, `"version":1,"x":1`), ErrCorrupt, `"x"`},
		"offset as text":   {replace(`"end":9`, `"end":"9"`), ErrCorrupt, "end"},
		"huge number":      {replace(`"end":9`, `"end":1e99`), ErrCorrupt, "end"},
		"fraction":         {replace(`"end":9`, `"end":9.5`), ErrCorrupt, "end"},
		"no such time":     {replace("2026-01-02", "2026-13-02"), ErrCorrupt, "month"},
		"partition 2^31":   {replace(`"partitions":2`, `"partitions":2147483648`), ErrCorrupt, "partitions"},
	} {
		m, err := parseManifest([]byte(tc.text))
		if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) || m != nil {
			t.Errorf("%s: %v, want %v with %q", name, err, tc.want, tc.says)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
}

// Manifests that are well formed, and can't be.
func TestManifestContents(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Manifest)
		says   string
	}{
		"no id":              {func(m *Manifest) { m.ID = "" }, `id ""`},
		"long id":            {func(m *Manifest) { m.ID = strings.Repeat("x", 129) }, "id"},
		"id of a terminal":   {func(m *Manifest) { m.ID = "\x1b[2J" }, `\x1b`},
		"note to a terminal": {func(m *Manifest) { m.Skipped = []string{"\x1b[2J"} }, `\x1b`},
		"producer":           {func(m *Manifest) { m.Cluster.NextProducer = -1 }, "producer id -1"},
		"climbs":             {func(m *Manifest) { climb(m, "../../../../../../etc/x") }, `"../../`},
		"absolute":           {func(m *Manifest) { climb(m, "/etc/passwd") }, `"/etc/passwd"`},
		"climbs at the end":  {func(m *Manifest) { climb(m, idA+"/../x") }, "/../x"},
		"a line more":        {func(m *Manifest) { climb(m, idA+"\n") }, `\n`},
		"windows":            {func(m *Manifest) { climb(m, `..\..\x`) }, `..\\`},
		"no topic id":        {func(m *Manifest) { climb(m, "") }, `id ""`},
		"name twice":         {func(m *Manifest) { m.Cluster.Topics[1].Name = "a" }, "there twice"},
		"id twice": {func(m *Manifest) {
			m.Cluster.Topics[1].ID, m.Logs[2].TopicID = idA, idA
		}, "of another"},
		"no partitions":   {func(m *Manifest) { m.Cluster.Topics[1].Partitions = 0 }, "0 partitions"},
		"many partitions": {func(m *Manifest) { m.Cluster.Topics[1].Partitions = math.MaxInt32 }, "2147483647 partitions"},
		"negative factor": {func(m *Manifest) { m.Cluster.Topics[1].Replication = -1 }, "-1 replicas"},
		"log twice":       {func(m *Manifest) { m.Logs[1] = m.Logs[0] }, "a/1 is missing"},
		"logs swapped":    {func(m *Manifest) { m.Logs[0], m.Logs[1] = m.Logs[1], m.Logs[0] }, "a/0 is missing"},
		"log too many":    {func(m *Manifest) { m.Logs = append(m.Logs, m.Logs[2]) }, "1 logs of no topic"},
		"log too few":     {func(m *Manifest) { m.Logs = m.Logs[:2] }, "1 partitions"},
		"first":           {func(m *Manifest) { m.Logs[0].First = -1 }, "offsets -1"},
		"first late":      {func(m *Manifest) { m.Logs[0].First = 3 }, "offsets 3"},
		"start late":      {func(m *Manifest) { m.Logs[0].Start = 10 }, "10 to 9"},
		"end":             {func(m *Manifest) { m.Logs[0].End = math.MaxInt64 }, "to 9223372036854775807"},
		"epoch":           {func(m *Manifest) { m.Logs[0].LeaderEpoch = math.MaxInt32 }, "leader epoch 2147483647"},
		"epoch below 0":   {func(m *Manifest) { m.Logs[0].LeaderEpoch = -1 }, "leader epoch -1"},
		"bytes":           {func(m *Manifest) { m.Logs[0].Bytes = -1 }, "-1 bytes"},
		"records":         {func(m *Manifest) { m.Logs[0].Records = -1 }, "-1 records"},
		"state":           {func(m *Manifest) { m.Logs[0].StateBytes = math.MaxInt64 }, "state of 9223372036854775807"},
		"group twice":     {func(m *Manifest) { m.Groups = append(m.Groups, m.Groups[0]) }, "there twice"},
		"offset twice": {func(m *Manifest) {
			m.Groups[0].Offsets = append(m.Groups[0].Offsets, m.Groups[0].Offsets[0])
		}, "offset 9 in a/0"},
		"offset beyond":   {func(m *Manifest) { m.Groups[0].Offsets[0].Offset = 10 }, "offset 10 in a/0"},
		"offset below 0":  {func(m *Manifest) { m.Groups[0].Offsets[0].Offset = -1 }, "offset -1"},
		"offset nowhere":  {func(m *Manifest) { m.Groups[0].Offsets[0].Topic = "c" }, "in c/0"},
		"offset of no -1": {func(m *Manifest) { m.Groups[0].Offsets[0].Partition = -1 }, "in a/-1"},
	} {
		m := sample()
		tc.change(m)
		if got, err := parseManifest(encode(t, m)); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v (%v), want %q", name, err, got != nil, tc.says)
		}
	}
}

func climb(m *Manifest, id string) {
	m.Cluster.Topics[1].ID, m.Logs[2].TopicID = id, id
}

// A small text may not become a large thing in memory: each of these elements
// has three bytes, a Log has thirty times that.
func TestManifestOfManyElements(t *testing.T) {
	for _, list := range []string{`"logs":[`, `"groups":[`, `"cluster":{"topics":[`} {
		text := []byte(`{"format":"chronik-backup","version":1,` + list + strings.Repeat("{},", maxElements) + "{}]")
		text = append(text, strings.Repeat("}", strings.Count(list, "{")+1)...)
		_, err := parseManifest(text)
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), fmt.Sprint("more than ", maxElements)) {
			t.Errorf("%s: %v", list, err)
		}
	}
}

func FuzzManifest(f *testing.F) {
	f.Add(encode(f, sample()))
	f.Add([]byte(`{"format":"chronik-backup","version":2}`))
	f.Add([]byte(`{"format":"chronik-backup","version":1,"id":"x","cluster":{"topics":[{"id":"../x","partitions":1}]},` +
		`"logs":[{"topic_id":"../x"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseManifest(text)
		if err != nil {
			if m != nil || !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrForeign) && !errors.Is(err, ErrNewer) {
				t.Fatalf("%v", err)
			}
			return
		}
		// What is accepted stays in its directory, with each file once, and is
		// what it is when it is written again.
		seen := map[string]bool{}
		for _, name := range m.files() {
			if path.Dir(name) != logsDir || path.Clean(name) != name || seen[name] {
				t.Fatalf("the file %q", name)
			}
			seen[name] = true
		}
		partitions := 0
		for _, topic := range m.Cluster.Topics {
			partitions += int(topic.Partitions)
		}
		if n, _, _ := m.Totals(); n != partitions {
			t.Fatalf("%d logs of %d partitions", n, partitions)
		}
		again, err := parseManifest(encode(t, m))
		if err != nil {
			t.Fatalf("written again: %v", err)
		}
		if d := cmp.Diff(encode(t, m), encode(t, again)); d != "" {
			t.Fatal(d)
		}
	})
}
