package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chroniklog/chronik/server/client"
	"github.com/chroniklog/chronik/storage/record"
)

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// batchAt is a batch of n records.
func batchAt(base int64, epoch int32, n int) []byte {
	var b record.Builder
	b.Reset(base, epoch)
	for range n {
		b.Append(1, nil, []byte("value"), nil)
	}
	return b.Build(nil)
}

// written is a backup of one partition that somebody made by hand, its sums
// right: log is the content of its log, state of its state.
func written(t *testing.T, l Log, log, state []byte) string {
	t.Helper()
	dir := t.TempDir() + "/b"
	if err := prepareDir(dir); err != nil {
		t.Fatal(err)
	}
	l.TopicID = idA
	m := &Manifest{
		Format: Format, Version: Version, ID: "x", Groups: []Group{}, Logs: []Log{l},
		Cluster: client.ClusterBackup{Topics: []client.TopicBackup{{ID: idA, Name: "a", Partitions: 1}}},
	}
	files := map[string][]byte{manifestFile: encode(t, m)}
	if l.Bytes > 0 {
		files[l.file()] = log
	}
	if l.StateBytes > 0 {
		files[l.stateFile()] = state
	}
	sums := map[string]string{}
	for name, content := range files {
		sum, err := writeFile(dir, name, content)
		if err != nil || sum != sumOf(content) {
			t.Fatal(sum, err)
		}
		sums[name] = sum
	}
	if err := writeSums(dir, sums); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Logs whose sums are right, and which are not what the manifest says.
func TestVerifyLogs(t *testing.T) {
	whole := append(batchAt(0, 1, 2), batchAt(5, 2, 3)...)
	good := Log{End: 9, LeaderEpoch: 2, Records: 5, Bytes: int64(len(whole)), StateBytes: 3}
	last := func(base int64) []byte { return append(batchAt(0, 1, 2), batchAt(base, 2, 3)...) }
	length := func(n uint32) []byte { // of the second batch
		b := last(5)
		at := len(batchAt(0, 1, 2)) + 8
		b[at], b[at+1], b[at+2], b[at+3] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
		return b
	}
	for name, tc := range map[string]struct {
		change func(*Log)
		log    []byte
		says   string // empty: it is right
	}{
		"good":              {nil, whole, ""},
		"epoch too late":    {func(l *Log) { l.LeaderEpoch = 1 }, whole, "leader epoch 2"},
		"end too early":     {func(l *Log) { l.End = 7 }, whole, "offsets 5 to 8"},
		"first too late":    {func(l *Log) { l.First, l.Start = 1, 1 }, whole, "offsets 0 to 2"},
		"a record more":     {func(l *Log) { l.Records++ }, whole, "5 records"},
		"bytes are huge":    {func(l *Log) { l.Bytes = math.MaxInt64 }, whole, "9223372036854775807"},
		"batch twice":       {nil, append(batchAt(0, 1, 2), batchAt(0, 1, 2)...), "offsets 0 to 2 after 2"},
		"batch again":       {nil, last(1), "offsets 1 to 4 after 2"},
		"backwards":         {nil, append(batchAt(5, 2, 3), batchAt(0, 1, 2)...), "offsets 0 to 2 after 8"},
		"before all":        {nil, last(-3), "offsets -3"},
		"at the last":       {nil, last(math.MaxInt64), "offsets 9223372036854775807"},
		"wraps":             {nil, last(math.MaxInt64 - 1), "offsets 9223372036854775806"},
		"cut":               {nil, whole[:len(whole)-1], "unexpected EOF"},
		"cut in the header": {nil, whole[:len(whole)-80], "header"},
		"a byte more":       {nil, append(whole[:len(whole):len(whole)], 0), "header"},
		"length 2 GB":       {nil, length(math.MaxInt32), "length"},
		"length 63 MB":      {nil, length(63 << 20), "unexpected EOF"},
		"length below 0":    {nil, length(math.MaxUint32), "length"},
		"text":              {nil, []byte(strings.Repeat("text ", 100)), "magic"},
	} {
		t.Run(name, func(t *testing.T) {
			l := good
			if tc.change != nil {
				tc.change(&l)
			}
			dir := written(t, l, tc.log, []byte("abc"))
			_, err := Verify(t.Context(), dir, Options{})
			if tc.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), tc.says) ||
				!strings.Contains(err.Error(), idA+"-0.log") {
				t.Errorf("%v, want %q", err, tc.says)
			}
		})
	}
}

