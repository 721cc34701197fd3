package servertest

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chroniklog/chronik/server/config"
	"github.com/chroniklog/chronik/storage/record"
)

// A data directory that an earlier binary left when it was killed opens, holds
// every record, remembers every retry and goes on. testdata/make-datadir made
// it; an archive that is committed never changes.
func TestOpensOlderData(t *testing.T) {
	dir := t.TempDir()
	unpack(t, "testdata/datadir-v1.tar.gz", dir)
	n := Start(t, WithConfig(func(c *config.Config) { c.DataDir = filepath.Join(dir, "data") }))
	for round := range 2 {
		checkCodecs(t, n)
		checkCompacted(t, n)
		checkOlderTopics(t, n)
		checkOlderRetries(t, n, int64(5+round))
		n.Restart()
	}
}

func checkCodecs(t *testing.T, n *Node) {
	t.Helper()
	for name, codec := range map[string]record.Codec{
		"uncompressed": record.CodecNone, "gzip": record.CodecGzip, "snappy": record.CodecSnappy,
		"lz4": record.CodecLZ4, "zstd": record.CodecZstd,
	} {
		target := "GET /v1/topics/codec-" + name + "/partitions/0/records?offset=0&limit=1000"
		raw := call(t, n, target, "", "Accept: application/vnd.kafka.recordbatch.v2").want(t, http.StatusOK).body
		var last record.Header
		for len(raw) > 0 {
			batch, rest, err := record.Split(raw)
			if err != nil {
				t.Fatal(err)
			}
			if last, err = record.ParseHeader(batch); err != nil || record.CheckCRC(batch) != nil {
				t.Fatalf("codec-%s: batch %+v %v", name, last, err)
			}
			raw = rest
		}
		if last.Codec() != codec {
			t.Errorf("codec-%s: the last batch is %v", name, last.Codec())
		}
		var page struct {
			Records []struct {
				Offset     int64
				Key, Value string
				Headers    []struct{ Name, Value string }
			}
		}
		call(t, n, target, "").want(t, http.StatusOK).decode(t, &page)
		if len(page.Records) != 310 {
			t.Fatalf("codec-%s has %d records, want 310", name, len(page.Records))
		}
		for i, r := range page.Records {
			value := fmt.Sprintf("value %d of some length, value %d of some length", i, i)
			if r.Offset != int64(i) || r.Key != fmt.Sprint("k", i) || r.Value != value ||
				len(r.Headers) == 0 || r.Headers[len(r.Headers)-1].Name != "n" || r.Headers[len(r.Headers)-1].Value != fmt.Sprint(i) {
				t.Fatalf("codec-%s, record %d: %+v", name, i, r)
			}
		}
	}
}

func checkCompacted(t *testing.T, n *Node) {
	t.Helper()
	for k := range 20 {
		target := fmt.Sprintf("GET /v1/topics/compacted/keys/k%d", k)
		if k == 7 {
			call(t, n, target, "").want(t, http.StatusNotFound)
			continue
		}
		a := call(t, n, target, "").want(t, http.StatusOK)
		if want := fmt.Sprintf("round 99 of %d xxx", k); !strings.HasPrefix(string(a.body), want) || len(a.body) < 4000 {
			t.Errorf("%s: %.30q", target, a.body)
		}
	}
	page := read(t, n, "compacted", 0, "offset=0&limit=1")
	if len(page.Records) != 1 || page.Records[0].Offset == 0 || page.HighWatermark != 2001 {
		t.Errorf("the compacted log begins with %+v, high watermark %d", page.Records, page.HighWatermark)
	}
}

