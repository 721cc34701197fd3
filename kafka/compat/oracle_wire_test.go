package compat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// side is one of the two brokers that get the same requests.
type side struct {
	t    *testing.T
	name string
	addr string
	nc   net.Conn
	next int32
	keys map[int16][2]int16 // what it advertises: lowest and highest version
	// noted is what later requests need of earlier answers: ids that a broker
	// chooses.
	noted map[string]any
}

func newSide(t *testing.T, name, addr string) *side {
	t.Helper()
	s := &side{t: t, name: name, addr: addr, noted: map[string]any{}, keys: map[int16][2]int16{}}
	t.Cleanup(s.hangUp)
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = 3, "oracle", "1"
	resp, err := s.ask(req)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range resp.(*kmsg.ApiVersionsResponse).ApiKeys {
		s.keys[k.ApiKey] = [2]int16{k.MinVersion, k.MaxVersion}
	}
	return s
}

func (s *side) hangUp() {
	if s.nc != nil {
		_ = s.nc.Close()
		s.nc = nil
	}
}

// The broker closed the connection instead of answering, or did neither.
var (
	errHungUp   = errors.New("connection closed")
	errNoAnswer = errors.New("no answer")
)

// answerTime bounds the wait for an answer.
const answerTime = 5 * time.Second

// exchange sends a frame's content and returns the answer's, without the
// correlation id.
func (s *side) exchange(payload []byte) ([]byte, error) {
	s.t.Helper()
	if s.nc == nil {
		nc, err := net.Dial("tcp", s.addr)
		if err != nil {
			s.t.Fatal(err)
		}
		s.nc = nc
	}
	if err := s.nc.SetDeadline(time.Now().Add(answerTime)); err != nil {
		s.t.Fatal(err)
	}
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))
	if _, err := s.nc.Write(append(frame, payload...)); err != nil {
		s.hangUp()
		return nil, errHungUp
	}
	head := make([]byte, 8)
	if _, err := io.ReadFull(s.nc, head); err != nil {
		var late net.Error
		timeout := errors.As(err, &late) && late.Timeout()
		s.hangUp()
		if timeout {
			return nil, errNoAnswer
		}
		return nil, errHungUp
	}
	body := make([]byte, binary.BigEndian.Uint32(head)-4)
	if _, err := io.ReadFull(s.nc, body); err != nil {
		s.t.Fatal(err)
	}
	return body, nil
}

// ask sends a request at its version.
func (s *side) ask(req kmsg.Request) (kmsg.Response, error) {
	s.t.Helper()
	s.next++
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("oracle")).AppendRequest(nil, req, s.next)
	body, err := s.exchange(frame[4:])
	if err != nil {
		return nil, err
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if resp.IsFlexible() && req.Key() != 18 {
		body = body[1:] // no tags in the header
	}
	if err := resp.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("%s answers %s version %d with what can't be read: %w",
			s.name, kmsg.NameForKey(req.Key()), req.GetVersion(), err)
	}
	return resp, nil
}

// topicID is the id that this side gave to a topic; zero if there is none.
func (s *side) topicID(name string) [16]byte {
	s.t.Helper()
	return s.metadata(name).TopicID
}

func (s *side) metadata(name string) kmsg.MetadataResponseTopic {
	s.t.Helper()
	req, topic := kmsg.NewPtrMetadataRequest(), kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr(name)
	req.Version, req.Topics = 12, append(req.Topics, topic)
	resp, err := s.ask(req)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.(*kmsg.MetadataResponse).Topics[0]
}

// create makes a topic and waits until it can be used.
func (s *side) create(name string, partitions int32, configs ...string) {
	s.t.Helper()
	req, topic := kmsg.NewPtrCreateTopicsRequest(), kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, 1
	for i := 0; i < len(configs); i += 2 {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = configs[i], &configs[i+1]
		topic.Configs = append(topic.Configs, c)
	}
	req.Version, req.TimeoutMillis, req.Topics = 7, 10_000, append(req.Topics, topic)
	resp, err := s.ask(req)
	if err != nil || resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode != 0 {
		s.t.Fatalf("%s: create %s: %+v %v", s.name, name, resp, err)
	}
	s.await(name, partitions)
}

// await waits until a topic has so many partitions, each with a leader.
func (s *side) await(name string, partitions int32) {
	s.t.Helper()
	for range 500 {
		t, led := s.metadata(name), int32(0)
		for i := range t.Partitions {
			if t.Partitions[i].ErrorCode == 0 && t.Partitions[i].Leader >= 0 {
				led++
			}
		}
		if t.ErrorCode == 0 && led == partitions {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.t.Fatalf("%s: topic %s does not come up", s.name, name)
}

// warmUp waits until the side gives producer ids and leads groups: the first
// request of either kind begins what takes a while.
func (s *side) warmUp() {
	s.t.Helper()
	for range 500 {
		ids := kmsg.NewPtrInitProducerIDRequest()
		ids.Version, ids.ProducerID, ids.ProducerEpoch = 4, -1, -1
		first, err := s.ask(ids)
		if err != nil {
			s.t.Fatal(err)
		}
		describe := kmsg.NewPtrDescribeGroupsRequest()
		describe.Version = 4
		for i := range 60 { // some for each partition of __consumer_offsets
			describe.Groups = append(describe.Groups, fmt.Sprintf("warm-%d", i))
		}
		found, err := s.ask(findCoordinator("g", 0))
		if err != nil {
			s.t.Fatal(err)
		}
		groups, err := s.ask(describe)
		if err != nil {
			s.t.Fatal(err)
		}
		ready := first.(*kmsg.InitProducerIDResponse).ErrorCode == 0 && found.(*kmsg.FindCoordinatorResponse).ErrorCode == 0
		for _, g := range groups.(*kmsg.DescribeGroupsResponse).Groups {
			ready = ready && g.ErrorCode == 0
		}
		if ready {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.t.Fatalf("%s does not warm up", s.name)
}
