package kafka

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/coordinator"
)

// sampleProduce is a request with two topics and three partitions.
func sampleProduce(version int16) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = version, -1, 1500
	for i, name := range []string{"orders", "é"} {
		t := kmsg.NewProduceRequestTopic()
		t.Topic, t.TopicID = name, server.TopicID{byte(i + 1)}
		for p := range 2 - i {
			part := kmsg.NewProduceRequestTopicPartition()
			part.Partition, part.Records = int32(p), bytes.Repeat([]byte{byte(p + 1)}, 200)
			t.Partitions = append(t.Partitions, part)
		}
		req.Topics = append(req.Topics, t)
	}
	return req
}

// walked collects what the hand-written decoder finds.
func walked(body []byte, version int16) (topics []produceTopic, batches [][]byte, bad bool) {
	r := reader{b: body}
	if n := r.length(version >= produceFlexible, false); n >= 0 {
		r.take(n)
	}
	r.int16()
	r.int32()
	walkProduce(&r, version, func(t *produceTopic) { topics = append(topics, *t) },
		func(_ *produceTopic, index int32, records []byte) {
			t := &topics[len(topics)-1]
			t.parts = append(t.parts, producePart{index: index})
			batches = append(batches, records)
		})
	return topics, batches, r.bad
}

// The hand-written decoder of produce requests finds what kmsg encoded, at
// every version, and takes no request that is cut short.
func TestProduceWalkEqualsKmsg(t *testing.T) {
	for version := int16(3); version <= 13; version++ {
		req := sampleProduce(version)
		body := req.AppendTo(nil)
		topics, batches, bad := walked(body, version)
		if bad || len(topics) != 2 || len(batches) != 3 {
			t.Fatalf("version %d: %d topics, %d batches, bad %v", version, len(topics), len(batches), bad)
		}
		n := 0
		for i, want := range req.Topics {
			name, id := want.Topic, server.TopicID(want.TopicID)
			if version >= produceTopicIDs {
				name = ""
			} else {
				id = server.TopicID{}
			}
			if topics[i].name != name || topics[i].id != id {
				t.Errorf("version %d: topic %q %x", version, topics[i].name, topics[i].id)
			}
			for j, p := range want.Partitions {
				if topics[i].parts[j].index != p.Partition || !bytes.Equal(batches[n], p.Records) {
					t.Errorf("version %d: %s/%d differs", version, want.Topic, p.Partition)
				}
				n++
			}
		}
		for cut := range len(body) {
			if _, _, bad := walked(body[:cut], version); !bad {
				t.Errorf("version %d: %d of %d bytes were taken", version, cut, len(body))
			}
		}
	}
}

// No key's decoder fails by panic or by an allocation that a number asks for.
func FuzzRequest(f *testing.F) {
	for _, a := range table(true) {
		for v := a.min; v <= a.max; v++ {
			req := kmsg.RequestForKey(a.key)
			req.SetVersion(v)
			f.Add(a.key, v, req.AppendTo(nil))
		}
	}
	f.Add(keyProduce, int16(9), sampleProduce(9).AppendTo(nil))
	k := New(Options{Groups: (*coordinator.Coordinator)(nil)})
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		if len(body) > 1<<16 || k.find(key) == nil || key == keyProduce {
			return
		}
		b := binary.BigEndian.AppendUint16(nil, uint16(key))
		b = binary.BigEndian.AppendUint16(b, uint16(version))
		b = append(b, 0, 0, 0, 1, 0xff, 0xff)
		c := &conn{k: k}
		call, err := c.receive(&frame{c: c, key: key, b: append(b, body...)})
		if err == nil && call.req == nil && !call.unsupported {
			t.Error("neither a request nor an error")
		}
	})
}

// The walk over a produce request stays within it.
func FuzzProduceWalk(f *testing.F) {
	for v := int16(3); v <= 13; v++ {
		f.Add(v, sampleProduce(v).AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		if version < 3 || version > 13 {
			return
		}
		_, batches, _ := walked(body, version)
		total := 0
		for _, b := range batches {
			total += len(b)
		}
		if total > len(body) {
			t.Errorf("%d bytes of records in a request of %d", total, len(body))
		}
	})
}