func checkOlderTopics(t *testing.T, n *Node) {
	t.Helper()
	call(t, n, "GET /v1/topics/trimmed/partitions/0/records?offset=76", "").want(t, http.StatusGone)
	page := read(t, n, "trimmed", 0, "offset=77&limit=100")
	if len(page.Records) != 23 || page.LogStartOffset != 77 || page.HighWatermark != 100 {
		t.Errorf("trimmed: %d records of [%d, %d)", len(page.Records), page.LogStartOffset, page.HighWatermark)
	}
	for i, r := range page.Records {
		if !strings.HasPrefix(r.Value, fmt.Sprintf("trimmed %d xxx", 77+i)) || r.Offset != int64(77+i) {
			t.Errorf("trimmed, offset %d: %.20q", r.Offset, r.Value)
		}
	}
	for p := range int32(40) {
		if got, want := read(t, n, "wide", p, "offset=0").values(), fmt.Sprint("in ", p); got != want {
			t.Errorf("wide/%d: %q, want %q", p, got, want)
		}
	}
	png := call(t, n, "GET /v1/topics/bytes/partitions/0/records/0", "").want(t, http.StatusOK)
	if string(png.body) != strings.Repeat("\xff", 256) || png.Header.Get("Content-Type") != "image/png" {
		t.Errorf("bytes: %d bytes of type %s", len(png.body), png.Header.Get("Content-Type"))
	}
	empty := call(t, n, "GET /v1/topics/bytes/partitions/0/records/1", "").want(t, http.StatusOK)
	if len(empty.body) != 0 {
		t.Errorf("the empty record is %q", empty.body)
	}
	call(t, n, "GET /v1/topics/gone", "").want(t, http.StatusNotFound)
	var topic struct{ Configs map[string]string }
	call(t, n, "GET /v1/topics/retried", "").want(t, http.StatusOK).decode(t, &topic)
	if topic.Configs["retention.ms"] != "-1" {
		t.Errorf("the configs of retried: %v", topic.Configs)
	}
}

// checkOlderRetries repeats what the older binary answered, then writes on;
// next is the offset that this takes.
func checkOlderRetries(t *testing.T, n *Node, next int64) {
	t.Helper()
	const target = "POST /v1/topics/retried/records"
	duplicate := func(a answer, offset int64) {
		t.Helper()
		var got appended
		a.want(t, http.StatusOK).decode(t, &got)
		if got.Offset != offset || !got.Duplicate {
			t.Errorf("a retry is answered %+v, want offset %d", got, offset)
		}
	}
	duplicate(call(t, n, target, "pay 7 EUR", "Idempotency-Key: order-17"), 0)
	call(t, n, target, "pay 8 EUR", "Idempotency-Key: order-17").want(t, http.StatusUnprocessableEntity)
	for seq := range 3 {
		duplicate(call(t, n, target+"?partition=0", fmt.Sprint("seq ", seq), "Producer-Id: writer",
			"Producer-Epoch: 3", fmt.Sprint("Producer-Seq: ", seq)), int64(1+seq))
	}
	call(t, n, "POST /v1/topics/fenced/records?partition=0&fence=other", "x").want(t, http.StatusPreconditionFailed)
	produce(t, n, "fenced?partition=0&fence=writer-7", "x")
	if got := produce(t, n, "retried?partition=0", "third life"); got.Offset != next {
		t.Errorf("the next record is at %d, want %d", got.Offset, next)
	}
}

// unpack writes a tar.gz below dir. Runs of zeros become holes: most of the
// directory is space that was only reserved.
func unpack(t *testing.T, archive, dir string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zr, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(name, 0o750)
		} else {
			err = unpackFile(name, tr, h.Size)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func unpackFile(name string, r io.Reader, size int64) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	block, zeros := make([]byte, 64<<10), make([]byte, 64<<10)
	for at := int64(0); at < size && err == nil; {
		b := block[:min(int64(len(block)), size-at)]
		if _, err = io.ReadFull(r, b); err == nil && string(b) != string(zeros[:len(b)]) {
			_, err = f.WriteAt(b, at)
		}
		at += int64(len(b))
	}
	return errors.Join(err, f.Truncate(size), f.Close())
}
