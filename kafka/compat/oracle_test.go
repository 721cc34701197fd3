package compat

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/server/config"
	"github.com/chroniklog/chronik/server/servertest"
)

// oracle sends the same requests to a real Apache Kafka and to Chronik.
type oracle struct {
	t              *testing.T
	kafka, chronik *side
	known          []*known
	// asked counts the pairs of answers, by key.
	asked map[int16]int
}

// TestOracle compares Chronik's answers with Apache Kafka's, field by field:
// for every key that both advertise, in every version, for good requests and
// bad ones. testdata/oracle.txt lists the differences that are meant; one that
// isn't there fails, and so does a line that nothing matches.
func TestOracle(t *testing.T) {
	wanted(t)
	lib := jars(t)
	node := servertest.Start(t, servertest.Unchecked(), servertest.WithConfig(func(c *config.Config) {
		c.AutoCreateTopics, c.GroupInitialDelay = false, 0
	}))
	o := &oracle{
		t: t, known: readKnown(t), asked: map[int16]int{},
		kafka: newSide(t, "Kafka", startKafka(t, lib)), chronik: newSide(t, "Chronik", node.Kafka),
	}
	for _, s := range o.sides() {
		s.create("o-a", 2)
		s.create("o-bad", 1)
		s.create("o-compact", 1, "cleanup.policy", "compact")
	}
	for _, s := range o.sides() {
		s.warmUp()
	}
	o.versions()
	o.topics()
	o.records()
	o.producers()
	o.offsets()
	o.groups()
	o.groupErrors()
	o.consumers()
	o.configs()
	o.cluster()
	o.reassignments()
	o.frames()
	o.deletions()
	o.report()
}

func (o *oracle) sides() [2]*side { return [2]*side{o.kafka, o.chronik} }

// report fails for what was left out and for what is listed in vain.
func (o *oracle) report() {
	total := 0
	for _, n := range o.asked {
		total += n
	}
	o.t.Logf("%d pairs of answers were compared, of %d keys", total, len(o.asked))
	for key := range o.chronik.keys {
		if _, both := o.kafka.keys[key]; both && o.asked[key] == 0 {
			o.t.Errorf("%s was never asked", kmsg.NameForKey(key))
		}
	}
	for _, k := range o.known {
		if !k.used {
			o.t.Errorf("testdata/oracle.txt lists in vain: %s | %s", k.what, k.path)
		}
	}
}

// each sends a request to both, in every version that both advertise, and
// compares the answers; seen, where given, notes what later requests need.
// build may return nil to leave a version out.
func (o *oracle) each(what string, build func(s *side, v int16) kmsg.Request,
	seen ...func(s *side, v int16, resp kmsg.Response),
) {
	o.t.Helper()
	key, from, to := o.common(build)
	for v := from; v <= to; v++ {
		var flat [2]map[string]string
		for i, s := range o.sides() {
			req := build(s, v)
			if req == nil {
				break
			}
			req.SetVersion(v)
			resp, err := s.ask(req)
			if err != nil {
				flat[i] = map[string]string{"": err.Error()}
				continue
			}
			flat[i] = flatten(resp)
			for _, f := range seen {
				f(s, v, resp)
			}
		}
		if flat[0] == nil || flat[1] == nil {
			continue
		}
		o.asked[key]++
		o.judge(fmt.Sprintf("%s %s v%d", kmsg.NameForKey(key), what, v), flat[0], flat[1])
	}
}

// common is the versions that both sides advertise, of the key that build
// makes requests of.
func (o *oracle) common(build func(s *side, v int16) kmsg.Request) (key, from, to int16) {
	o.t.Helper()
	var req kmsg.Request
	for v := int16(0); req == nil && v < 20; v++ {
		req = build(o.kafka, v)
	}
	key = req.Key()
	k, c := o.kafka.keys[key], o.chronik.keys[key]
	from, to = max(k[0], c[0]), min(k[1], c[1])
	if key == 0 {
		from = 3 // lower ones are advertised for librdkafka's sake only
	}
	return key, from, to
}

// judge reports the differences that are not known.
func (o *oracle) judge(what string, kafka, chronik map[string]string) {
	o.t.Helper()
	for _, d := range compare(what, kafka, chronik) {
		meant := false
		for _, k := range o.known {
			if k.matches(&d) {
				k.used, meant = true, true
			}
		}
		if !meant {
			o.t.Errorf("%s | %s: Kafka %q, Chronik %q", d.what, d.path, clip(d.kafka), clip(d.chronik))
		}
	}
}

func clip(s string) string {
	if len(s) > 160 {
		s = s[:160] + "…"
	}
	return s
}

// versions compares what is advertised.
func (o *oracle) versions() {
	o.each("", func(*side, int16) kmsg.Request {
		req := kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = "oracle", "1"
		return req
	})
	o.each("bad name", func(_ *side, v int16) kmsg.Request {
		req := kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = "no spaces", "-"
		return req
	})
}

// frames compares how a connection ends, or goes on, after bytes that are no
// request.
func (o *oracle) frames() {
	head := func(key, version int16, rest ...byte) []byte {
		b := []byte{byte(key >> 8), byte(key), byte(version >> 8), byte(version), 0, 0, 0, 9, 0, 1, 'x'}
		return append(b, rest...)
	}
	for name, payload := range map[string][]byte{
		"empty":                         {},
		"half a header":                 {0, 3, 0},
		"unknown key":                   head(1999, 0),
		"negative key":                  head(-1, 0),
		"version above":                 head(3, 99),
		"negative version":              head(3, -1),
		"old produce":                   head(0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0),
		"body cut short":                head(3, 1, 0, 0),
		"count beyond the frame":        head(3, 1, 0x7f, 0xff, 0xff, 0xff),
		"negative count":                head(3, 1, 0xff, 0xff, 0xff, 0xfe),
		"string beyond the frame":       head(3, 1, 0, 0, 0, 1, 0x7f, 0xff, 'x'),
		"ApiVersions, unknown version":  head(18, 77),
		"ApiVersions, negative version": head(18, -3),
		"trailing bytes":                head(3, 1, 0, 0, 0, 0, 1, 2, 3),
	} {
		var flat [2]map[string]string
		for i, s := range o.sides() {
			s.hangUp()
			body, err := s.exchange(payload)
			text := "answered"
			switch {
			case err != nil:
				text = err.Error()
			case strings.HasPrefix(name, "ApiVersions"):
				text = fmt.Sprintf("answered with error %d", int16(body[0])<<8|int16(body[1]))
			}
			flat[i] = map[string]string{"": text}
			s.hangUp()
		}
		o.judge("frame, "+name, flat[0], flat[1])
	}
}
