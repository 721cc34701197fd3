package compat

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// topics compares creation, description and growth of topics.
func (o *oracle) topics() {
	create := func(name string, change func(*kmsg.CreateTopicsRequestTopic), validate bool) {
		o.each(name, func(_ *side, v int16) kmsg.Request {
			req, t := kmsg.NewPtrCreateTopicsRequest(), kmsg.NewCreateTopicsRequestTopic()
			req.TimeoutMillis, req.ValidateOnly = 10_000, validate
			t.Topic, t.NumPartitions, t.ReplicationFactor = fmt.Sprintf("o-new-%d", v), 2, 1
			change(&t)
			req.Topics = append(req.Topics, t)
			return req
		})
	}
	config := func(name, value string) func(*kmsg.CreateTopicsRequestTopic) {
		return func(t *kmsg.CreateTopicsRequestTopic) {
			c := kmsg.NewCreateTopicsRequestTopicConfig()
			c.Name, c.Value = name, &value
			t.Topic, t.Configs = "o-config", append(t.Configs, c)
		}
	}
	create("valid, not done", func(*kmsg.CreateTopicsRequestTopic) {}, true)
	create("new", func(*kmsg.CreateTopicsRequestTopic) {}, false)
	create("existing", func(t *kmsg.CreateTopicsRequestTopic) { t.Topic = "o-a" }, false)
	create("bad name", func(t *kmsg.CreateTopicsRequestTopic) { t.Topic = "no/slash" }, false)
	create("no name", func(t *kmsg.CreateTopicsRequestTopic) { t.Topic = "" }, false)
	create("no partitions", func(t *kmsg.CreateTopicsRequestTopic) { t.Topic, t.NumPartitions = "o-none", 0 }, false)
	create("three replicas", func(t *kmsg.CreateTopicsRequestTopic) { t.Topic, t.ReplicationFactor = "o-none", 3 }, false)
	create("no replicas", func(t *kmsg.CreateTopicsRequestTopic) { t.Topic, t.ReplicationFactor = "o-none", 0 }, false)
	create("unknown config", config("no.such", "1"), false)
	create("bad config", config("retention.ms", "soon"), false)
	create("config, not done", config("retention.ms", "1000"), true)
	create("defaults, not done", func(t *kmsg.CreateTopicsRequestTopic) {
		t.Topic, t.NumPartitions, t.ReplicationFactor = "o-none", -1, -1
	}, true)
	place := func(replicas ...int32) func(*kmsg.CreateTopicsRequestTopic) {
		return func(t *kmsg.CreateTopicsRequestTopic) {
			a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
			a.Replicas = replicas
			t.Topic, t.NumPartitions, t.ReplicationFactor = "o-placed", -1, -1
			t.ReplicaAssignment = append(t.ReplicaAssignment, a)
		}
	}
	create("placed, not done", place(1), true)
	create("placed nowhere", place(9), true)
	create("placed twice", place(1, 1), true)
	for _, s := range o.sides() {
		for v := range int16(8) {
			if v >= 2 {
				s.await(fmt.Sprintf("o-new-%d", v), 2)
			}
		}
	}
	for _, name := range []string{"o-a", "nowhere", "no/slash"} {
		o.each(name, func(*side, int16) kmsg.Request { return metadataOf(name) })
		o.each(name, func(*side, int16) kmsg.Request {
			req, t := kmsg.NewPtrDescribeTopicPartitionsRequest(), kmsg.NewDescribeTopicPartitionsRequestTopic()
			t.Topic, req.ResponsePartitionLimit = name, 1
			req.Topics = append(req.Topics, t)
			return req
		})
	}
	o.each("no topics", func(_ *side, v int16) kmsg.Request {
		req := kmsg.NewPtrMetadataRequest()
		req.Topics = []kmsg.MetadataRequestTopic{}
		if v == 0 {
			return nil // all of them
		}
		return req
	})
	o.each("unknown id", func(_ *side, v int16) kmsg.Request {
		req := metadataOf("o-a")
		req.Topics[0].Topic, req.Topics[0].TopicID = nil, [16]byte{7}
		if v < 12 {
			return nil
		}
		return req
	})
	o.growth()
}

func metadataOf(name string) *kmsg.MetadataRequest {
	req, t := kmsg.NewPtrMetadataRequest(), kmsg.NewMetadataRequestTopic()
	t.Topic = &name
	req.Topics = append(req.Topics, t)
	return req
}

