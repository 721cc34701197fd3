package servertest

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chroniklog/chronik/storage/record"
)

// Records that come in JSON batches are stored with the topic's compression.type.
func TestBatchesAreCompressed(t *testing.T) {
	n := Start(t)
	for _, form := range []struct{ contentType, body string }{
		{"application/json", `{"records":[{"value":"` + strings.Repeat("x", 1000) + `"}]}`},
		{"application/x-ndjson", `{"value":"` + strings.Repeat("x", 1000) + `"}`},
	} {
		for i, codec := range []record.Codec{record.CodecGzip, record.CodecSnappy, record.CodecLZ4, record.CodecZstd} {
			name := fmt.Sprintf("t%d-%d", i, len(form.contentType))
			create(t, n, fmt.Sprintf(`{"name":%q,"configs":{"compression.type":%q}}`, name, codec))
			call(t, n, "POST /v1/topics/"+name+"/batches", form.body, "Content-Type: "+form.contentType).want(t, http.StatusOK)
			raw := call(t, n, "GET /v1/topics/"+name+"/partitions/0/records?offset=0", "",
				"Accept: application/vnd.kafka.recordbatch.v2").want(t, http.StatusOK).body
			h, err := record.ParseHeader(raw)
			if err != nil || h.Codec() != codec || len(raw) > 500 {
				t.Errorf("%s with compression.type %v: %d bytes stored as %v %v", form.contentType, codec, len(raw), h.Codec(), err)
			}
			if got := read(t, n, name, 0, "offset=0").values(); got != strings.Repeat("x", 1000) {
				t.Errorf("%v: reads back as %.20q", codec, got)
			}
		}
	}
}

// A client's own batches are stored with the codec that the topic names, and
// as they came where it leaves the choice to producers.
func TestClientsBatchesAreRecompressed(t *testing.T) {
	n := Start(t)
	codecs := []record.Codec{record.CodecNone, record.CodecGzip, record.CodecSnappy, record.CodecLZ4, record.CodecZstd}
	for _, want := range []string{"producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"} {
		create(t, n, fmt.Sprintf(`{"name":%q,"configs":{"compression.type":%q}}`, want, want))
		for i, codec := range codecs {
			b := record.NewBuilder(codec)
			b.Append(1_000_000, []byte("k"), []byte(strings.Repeat(codec.String(), 300)), nil)
			b.Append(1_000_001, nil, []byte("last"), []record.HeaderKV{{Key: "h", Value: []byte("v")}})
			sent := b.Build(nil)
			call(t, n, "POST /v1/topics/"+want+"/batches?partition=0", string(sent),
				"Content-Type: application/vnd.kafka.recordbatch.v2").want(t, http.StatusOK)
			stored := call(t, n, fmt.Sprintf("GET /v1/topics/%s/partitions/0/records?offset=%d", want, 2*i), "",
				"Accept: application/vnd.kafka.recordbatch.v2").want(t, http.StatusOK).body
			h, err := record.Validate(stored, record.Limits{})
			if err != nil || h.Count != 2 {
				t.Fatalf("%s: %v: %+v", want, err, h)
			}
			if want == "producer" {
				record.Place(sent, h.BaseOffset, h.LeaderEpoch)
				if !bytes.Equal(stored, sent) {
					t.Errorf("a batch of %v is not stored as it came", codec)
				}
			} else if topic, _ := record.ParseCodec(want); h.Codec() != topic {
				t.Errorf("a batch of %v is stored as %v where the topic says %s", codec, h.Codec(), want)
			}
			if got := read(t, n, want, 0, fmt.Sprintf("offset=%d", 2*i)).values(); got != strings.Repeat(codec.String(), 300)+" last" {
				t.Errorf("%v in %s reads back as %.40q", codec, want, got)
			}
		}
	}
}

// What the topic's codec makes too large is refused, and not stored.
func TestRecompressedBeyondTheLimit(t *testing.T) {
	n := Start(t)
	create(t, n, `{"name":"t","configs":{"compression.type":"uncompressed","max.message.bytes":"1000"}}`)
	b := record.NewBuilder(record.CodecZstd)
	b.Append(1_000_000, nil, []byte(strings.Repeat("x", 5000)), nil)
	r := call(t, n, "POST /v1/topics/t/batches?partition=0", string(b.Build(nil)),
		"Content-Type: application/vnd.kafka.recordbatch.v2")
	r.want(t, http.StatusRequestEntityTooLarge)
	if got := read(t, n, "t", 0, "offset=0").values(); got != "" {
		t.Errorf("%.40q was stored", got)
	}
}
