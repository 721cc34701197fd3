package servertest

import (
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
