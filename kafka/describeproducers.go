package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// describeProducers answers DescribeProducers (KIP-664), of the partitions
// that this node leads. There are no transactions, hence no coordinator's
// epoch and no transaction's start.
func (k *Listener) describeProducers(_ context.Context, req *kmsg.DescribeProducersRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeProducersResponse()
	asked := once[fetchKey]{}
	for i := range req.Topics {
		t := kmsg.NewDescribeProducersResponseTopic()
		t.Topic = req.Topics[i].Topic
		for _, index := range req.Topics[i].Partitions {
			if asked.again(fetchKey{name: t.Topic, index: index}) {
				continue
			}
			p := kmsg.NewDescribeProducersResponseTopicPartition()
			p.Partition = index
			list, err := k.logs.ActiveProducers(t.Topic, index)
			p.ErrorCode, p.ErrorMessage = codeOf(err), message(err)
			for j := range list {
				a := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
				a.ProducerID, a.ProducerEpoch = list[j].ID, int32(list[j].Epoch)
				a.LastSequence, a.LastTimestamp = list[j].LastSequence, list[j].LastTimestamp
				a.CoordinatorEpoch = -1
				p.ActiveProducers = append(p.ActiveProducers, a)
			}
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}