func (o *oracle) growth() {
	grow := func(name, topic string, count int32, replicas ...int32) {
		o.each(name, func(*side, int16) kmsg.Request {
			req, t := kmsg.NewPtrCreatePartitionsRequest(), kmsg.NewCreatePartitionsRequestTopic()
			req.TimeoutMillis, t.Topic, t.Count = 10_000, topic, count
			if len(replicas) > 0 {
				a := kmsg.NewCreatePartitionsRequestTopicAssignment()
				a.Replicas = replicas
				t.Assignment = append(t.Assignment, a)
			}
			req.Topics = append(req.Topics, t)
			return req
		})
	}
	grow("same", "o-new-2", 2)
	grow("fewer", "o-new-2", 1)
	grow("unknown topic", "nowhere", 3)
	grow("placed nowhere", "o-new-2", 3, 9)
	grow("placed twice", "o-new-2", 3, 1, 1)
	grow("more, then the same", "o-new-2", 3)
	for _, s := range o.sides() {
		s.await("o-new-2", 3)
	}
}

// deletions deletes what the versions of CreateTopics made.
func (o *oracle) deletions() {
	o.each("one", func(s *side, v int16) kmsg.Request {
		return deleteTopics(fmt.Sprintf("o-new-%d", v+1))
	})
	o.each("unknown", func(*side, int16) kmsg.Request { return deleteTopics("nowhere") })
	o.each("unknown id", func(_ *side, v int16) kmsg.Request {
		req := deleteTopics("x")
		req.Topics[0].Topic, req.Topics[0].TopicID = nil, [16]byte{7}
		if v < 6 {
			return nil
		}
		return req
	})
}

func deleteTopics(name string) *kmsg.DeleteTopicsRequest {
	req, t := kmsg.NewPtrDeleteTopicsRequest(), kmsg.NewDeleteTopicsRequestTopic()
	req.TimeoutMillis, req.TopicNames, t.Topic = 10_000, []string{name}, &name
	req.Topics = append(req.Topics, t)
	return req
}

// configs compares descriptions and changes of configs.
func (o *oracle) configs() {
	for _, r := range []struct {
		kind kmsg.ConfigResourceType
		name string
	}{
		{kmsg.ConfigResourceTypeTopic, "o-compact"}, {kmsg.ConfigResourceTypeTopic, "nowhere"},
		{kmsg.ConfigResourceTypeBroker, "1"}, {kmsg.ConfigResourceTypeBroker, "9"}, {kmsg.ConfigResourceTypeBroker, "x"},
		{99, "x"},
	} {
		o.each(fmt.Sprintf("of %v %s", r.kind, r.name), func(*side, int16) kmsg.Request {
			req, res := kmsg.NewPtrDescribeConfigsRequest(), kmsg.NewDescribeConfigsRequestResource()
			res.ResourceType, res.ResourceName = r.kind, r.name
			req.IncludeSynonyms, req.Resources = true, append(req.Resources, res)
			return req
		})
	}
	change := func(name, topic, key string, value *string, op kmsg.IncrementalAlterConfigOp) {
		o.each(name, func(*side, int16) kmsg.Request {
			req, res := kmsg.NewPtrIncrementalAlterConfigsRequest(), kmsg.NewIncrementalAlterConfigsRequestResource()
			res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeTopic, topic
			c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
			c.Name, c.Value, c.Op = key, value, op
			res.Configs = append(res.Configs, c)
			req.Resources = append(req.Resources, res)
			return req
		})
	}
	change("set", "o-a", "retention.ms", kmsg.StringPtr("5000"), kmsg.IncrementalAlterConfigOpSet)
	change("set, unknown topic", "nowhere", "retention.ms", kmsg.StringPtr("5000"), kmsg.IncrementalAlterConfigOpSet)
	change("set, unknown config", "o-a", "no.such", kmsg.StringPtr("1"), kmsg.IncrementalAlterConfigOpSet)
	change("set, bad value", "o-a", "retention.ms", kmsg.StringPtr("soon"), kmsg.IncrementalAlterConfigOpSet)
	change("set, null", "o-a", "retention.ms", nil, kmsg.IncrementalAlterConfigOpSet)
	change("append", "o-a", "cleanup.policy", kmsg.StringPtr("compact"), kmsg.IncrementalAlterConfigOpAppend)
	change("append to a number", "o-a", "retention.ms", kmsg.StringPtr("1"), kmsg.IncrementalAlterConfigOpAppend)
	change("subtract", "o-a", "cleanup.policy", kmsg.StringPtr("compact"), kmsg.IncrementalAlterConfigOpSubtract)
	change("delete", "o-a", "retention.ms", nil, kmsg.IncrementalAlterConfigOpDelete)
	change("unknown operation", "o-a", "retention.ms", nil, 9)
	for _, value := range []*string{kmsg.StringPtr("6000"), kmsg.StringPtr("soon"), nil} {
		o.each(fmt.Sprintf("whole, %v", deref(value)), func(*side, int16) kmsg.Request {
			req, res := kmsg.NewPtrAlterConfigsRequest(), kmsg.NewAlterConfigsRequestResource()
			res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeTopic, "o-a"
			c := kmsg.NewAlterConfigsRequestResourceConfig()
			c.Name, c.Value = "retention.ms", value
			res.Configs = append(res.Configs, c)
			req.Resources = append(req.Resources, res)
			return req
		})
	}
}

