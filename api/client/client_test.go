package client_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/chroniklog/chronik/api/client"
	"github.com/chroniklog/chronik/server/servertest"
)

const topic = "from-go"

func ptr[T any](v T) *T { return &v }

func connect(t *testing.T) *client.ClientWithResponses {
	t.Helper()
	n := servertest.Start(t)
	c, err := client.NewClientWithResponses(n.URL, client.WithHTTPClient(n.Client))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The generated client administers topics.
func TestTopics(t *testing.T) {
	c, ctx := connect(t), t.Context()
	created, err := c.CreateTopicWithResponse(ctx, client.TopicSpec{
		Name: topic, Partitions: ptr[int32](2), Configs: &client.Configs{"retention.ms": "3600000"},
	})
	if err != nil || created.JSON201 == nil || created.JSON201.Partitions != 2 {
		t.Fatalf("create: %v %s", err, created.Body)
	}
	again, err := c.CreateTopicWithResponse(ctx, client.TopicSpec{Name: topic})
	if p := again.ApplicationproblemJSON409; err != nil || p == nil || p.Code != client.TopicExists || p.Retryable {
		t.Errorf("create twice: %v %s", err, again.Body)
	}
	altered, err := c.AlterTopicWithApplicationMergePatchPlusJSONBodyWithResponse(ctx, topic, client.TopicPatch{
		Configs: map[string]*string{"retention.ms": nil, "max.message.bytes": ptr("1000")},
	})
	if err != nil || altered.JSON200 == nil || altered.JSON200.Configs["retention.ms"] != "" {
		t.Errorf("alter: %v %s", err, altered.Body)
	}
	more, err := c.AddPartitionsWithResponse(ctx, topic, client.AddPartitions{Count: 3})
	if err != nil || more.JSON200 == nil || more.JSON200.Partitions != 3 {
		t.Errorf("add partitions: %v %s", err, more.Body)
	}
	list, err := c.ListTopicsWithResponse(ctx, &client.ListTopicsParams{Prefix: ptr("from-")})
	if err != nil || list.JSON200 == nil || len(list.JSON200.Topics) != 1 {
		t.Errorf("list: %v %s", err, list.Body)
	}
	cluster, err := c.DescribeClusterWithResponse(ctx)
	if err != nil || cluster.JSON200 == nil || len(cluster.JSON200.Nodes) != 1 || !cluster.JSON200.Nodes[0].Alive {
		t.Errorf("cluster: %v %s", err, cluster.Body)
	}
	gone, err := c.DeleteTopicWithResponse(ctx, topic)
	if err != nil || gone.StatusCode() != http.StatusNoContent {
		t.Errorf("delete: %v %s", err, gone.Body)
	}
	missing, err := c.DescribeTopicWithResponse(ctx, topic)
	if p := missing.ApplicationproblemJSON404; err != nil || p == nil || p.Code != client.UnknownTopic {
		t.Errorf("describe: %v %s", err, missing.Body)
	}
}

func produce(
	ctx context.Context, t *testing.T, c *client.ClientWithResponses, params client.ProduceRecordParams, value string,
) *client.ProduceRecordResponse {
	t.Helper()
	r, err := c.ProduceRecordWithBodyWithResponse(ctx, topic, &params, "text/plain", strings.NewReader(value))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The generated client writes and reads records.
func TestRecords(t *testing.T) {
	c, ctx := connect(t), t.Context()
	first := produce(ctx, t, c, client.ProduceRecordParams{Key: ptr("k"), Partition: ptr[int32](0)}, "grüße")
	if first.JSON201 == nil || first.JSON201.Offset != 0 || first.JSON201.Duplicate {
		t.Fatalf("produce: %s", first.Body)
	}
	conflict := produce(ctx, t, c, client.ProduceRecordParams{
		Partition: ptr[int32](0), ExpectOffset: ptr[int64](7),
	}, "x")
	if p := conflict.ApplicationproblemJSON412; p == nil || p.Code != client.OffsetConflict || *p.CurrentOffset != 1 {
		t.Errorf("expect_offset: %s", conflict.Body)
	}
	batch, err := c.ProduceBatchWithResponse(ctx, topic, &client.ProduceBatchParams{}, client.Batch{
		Records: []client.BatchRecord{
			{Value: ptr("b1")},
			{Value: ptr("/wAB"), Encoding: ptr(client.Base64)},
			{Key: ptr("k")}, // a tombstone
		},
	})
	if err != nil || batch.JSON200 == nil || len(batch.JSON200.Results) != 3 || batch.JSON200.Failed != 0 {
		t.Fatalf("batch: %v %s", err, batch.Body)
	}
	page, err := c.ReadPartitionWithResponse(ctx, topic, 0, &client.ReadPartitionParams{Offset: ptr[int64](0)})
	if err != nil || page.JSON200 == nil || page.JSON200.NextOffset != 4 {
		t.Fatalf("read: %v %s", err, page.Body)
	}
	var values []string
	for _, r := range page.JSON200.Records {
		if r.Value == nil {
			values = append(values, "null")
			continue
		}
		values = append(values, *r.Value)
	}
	if !slices.Equal(values, []string{"grüße", "b1", "/wAB", "null"}) {
		t.Errorf("values %q", values)
	}
	one, err := c.GetRecordWithResponse(ctx, topic, 0, 2, nil)
	if err != nil || one.StatusCode() != http.StatusOK || string(one.Body) != "\xff\x00\x01" {
		t.Errorf("read one: %v %d %q", err, one.StatusCode(), one.Body)
	}
	whole, err := c.ReadTopicWithResponse(ctx, topic, &client.ReadTopicParams{})
	if err != nil || whole.JSON200 == nil || len(whole.JSON200.Records) != 4 || whole.JSON200.Cursor == "" {
		t.Errorf("read the topic: %v %s", err, whole.Body)
	}
	trimmed, err := c.TrimPartitionWithResponse(ctx, topic, 0, &client.TrimPartitionParams{Before: 2})
	if err != nil || trimmed.StatusCode() != http.StatusNoContent {
		t.Errorf("trim: %v %s", err, trimmed.Body)
	}
	below, err := c.ReadPartitionWithResponse(ctx, topic, 0, &client.ReadPartitionParams{Offset: ptr[int64](0)})
	if p := below.ApplicationproblemJSON410; err != nil || p == nil || p.LogStartOffset == nil || *p.LogStartOffset != 2 {
		t.Errorf("read below the start: %v %s", err, below.Body)
	}
}
