package kafka

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/server"
)

// describeLogDirs answers DescribeLogDirs: the logs on this node, all in one
// directory. Topics that are asked for and have no log here are left out, as
// Kafka does.
func (k *Listener) describeLogDirs(_ context.Context, req *kmsg.DescribeLogDirsRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeLogDirsResponse()
	dir := kmsg.NewDescribeLogDirsResponseDir()
	dir.Dir = k.setting("log.dirs")
	dir.TotalBytes, dir.UsableBytes = -1, -1
	if total, free, err := k.broker.DiskSpace(); err == nil {
		dir.TotalBytes, dir.UsableBytes = total, free
	}
	for _, log := range k.broker.LogSizes() {
		if !wantsLog(req, &log) {
			continue
		}
		if n := len(dir.Topics); n == 0 || dir.Topics[n-1].Topic != log.Topic {
			t := kmsg.NewDescribeLogDirsResponseDirTopic()
			t.Topic = log.Topic
			dir.Topics = append(dir.Topics, t)
		}
		p := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
		p.Partition, p.Size, p.OffsetLag = log.Partition, log.Bytes, log.Lag
		t := &dir.Topics[len(dir.Topics)-1]
		t.Partitions = append(t.Partitions, p)
	}
	resp.Dirs = append(resp.Dirs, dir)
	return resp
}

// wantsLog tells whether a request is about a log; one without topics is about
// all of them.
func wantsLog(req *kmsg.DescribeLogDirsRequest, log *server.LogSize) bool {
	if req.Topics == nil {
		return true
	}
	for i := range req.Topics {
		if req.Topics[i].Topic == log.Topic && slices.Contains(req.Topics[i].Partitions, log.Partition) {
			return true
		}
	}
	return false
}
