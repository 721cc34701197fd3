package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// batchType is the media type of record batches as the log stores them.
const batchType = "application/vnd.kafka.recordbatch.v2"

// FetchRequest asks for the records of one partition from Offset on.
type FetchRequest struct {
	Topic     string
	TopicID   string // the topic must have this id; empty: any
	Partition int32
	Offset    int64
	MaxBytes  int           // 0: the server's default
	Wait      time.Duration // how long to hold the call while there is nothing
}

// Fetched is what a Fetch found.
type Fetched struct {
	// Batches are whole record batches as they are stored; the first may begin
	// before the offset asked for. Empty when nothing came within Wait.
	Batches []byte
	// Next is the offset to go on at; HighWatermark and LogStart are the
	// partition's when the answer began.
	Next, HighWatermark, LogStart int64
}

// Fetch reads from one partition.
func (c *Client) Fetch(ctx context.Context, f FetchRequest) (Fetched, error) {
	query := url.Values{"offset": {strconv.FormatInt(f.Offset, 10)}}
	if f.MaxBytes > 0 {
		query.Set("max_bytes", strconv.Itoa(f.MaxBytes))
	}
	if f.TopicID != "" {
		query.Set("topic_id", f.TopicID)
	}
	if f.Wait > 0 {
		query.Set("wait", strconv.FormatFloat(f.Wait.Seconds(), 'f', -1, 64))
	}
	req, err := c.request(ctx, http.MethodGet, partitionPath(f.Topic, f.Partition, "records"), query, nil)
	if err != nil {
		return Fetched{}, err
	}
	req.Header.Set("Accept", batchType)
	resp, err := c.do(req)
	if err != nil {
		return Fetched{}, err
	}
	defer resp.Body.Close()
	got := Fetched{
		HighWatermark: headerOffset(resp.Header, "Log-High-Watermark", -1),
		LogStart:      headerOffset(resp.Header, "Log-Start-Offset", 0),
	}
	got.Batches, err = readAll(resp.Body)
	// Where an answer ends is known when it has ended: it is a trailer.
	got.Next = headerOffset(resp.Header, nextOffset, headerOffset(resp.Trailer, nextOffset, f.Offset))
	return got, err
}

// nextOffset is the header, or trailer, that says where to go on.
const nextOffset = "Log-Next-Offset"

func partitionPath(topic string, partition int32, what string) string {
	return Path("topics", topic, "partitions", strconv.Itoa(int(partition)), what)
}

func headerOffset(h http.Header, name string, otherwise int64) int64 {
	if n, err := strconv.ParseInt(h.Get(name), 10, 64); err == nil {
		return n
	}
	return otherwise
}

// Offsets asks the partition's leader how far its log reaches. Unlike the list
// of Partitions, which leaves out what a node does not know, it waits for a
// partition that is between two leaders, and fails when none comes.
func (c *Client) Offsets(ctx context.Context, topic string, partition int32) (start, highWatermark int64, err error) {
	var answer struct {
		LogStartOffset int64 `json:"log_start_offset"`
		HighWatermark  int64 `json:"high_watermark"`
	}
	err = c.Call(ctx, http.MethodGet, partitionPath(topic, partition, "offsets"), nil, &answer)
	return answer.LogStartOffset, answer.HighWatermark, err
}

// OffsetForTime is the offset of the first record whose timestamp is at or
// after t; the partition's end when there is none.
func (c *Client) OffsetForTime(ctx context.Context, topic string, partition int32, t time.Time) (int64, error) {
	var answer struct {
		Offset        *int64 `json:"offset"`
		HighWatermark int64  `json:"high_watermark"`
	}
	query := url.Values{"timestamp": {strconv.FormatInt(t.UnixMilli(), 10)}}
	path := partitionPath(topic, partition, "offsets") + "?" + query.Encode()
	if err := c.Call(ctx, http.MethodGet, path, nil, &answer); err != nil {
		return 0, err
	}
	if answer.Offset == nil {
		return answer.HighWatermark, nil
	}
	return *answer.Offset, nil
}
