package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/server/partition"
)

// Timestamps of ListOffsets that are no times.
const (
	timeLatest        int64 = -1
	timeEarliest      int64 = -2
	timeMax           int64 = -3 // of the record with the largest timestamp
	timeEarliestLocal int64 = -4 // in front of which everything is in a remote tier
	timeLatestTiered  int64 = -5
	timePendingUpload int64 = -6
)

// specialSince is the version from which a special timestamp is understood,
// indexed by its negation.
var specialSince = [...]int16{0, 0, 0, 7, 8, 9, 11}

// position is an answer of ListOffsets for one partition.
type position struct {
	offset, timestamp int64
	epoch             int32
}

// nowhere is the answer when no record matches.
func nowhere() position { return position{offset: -1, timestamp: -1, epoch: -1} }

// listOffsets answers ListOffsets.
func (k *Listener) listOffsets(ctx context.Context, req *kmsg.ListOffsetsRequest) kmsg.Response {
	if req.Version >= 10 && req.TimeoutMillis > 0 {
		var cancel context.CancelFunc
		ctx, cancel = deadline(ctx, req.TimeoutMillis)
		defer cancel()
	}
	resp := kmsg.NewPtrListOffsetsResponse()
	twice := repeated(req)
	for i := range req.Topics {
		t := kmsg.NewListOffsetsResponseTopic()
		t.Topic = req.Topics[i].Topic
		for j := range req.Topics[i].Partitions {
			want := &req.Topics[i].Partitions[j]
			p := kmsg.NewListOffsetsResponseTopicPartition()
			p.Partition = want.Partition
			found, code := nowhere(), codeInvalidRequest
			switch {
			case twice[fetchKey{name: t.Topic, index: p.Partition}]:
			case ctx.Err() != nil: // a search by time may read
				code = codeRequestTimedOut
			default:
				found, code = k.listOffset(req, t.Topic, want)
			}
			p.ErrorCode, p.Offset, p.Timestamp, p.LeaderEpoch = code, found.offset, found.timestamp, found.epoch
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

// repeated are the partitions that a request names twice, which is invalid.
func repeated(req *kmsg.ListOffsetsRequest) map[fetchKey]bool {
	seen := make(map[fetchKey]bool)
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			key := fetchKey{name: req.Topics[i].Topic, index: req.Topics[i].Partitions[j].Partition}
			_, before := seen[key]
			seen[key] = before
		}
	}
	return seen
}

func (k *Listener) listOffset(req *kmsg.ListOffsetsRequest, topic string,
	want *kmsg.ListOffsetsRequestTopicPartition,
) (position, int16) {
	known := want.CurrentLeaderEpoch
	if req.Version < 4 {
		known = -1
	}
	if code := k.judgeEpoch(topic, want.Partition, known); code != codeNone {
		return nowhere(), code
	}
	if ts := want.Timestamp; ts < 0 && (ts < timePendingUpload || req.Version < specialSince[-ts]) {
		return nowhere(), codeUnsupportedVersion
	}
	found, err := k.seek(topic, want, partition.Isolation(req.IsolationLevel))
	code := codeOf(err)
	if code == codeOffsetNotAvailable && req.Version < 5 {
		code = codeLeaderNotAvailable // older clients do not know the other (KIP-207)
	}
	if code != codeNone {
		found = nowhere()
	}
	return found, code
}

// seek finds the position for a timestamp, special or not.
func (k *Listener) seek(topic string, want *kmsg.ListOffsetsRequestTopicPartition,
	isolation partition.Isolation,
) (position, error) {
	p := want.Partition
	offsets, err := k.logs.Offsets(topic, p)
	if err != nil {
		return position{}, err
	}
	at := nowhere()
	ok := false
	switch want.Timestamp {
	case timeLatest:
		end := offsets.HighWatermark
		if isolation == partition.ReadCommitted {
			end = offsets.LastStable
		}
		return position{offset: end, timestamp: -1, epoch: offsets.LeaderEpoch}, nil
	case timeEarliest, timeEarliestLocal:
		at.offset = offsets.LogStart
		at.epoch, err = k.logs.EpochAt(topic, p, at.offset)
		return at, err
	case timeLatestTiered, timePendingUpload:
		return at, nil
	case timeMax:
		at.offset, at.timestamp, ok, err = k.logs.MaxTimestamp(topic, p)
	default:
		at.offset, at.timestamp, ok, err = k.logs.OffsetForTime(topic, p, want.Timestamp)
	}
	if err != nil || !ok {
		return nowhere(), err
	}
	at.epoch, err = k.logs.EpochAt(topic, p, at.offset)
	return at, err
}

// offsetForLeaderEpoch answers OffsetForLeaderEpoch (KIP-320).
func (k *Listener) offsetForLeaderEpoch(_ context.Context, req *kmsg.OffsetForLeaderEpochRequest) kmsg.Response {
	resp := kmsg.NewPtrOffsetForLeaderEpochResponse()
	for i := range req.Topics {
		t := kmsg.NewOffsetForLeaderEpochResponseTopic()
		t.Topic = req.Topics[i].Topic
		for j := range req.Topics[i].Partitions {
			want := &req.Topics[i].Partitions[j]
			p := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			p.Partition, p.LeaderEpoch, p.EndOffset = want.Partition, -1, -1
			p.ErrorCode = k.judgeEpoch(t.Topic, want.Partition, want.CurrentLeaderEpoch)
			if p.ErrorCode == codeNone {
				end, err := k.logs.LeaderEpochEnd(t.Topic, want.Partition, want.LeaderEpoch)
				if p.ErrorCode = codeOf(err); err == nil {
					p.LeaderEpoch, p.EndOffset = end.Epoch, end.End
				}
			}
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

// deleteRecords answers DeleteRecords: the log's new start is durable then.
func (k *Listener) deleteRecords(ctx context.Context, req *kmsg.DeleteRecordsRequest) kmsg.Response {
	ctx, cancel := deadline(ctx, req.TimeoutMillis)
	defer cancel()
	resp := kmsg.NewPtrDeleteRecordsResponse()
	for i := range req.Topics {
		t := kmsg.NewDeleteRecordsResponseTopic()
		t.Topic = req.Topics[i].Topic
		for _, want := range req.Topics[i].Partitions {
			p := kmsg.NewDeleteRecordsResponseTopicPartition()
			p.Partition, p.LowWatermark = want.Partition, -1
			if _, err := k.broker.PartitionState(t.Topic, want.Partition); err != nil {
				p.ErrorCode = codeOf(err)
			} else if want.Offset < partition.NoOffset {
				p.ErrorCode = codeOffsetOutOfRange
			} else if start, err := k.logs.Trim(ctx, t.Topic, want.Partition, want.Offset); err != nil {
				p.ErrorCode = codeOf(err)
			} else {
				p.LowWatermark = start
			}
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

// initProducerID gives an idempotent producer its id.
func (k *Listener) initProducerID(ctx context.Context, req *kmsg.InitProducerIDRequest) kmsg.Response {
	resp := kmsg.NewPtrInitProducerIDResponse()
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	if req.TransactionalID != nil {
		resp.ErrorCode = codeInvalidRequest
		return resp
	}
	ctx, cancel := context.WithTimeout(ctx, allocateTimeout)
	defer cancel()
	id, epoch, err := k.broker.AllocateProducerID(ctx)
	if resp.ErrorCode = codeOf(err); err == nil {
		resp.ProducerID, resp.ProducerEpoch = id, epoch
	}
	return resp
}