// What lies in the directory instead of the files, with sums that are right
// where there can be some.
func TestVerifyDirectories(t *testing.T) {
	log := batchAt(0, 1, 2)
	name := func(dir string) string { return filepath.Join(dir, logsDir, idA+"-0.log") }
	link := func(target string) func(dir string) error {
		return func(dir string) error { return errors.Join(os.Remove(name(dir)), os.Symlink(target, name(dir))) }
	}
	sums := func(change func(string) string) func(dir string) error {
		return func(dir string) error {
			file := filepath.Join(dir, sumsFile)
			text, err := os.ReadFile(file)
			return errors.Join(err, os.WriteFile(file, []byte(change(string(text))), 0o600))
		}
	}
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, log, 0o600); err != nil {
		t.Fatal(err)
	}
	for label, tc := range map[string]struct {
		damage func(dir string) error
		want   error
		says   string
	}{
		"a link out":      {link(outside), ErrCorrupt, "no regular file"},
		"a link in":       {link("../" + manifestFile), ErrCorrupt, "no regular file"},
		"a link to /dev":  {link("/dev/zero"), ErrCorrupt, "no regular file"},
		"a pipe":          {pipe(name), ErrCorrupt, "no regular file"},
		"pipe for sums":   {pipe(func(dir string) string { return dir + "/" + sumsFile }), ErrCorrupt, "no regular file"},
		"manifest a pipe": {pipe(func(dir string) string { return dir + "/" + manifestFile }), ErrCorrupt, "no regular file"},
		"a directory": {func(dir string) error {
			return errors.Join(os.Remove(name(dir)), os.Mkdir(name(dir), 0o700))
		}, ErrCorrupt, "no regular file"},
		"logs gone":  {func(dir string) error { return os.RemoveAll(dir + "/logs") }, ErrCorrupt, "logs is missing"},
		"sums gone":  {func(dir string) error { return os.Remove(dir + "/" + sumsFile) }, ErrUnfinished, sumsFile},
		"sums empty": {sums(func(string) string { return "" }), ErrCorrupt, manifestFile},
		"sums climb": {sums(func(s string) string { return s + sumOf(nil) + "  ../x\n" }), ErrCorrupt, "names 3 files"},
		"sums twice": {sums(func(s string) string { return s + s }), ErrCorrupt, "line"},
		"sums cut":   {sums(func(s string) string { return s[:len(s)-1] }), ErrCorrupt, "line"},
		"no sums": {sums(func(s string) string {
			return strings.Replace(s, sumOf(log), strings.Repeat("x", 64), 1)
		}), ErrCorrupt, "not as it was written"},
	} {
		t.Run(label, func(t *testing.T) {
			dir := written(t, Log{End: 2, LeaderEpoch: 1, Records: 2, Bytes: int64(len(log))}, log, nil)
			if err := tc.damage(dir); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() {
				_, err := Verify(t.Context(), dir, Options{})
				done <- err
			}()
			select {
			case err := <-done:
				if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("%v, want %v with %q", err, tc.want, tc.says)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("it waits")
			}
		})
	}
}

// pipe puts a pipe in the place of a file.
func pipe(name func(dir string) string) func(dir string) error {
	return func(dir string) error {
		return errors.Join(os.Remove(name(dir)), syscall.Mkfifo(name(dir), 0o600))
	}
}
