package kafka_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/storage/record"
)

// raw is a connection that sends what a client library would not.
type raw struct {
	t    *testing.T
	nc   net.Conn
	next int32
}

func (b *broker) raw(t *testing.T) *raw {
	t.Helper()
	nc, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &raw{t: t, nc: nc}
}

func (r *raw) write(b []byte) {
	r.t.Helper()
	if _, err := r.nc.Write(b); err != nil {
		r.t.Fatal(err)
	}
}

// send sends a request at its version and returns its correlation id.
func (r *raw) send(req kmsg.Request) int32 {
	r.t.Helper()
	r.next++
	r.write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("raw")).AppendRequest(nil, req, r.next))
	return r.next
}

// receive reads the answer to a request, which must be the next one.
func (r *raw) receive(req kmsg.Request, id int32) kmsg.Response {
	r.t.Helper()
	body := r.body(id)
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if resp.IsFlexible() && req.Key() != 18 {
		if body[0] != 0 {
			r.t.Fatalf("header tags %d", body[0])
		}
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		r.t.Fatalf("%s version %d: %v", kmsg.NameForKey(req.Key()), req.GetVersion(), err)
	}
	return resp
}

func (r *raw) body(id int32) []byte {
	r.t.Helper()
	head := make([]byte, 8)
	if _, err := io.ReadFull(r.nc, head); err != nil {
		r.t.Fatal(err)
	}
	if got := int32(binary.BigEndian.Uint32(head[4:])); got != id {
		r.t.Fatalf("answer to request %d, want %d", got, id)
	}
	body := make([]byte, binary.BigEndian.Uint32(head)-4)
	if _, err := io.ReadFull(r.nc, body); err != nil {
		r.t.Fatal(err)
	}
	return body
}

func (r *raw) ask(req kmsg.Request) kmsg.Response {
	r.t.Helper()
	return r.receive(req, r.send(req))
}

// closed fails unless the node has closed the connection.
func (r *raw) closed() {
	r.t.Helper()
	if n, err := r.nc.Read(make([]byte, 1)); n != 0 || !(errors.Is(err, io.EOF) || isReset(err)) {
		r.t.Errorf("the connection is open: %d bytes, %v", n, err)
	}
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout()
}

// batch builds a record batch of the values.
func batch(codec record.Codec, values ...string) []byte {
	b := record.NewBuilder(codec)
	for _, v := range values {
		b.Append(time.Now().UnixMilli(), nil, []byte(v), nil)
	}
	return b.Build(nil)
}

// sequenced builds a batch of an idempotent producer.
func sequenced(id int64, epoch int16, seq int32, values ...string) []byte {
	b := record.NewBuilder(record.CodecNone)
	b.SetProducer(id, epoch, seq)
	for _, v := range values {
		b.Append(time.Now().UnixMilli(), nil, []byte(v), nil)
	}
	return b.Build(nil)
}

// reseal renews a batch's checksum after a change.
func reseal(b []byte) []byte {
	record.StampAppendTime(b, time.Now().UnixMilli())
	return b
}

func produceTo(version int16, topic string, p int32, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = version, -1, 5000
	addBatch(req, topic, p, records)
	return req
}

func addBatch(req *kmsg.ProduceRequest, topic string, p int32, records []byte) {
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	part := kmsg.NewProduceRequestTopicPartition()
	part.Partition, part.Records = p, records
	t.Partitions = append(t.Partitions, part)
	req.Topics = append(req.Topics, t)
}

// produced is the first partition's answer.
func produced(resp kmsg.Response) kmsg.ProduceResponseTopicPartition {
	return resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
}

// topic makes a topic.
func (b *broker) topic(t *testing.T, name string, partitions int32, configs map[string]string) server.Topic {
	t.Helper()
	made, err := b.Broker.CreateTopic(within(t, 10*time.Second), server.TopicSpec{
		Name: name, Partitions: partitions, Configs: configs,
	})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// end is a partition's end as readers see it.
func (b *broker) end(t *testing.T, topic string, p int32) int64 {
	t.Helper()
	o, err := b.Broker.LedLogs().Offsets(topic, p)
	if err != nil {
		t.Fatal(err)
	}
	return o.HighWatermark
}

func wantCode(t *testing.T, got int16, want *kerr.Error) {
	t.Helper()
	wanted := int16(0)
	if want != nil {
		wanted = want.Code
	}
	if got != wanted {
		t.Errorf("error %v, want %v", kerr.ErrorForCode(got), kerr.ErrorForCode(wanted))
	}
}
