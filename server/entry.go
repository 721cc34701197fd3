package server

import (
	"fmt"
	"time"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/topicconfig"
	"github.com/chroniklog/chronik/storage/plog"
	"github.com/chroniklog/chronik/storage/record"
)

// newEntry makes a topic's entry, without parts.
func (b *Broker) newEntry(t *meta.Topic) *entry {
	rf := int32(t.ReplicationFactor())
	values, err := topicconfig.Parse(t.Configs, rf)
	if err != nil { // stored by a newer release: what can't be read has its default
		b.o.Logger.Warn("topic config can't be read", "topic", t.Name, "error", err)
	}
	if _, set := t.Configs["min.insync.replicas"]; !set && b.o.MinInsync > 0 {
		values.MinInsyncReplicas = b.minInsync(rf)
	}
	return &entry{
		topic: Topic{
			ID: t.ID, Name: t.Name, Partitions: int32(len(t.Partitions)), ReplicationFactor: int16(rf),
			Configs: t.Configs, Internal: t.Internal, CreatedAt: time.UnixMilli(t.CreatedMs).UTC(),
		},
		values: values,
		limits: TopicLimits{
			MaxMessageBytes: min(values.MaxMessageBytes, b.store.MaxBatchBytes()), MaxDecompressed: b.o.MaxDecompressed,
			MaxBatchRecords: b.o.MaxBatchRecords, Compacted: values.Compact, LogAppendTime: values.LogAppendTime,
			Compression: partitionConfig(&values).Compression,
		},
		parts: make([]*part, len(t.Partitions)), born: t.Born,
	}
}

// logConfig is what a topic's configs mean to its logs.
func logConfig(v *topicconfig.Values) plog.Config {
	return plog.Config{
		SegmentBytes: v.SegmentBytes, SegmentAge: v.SegmentAge, Delete: v.Delete, Retention: v.Retention,
		RetentionBytes: v.RetentionBytes, Compact: v.Compact, MinCompactionLag: v.MinCompactionLag,
		MaxCompactionLag: v.MaxCompactionLag, DeleteRetention: v.DeleteRetention, MinDirtyRatio: v.MinCleanableRatio,
	}
}

// partitionConfig is what they mean to its partitions.
func partitionConfig(v *topicconfig.Values) partition.Config {
	codec, _ := fixedCodec(v)
	return partition.Config{
		MaxMessageBytes: v.MaxMessageBytes, LogAppendTime: v.LogAppendTime, Compression: codec,
		MinISR: int(v.MinInsyncReplicas), Compact: v.Compact,
	}
}

// fixedCodec is the codec of everything that a topic stores; false where each
// client chooses its own, and what is packed here stays plain.
func fixedCodec(v *topicconfig.Values) (record.Codec, bool) {
	if v.Compression == "producer" {
		return record.CodecNone, false
	}
	codec, err := record.ParseCodec(v.Compression)
	return codec, err == nil
}

// recode makes of a client's batch what the topic stores: its own codec, if it
// names one. The limit holds for what the client sent and for what is stored.
func (e *entry) recode(r *partition.BatchAppend) error {
	codec, fixed := fixedCodec(&e.values)
	if !fixed || codec == r.Header.Codec() || r.Header.Control() || r.Header.Transactional() {
		return nil
	}
	batch, h, err := record.Recode(r.Batch, codec, e.limits.MaxDecompressed)
	if err != nil {
		return err
	}
	if most := e.limits.MaxMessageBytes; len(batch) > most {
		return fmt.Errorf("%w: batch of %d bytes as %s, the limit is %d", record.ErrTooLarge, len(batch), codec, most)
	}
	r.Batch, r.Header = batch, h
	return nil
}
