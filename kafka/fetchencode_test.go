package kafka

import (
	"bytes"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/partition"
)

// twoNodes answers what the encoder asks of a broker.
type twoNodes struct{ Broker }

func (twoNodes) Cluster() server.ClusterInfo {
	return server.ClusterInfo{Nodes: []server.NodeInfo{
		{ID: 1, Kafka: "a.example:9092", Alive: true}, {ID: 2, Kafka: "b.example:9093", Alive: true},
	}}
}

// sampleFetch is an answer with everything that an answer can have.
func sampleFetch(version int16, isolation partition.Isolation) *fetch {
	none := leader{id: -1, epoch: -1}
	id := server.TopicID{1, 2, 3}
	f := &fetch{k: &Listener{broker: twoNodes{}}, version: version, isolation: isolation}
	f.context.id = 77
	for i, name := range []string{"orders", "orders", "orders", "a"} {
		key := fetchKey{name: name, index: int32(i)}
		if version >= fetchTopicIDs {
			key = fetchKey{id: id, index: int32(i)}
			if name == "a" {
				key.id[0] = 9
			}
		}
		f.context.parts = append(f.context.parts, &fetchPart{fetchKey: key})
	}
	offsets := partition.Offsets{LogStart: 3, HighWatermark: 900, LastStable: 800}
	f.results = []fetched{
		{offsets: offsets, batches: bytes.Repeat([]byte("r"), 300), leader: none},
		{code: codeNotLeader, leader: leader{id: 2, epoch: 5}},
		{offsets: offsets, diverging: &partition.EpochEnd{Epoch: 4, End: 500}, leader: none},
		{offsets: offsets, batches: []byte("x"), leader: none},
	}
	if version < fetchFlexible { // these versions have no place for it
		f.results[2].diverging = nil
	}
	return f
}

// expected is the same answer for kmsg to encode.
func expected(f *fetch) []byte {
	r := kmsg.NewPtrFetchResponse()
	r.Version, r.SessionID = f.version, f.context.id
	for i := range f.results {
		p, found := f.context.parts[i], f.results[i]
		if i == 0 || !sameTopic(f.context.parts[i-1], p) {
			t := kmsg.NewFetchResponseTopic()
			t.Topic, t.TopicID = p.name, p.id
			r.Topics = append(r.Topics, t)
		}
		rp := kmsg.NewFetchResponseTopicPartition()
		rp.Partition, rp.ErrorCode = p.index, found.code
		rp.HighWatermark, rp.LastStableOffset, rp.LogStartOffset = -1, -1, -1
		if found.code == codeNone {
			o := found.offsets
			rp.HighWatermark, rp.LastStableOffset, rp.LogStartOffset = o.HighWatermark, o.LastStable, o.LogStart
		}
		if f.isolation == partition.ReadCommitted {
			rp.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{}
		}
		rp.RecordBatches = append([]byte{}, found.batches...)
		if d := found.diverging; d != nil {
			rp.DivergingEpoch.Epoch, rp.DivergingEpoch.EndOffset = d.Epoch, d.End
		}
		rp.CurrentLeader.LeaderID, rp.CurrentLeader.LeaderEpoch = found.leader.id, found.leader.epoch
		t := &r.Topics[len(r.Topics)-1]
		t.Partitions = append(t.Partitions, rp)
	}
	if f.version >= fetchEndpoints {
		b := kmsg.NewFetchResponseBroker()
		b.NodeID, b.Host, b.Port = 2, "b.example", 9093
		r.Brokers = append(r.Brokers, b)
	}
	return r.AppendTo(nil)
}

// The hand-written answer equals kmsg's byte for byte, at every version that
// is spoken.
func TestFetchAnswerEqualsKmsg(t *testing.T) {
	row := fetchRow(t)
	for version := row.min; version <= row.max; version++ {
		for _, isolation := range []partition.Isolation{partition.ReadUncommitted, partition.ReadCommitted} {
			f := sampleFetch(version, isolation)
			want := expected(f)
			var out output
			out.begin(&call{api: &row, version: version, correlation: 5})
			head := len(out.buf)
			f.encode(&out, codeNone)
			parts, _ := out.finish()
			var got []byte
			for _, p := range *parts {
				got = append(got, p...)
			}
			if !bytes.Equal(got[head:], want) {
				t.Errorf("version %d, isolation %d:\n got %x\nwant %x", version, isolation, got[head:], want)
			}
		}
	}
}

// A session's error has no topics.
func TestFetchErrorAnswer(t *testing.T) {
	row := fetchRow(t)
	for version := int16(fetchSessions); version <= row.max; version++ {
		f := &fetch{k: &Listener{broker: twoNodes{}}, version: version}
		var out output
		f.encode(&out, codeFetchSessionNotFound)
		want := kmsg.NewPtrFetchResponse()
		want.Version, want.ErrorCode = version, codeFetchSessionNotFound
		if !bytes.Equal(out.buf, want.AppendTo(nil)) {
			t.Errorf("version %d: %x", version, out.buf)
		}
	}
}

func fetchRow(t *testing.T) api {
	t.Helper()
	for _, a := range table(true) {
		if a.key == keyFetch {
			return a
		}
	}
	t.Fatal("no Fetch in the table")
	return api{}
}
