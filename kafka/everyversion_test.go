package kafka_test

import (
	"bytes"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/kafka"
)

// Every key that is advertised, at every version, answers a request that says
// nothing, in exactly the bytes of that version, and the connection goes on.
func TestEveryVersionAnswers(t *testing.T) {
	b := start(t, kafka.Limits{})
	b.topic(t, "t", 1, nil)
	r := b.raw(t)
	known := r.ask(kmsg.NewPtrApiVersionsRequest()).(*kmsg.ApiVersionsResponse)
	for _, k := range known.ApiKeys {
		least := k.MinVersion
		if k.ApiKey == 0 {
			least = 3 // it is advertised from 0 for librdkafka's sake
		}
		for v := least; v <= k.MaxVersion; v++ {
			req := kmsg.RequestForKey(k.ApiKey)
			req.SetVersion(v)
			if d, ok := req.(interface{ Default() }); ok {
				d.Default()
			}
			req.SetVersion(v)
			if p, ok := req.(*kmsg.ProduceRequest); ok {
				p.Acks = -1 // else there is no answer
			}
			id := r.send(req)
			body := r.body(id)
			resp := req.ResponseKind()
			resp.SetVersion(v)
			if resp.IsFlexible() && k.ApiKey != 18 {
				body = body[1:]
			}
			name := kmsg.NameForKey(k.ApiKey)
			if err := resp.ReadFrom(body); err != nil {
				t.Errorf("%s %d: %v", name, v, err)
			} else if again := resp.AppendTo(nil); !bytes.Equal(again, body) {
				t.Errorf("%s %d:\n got %x\nread %x", name, v, body, again)
			}
		}
	}
}
