package compat

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// kcat runs Debian's kcat against a broker.
type kcat struct {
	t    *testing.T
	addr string
}

func (k kcat) do(stdin string, args ...string) string {
	k.t.Helper()
	args = append([]string{"-b", k.addr, "-X", "broker.address.family=v4"}, args...)
	return command{stdin: stdin, only: true}.must(k.t, "kcat", args...)
}

func TestKcat(t *testing.T) {
	wanted(t)
	need(t, "kcat", "kcat (Debian's package of that name)")
	k := kcat{t: t, addr: start(t, 1, 3)}
	t.Run("codecs", func(t *testing.T) {
		for codec, name := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
			testCodec(t, k, "codec-"+name, name, uint8(codec))
		}
	})
	t.Run("keys, headers, null values", func(t *testing.T) {
		k.do("k1|v1\nk2|\n", "-P", "-t", "shapes", "-p", "1", "-K", "|", "-Z", "-H", "a=b", "-H", "c=", "-H", "d")
		got := k.do("", "-C", "-t", "shapes", "-p", "1", "-o", "beginning", "-e", "-q", "-f", `%p %o %k %S %h\n`)
		if want := "1 0 k1 2 a=b,c=,d=NULL\n1 1 k2 -1 a=b,c=,d=NULL\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("idempotent producer", func(t *testing.T) {
		k.do(numbered(1000), "-P", "-t", "idem", "-p", "0", "-X", "enable.idempotence=true")
		if got := k.do("", "-C", "-t", "idem", "-p", "0", "-o", "beginning", "-e", "-q"); got != numbered(1000) {
			t.Errorf("1,000 records came back as %d bytes", len(got))
		}
	})
	t.Run("offsets", func(t *testing.T) { testOffsets(t, k) })
	t.Run("groups", func(t *testing.T) { testKcatGroup(t, k) })
	t.Run("metadata", func(t *testing.T) {
		got := k.do("", "-L", "-t", "idem")
		for _, want := range []string{"broker 1 at " + k.addr, `topic "idem" with 3 partitions`, "partition 2, leader 1, replicas: 1, isrs: 1"} {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in\n%s", want, got)
			}
		}
	})
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "record %d\n", i)
	}
	return b.String()
}

// testCodec produces with a codec and looks that the batches are stored with
// it: librdkafka turns compression off for a broker that it thinks too old.
func testCodec(t *testing.T, k kcat, topic, name string, codec uint8) {
	k.do(numbered(5000), "-P", "-t", topic, "-p", "0", "-z", name)
	if got := k.do("", "-C", "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q"); got != numbered(5000) {
		t.Errorf("%s: 5,000 records came back as %d bytes", name, len(got))
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(k.addr), kgo.ConsumePartitions(
		map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	fetches := cl.PollFetches(t.Context())
	if err := fetches.Err(); err != nil {
		t.Fatal(err)
	}
	for _, r := range fetches.Records() {
		if got := r.Attrs.CompressionType(); got != codec {
			t.Errorf("%s: record %d is stored with codec %d", name, r.Offset, got)
			break
		}
	}
}

func testOffsets(t *testing.T, k kcat) {
	k.do(numbered(10), "-P", "-t", "offsets", "-p", "0")
	for _, tt := range []struct{ from, want string }{
		{"7", "record 7\nrecord 8\nrecord 9\n"},
		{"-2", "record 8\nrecord 9\n"},
		{"s@0", numbered(10)},
		{"s@99999999999999", ""},
	} {
		got := k.do("", "-C", "-t", "offsets", "-p", "0", "-o", tt.from, "-e", "-q")
		if got != tt.want {
			t.Errorf("from %s: %q", tt.from, got)
		}
	}
	for query, want := range map[string]string{"-1": "10", "-2": "0", "0": "0", "99999999999999": "-1"} {
		got := k.do("", "-Q", "-t", "offsets:0:"+query)
		if !regexp.MustCompile(`offset ` + want + `\s*$`).MatchString(got) {
			t.Errorf("query %s: %q, want offset %s", query, got, want)
		}
	}
}

// testKcatGroup has a group read a topic in two goes: the second goes on where
// the first committed.
func testKcatGroup(t *testing.T, k kcat) {
	read := func(most string) string {
		return k.do("", "-G", "kcat-group", "-c", most, "-q", "-X", "auto.offset.reset=earliest",
			"-X", "enable.auto.offset.store=true", "grouped")
	}
	k.do(numbered(20), "-P", "-t", "grouped", "-p", "0")
	first, second := read("5"), read("15")
	if first+second != numbered(20) {
		t.Errorf("the group read\n%s\nand then\n%s", first, second)
	}
}
