package backup

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/chroniklog/chronik/server/client"
	"github.com/chroniklog/chronik/storage/record"
)

// fakeLog is a partition as the API shows it, one record a batch, whose keys
// are removed and written anew by a script.
type fakeLog struct {
	mu      sync.Mutex
	removed map[int64]bool
	end     int64
	points  int
	// atFetch and atPoint are called before an answer is made.
	atFetch func(l *fakeLog, offset int64)
	atPoint func(l *fakeLog)
}

// replace has a record removed by one at the end that has its key.
func (l *fakeLog) replace(offset int64) {
	l.removed[offset] = true
	l.end++
}

func (l *fakeLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	head := w.Header()
	switch path.Base(r.URL.Path) {
	case "offsets":
		head.Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"log_start_offset":0,"high_watermark":%d}`, l.end)
	case "backup":
		if l.points++; l.atPoint != nil {
			l.atPoint(l)
		}
		head.Set("Log-Start-Offset", "0")
		head.Set("Log-High-Watermark", strconv.FormatInt(l.end, 10))
		head.Set("Log-Leader-Epoch", "1")
	case "records":
		offset, _ := strconv.ParseInt(r.URL.Query().Get("offset"), 10, 64)
		if l.atFetch != nil {
			l.atFetch(l, offset)
		}
		head.Set("Log-Start-Offset", "0")
		head.Set("Log-High-Watermark", strconv.FormatInt(l.end, 10))
		head.Set("Content-Type", "application/octet-stream")
		var b []byte
		for n := 0; offset < l.end && n < 3; offset++ { // three at once
			if !l.removed[offset] {
				b, n = append(b, batchAt(offset, 1, 1)...), n+1
			}
		}
		_, _ = w.Write(b)
	}
}

// takeOf is the taking of a fake log.
func takeOf(t *testing.T, l *fakeLog, compacted bool) *logTaking {
	t.Helper()
	l.removed = map[int64]bool{}
	s := httptest.NewServer(l)
	t.Cleanup(s.Close)
	c, err := client.New(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	dir := t.TempDir() + "/b"
	if err := prepareDir(dir); err != nil {
		t.Fatal(err)
	}
	tk := &taking{c: c, dir: dir, sums: map[string]string{}}
	tk.meter = newMeter(&tk.o, 1)
	return &logTaking{t: tk, topic: "t", compacted: compacted, log: &Log{TopicID: idA}}
}

// offsetsOf are the offsets that a backup's log has.
func offsetsOf(t *testing.T, l *logTaking) map[int64]bool {
	t.Helper()
	root, err := os.OpenRoot(l.t.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	have := map[int64]bool{}
	err = eachBatch(root, l.log.file(), sha256.New(), func(_ []byte, h record.Header) error {
		have[h.BaseOffset] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return have
}

// Whatever compaction removes before it is read, the backup ends after what
// replaced it: no key is lost.
func TestTakeWhileCompacted(t *testing.T) {
	replaced := map[int64]int64{} // by which offset
	l := &fakeLog{end: 10}
	l.atFetch = func(l *fakeLog, offset int64) {
		// What lies ahead is replaced before it is read, thrice below the end
		// that was seen first, twice below one that was taken.
		if at := offset + 1; len(replaced) < 5 && at < l.end && !l.removed[at] {
			replaced[at] = l.end
			l.replace(at)
		}
	}
	l.atPoint = func(l *fakeLog) { l.end += 3 } // there is more to read each time
	tk := takeOf(t, l, true)
	if err := tk.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	have := offsetsOf(t, tk)
	for offset := range tk.log.End {
		if by, gone := replaced[offset]; !have[offset] && (!gone || by >= tk.log.End) {
			t.Errorf("offset %d is missing; the backup ends at %d, it was replaced at %d", offset, tk.log.End, by)
		}
	}
	if len(replaced) < 5 || l.points < 2 || int64(len(have)) != tk.log.Records {
		t.Errorf("%d replaced, the end was taken %d times, %d of %d records", len(replaced), l.points, len(have),
			tk.log.Records)
	}
}

// Compaction that is always faster ends the backup, with what to do.
func TestTakeBehindCompaction(t *testing.T) {
	l := &fakeLog{end: 10}
	l.atPoint = func(l *fakeLog) { l.end += 2 }
	l.atFetch = func(l *fakeLog, offset int64) { l.replace(offset) }
	if err := takeOf(t, l, true).take(t.Context()); !errors.Is(err, errCompaction) || l.points != endings {
		t.Errorf("%v, after %d ends", err, l.points)
	}
}

// A disk that is full where the backup goes ends it, and nothing vouches for
// the file.
func TestTakeOnFullDisk(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("/dev/full is Linux's")
	}
	tk := takeOf(t, &fakeLog{end: 5}, false)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	tk.out = &sumWriter{f: full, w: bufio.NewWriterSize(full, 1<<10), sum: sha256.New()}
	err = tk.point(t.Context())
	if err == nil {
		err = tk.take(t.Context())
	}
	if !errors.Is(err, syscall.ENOSPC) || len(tk.t.sums) > 0 {
		t.Errorf("%v; sums of %v", err, tk.t.sums)
	}
}