func deref(s *string) string {
	if s == nil {
		return "null"
	}
	return *s
}

// cluster compares what is told of nodes.
func (o *oracle) cluster() {
	for _, kind := range []int8{1, 2, 3} {
		o.each(fmt.Sprintf("endpoints %d", kind), func(*side, int16) kmsg.Request {
			req := kmsg.NewPtrDescribeClusterRequest()
			req.EndpointType = kind
			return req
		})
	}
	o.each("of o-a", func(*side, int16) kmsg.Request {
		req, t := kmsg.NewPtrDescribeLogDirsRequest(), kmsg.NewDescribeLogDirsRequestTopic()
		t.Topic, t.Partitions = "o-a", []int32{0, 1}
		req.Topics = append(req.Topics, t)
		return req
	})
	for _, name := range []string{"__cluster_metadata", "o-a"} {
		o.each("of "+name, func(*side, int16) kmsg.Request {
			req, t := kmsg.NewPtrDescribeQuorumRequest(), kmsg.NewDescribeQuorumRequestTopic()
			t.Topic, t.Partitions = name, append(t.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
			req.Topics = append(req.Topics, t)
			return req
		})
	}
}

// reassignments compares elections and reassignments, of which one node has
// little to do.
func (o *oracle) reassignments() {
	for _, p := range []int32{0, 9} {
		for _, kind := range []int8{0, 1, 7} {
			o.each(fmt.Sprintf("kind %d of partition %d", kind, p), func(*side, int16) kmsg.Request {
				req, t := kmsg.NewPtrElectLeadersRequest(), kmsg.NewElectLeadersRequestTopic()
				req.ElectionType, req.TimeoutMillis, t.Topic, t.Partitions = kind, 5000, "o-a", []int32{p}
				req.Topics = append(req.Topics, t)
				return req
			})
		}
	}
	o.each("all", func(*side, int16) kmsg.Request {
		req := kmsg.NewPtrElectLeadersRequest()
		req.TimeoutMillis = 5000
		return req
	})
	for _, tt := range []struct {
		name     string
		p        int32
		replicas []int32
	}{
		{"to where it is", 0, []int32{1}}, {"to nowhere", 0, []int32{9}}, {"to nobody", 0, []int32{}},
		{"twice", 0, []int32{1, 1}}, {"negative", 0, []int32{-1}}, {"unknown partition", 9, []int32{1}}, {"cancel", 0, nil},
	} {
		o.each(tt.name, func(*side, int16) kmsg.Request {
			req, t := kmsg.NewPtrAlterPartitionAssignmentsRequest(), kmsg.NewAlterPartitionAssignmentsRequestTopic()
			part := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
			req.TimeoutMillis, t.Topic, part.Partition, part.Replicas = 5000, "o-a", tt.p, tt.replicas
			t.Partitions = append(t.Partitions, part)
			req.Topics = append(req.Topics, t)
			return req
		})
	}
	o.each("", func(*side, int16) kmsg.Request {
		req := kmsg.NewPtrListPartitionReassignmentsRequest()
		req.TimeoutMillis = 5000
		return req
	})
}
