package kafka

import (
	"context"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/raft"
)

// metadataTopic is what Kafka calls the log of the metadata.
const metadataTopic = "__cluster_metadata"

// describeQuorum answers DescribeQuorum (KIP-595, KIP-836): how far the members
// of the metadata group have come. Any node asks the controller. The times of
// followers are those of this answer where the controller hears of them, and
// unknown where it doesn't.
func (k *Listener) describeQuorum(ctx context.Context, req *kmsg.DescribeQuorumRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeQuorumResponse()
	quorum, err := k.broker.Quorum(ctx)
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = codeOf(err), message(err)
		return resp
	}
	spoken := false
	now := time.Now().UnixMilli()
	for i := range req.Topics {
		t := kmsg.NewDescribeQuorumResponseTopic()
		t.Topic = req.Topics[i].Topic
		for j := range req.Topics[i].Partitions {
			p := kmsg.NewDescribeQuorumResponseTopicPartition()
			p.Partition = req.Topics[i].Partitions[j].Partition
			if t.Topic != metadataTopic || p.Partition != 0 {
				p.ErrorCode = codeUnknownTopic
			} else {
				fillQuorum(&p, &quorum, now)
				spoken = true
			}
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	if !spoken {
		return resp
	}
	info := k.broker.Cluster()
	for _, e := range endpoints(&info, true) {
		n, l := kmsg.NewDescribeQuorumResponseNode(), kmsg.NewDescribeQuorumResponseNodeListener()
		n.NodeID, l.Name, l.Host, l.Port = e.id, "PLAINTEXT", e.host, uint16(e.port)
		n.Listeners = append(n.Listeners, l)
		resp.Nodes = append(resp.Nodes, n)
	}
	return resp
}

// fillQuorum describes the metadata group at a time, in Unix milliseconds.
func fillQuorum(p *kmsg.DescribeQuorumResponseTopicPartition, q *raft.Quorum, now int64) {
	p.LeaderID, p.LeaderEpoch = q.Controller, int32(min(q.Term, math.MaxInt32))
	p.HighWatermark = int64(q.Commit)
	for i := range q.Members {
		m := &q.Members[i]
		r := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
		r.ReplicaID, r.LogEndOffset = m.Node, int64(m.Match)
		if m.Active {
			r.LastFetchTimestamp = now
			if m.Match >= q.Commit {
				r.LastCaughtUpTimestamp = now
			}
		}
		if m.Voter {
			p.CurrentVoters = append(p.CurrentVoters, r)
		} else {
			p.Observers = append(p.Observers, r)
		}
	}
}
