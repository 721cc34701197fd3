package client

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// ClusterBackup is what a backup keeps of the cluster beside records and
// groups.
type ClusterBackup struct {
	ClusterID    string            `json:"cluster_id,omitempty"`
	Topics       []TopicBackup     `json:"topics,omitempty"`
	Configs      map[string]string `json:"configs"`
	Entries      []EntryBackup     `json:"entries"`
	Producers    []ProducerBackup  `json:"producers"`
	NextProducer int64             `json:"next_producer_id"`
}

// TopicBackup is a topic without its records.
type TopicBackup struct {
	ID          string            `json:"id"`
	Name        string            `json:"name"`
	Partitions  int32             `json:"partitions"`
	Replication int16             `json:"replication_factor,omitempty"` // 0: none was chosen
	Configs     map[string]string `json:"configs"`
	CreatedAt   time.Time         `json:"created_at"`
	Born        int32             `json:"born"` // partitions when it was created
	// LeaderEpochs, to restore: above those of each partition's batches.
	LeaderEpochs []int32 `json:"leader_epochs,omitempty"`
}

// EntryBackup is a named setting.
type EntryBackup struct {
	Space string `json:"space"`
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// ProducerBackup is the producer id of a producer's name.
type ProducerBackup struct {
	Name      string    `json:"name"`
	ID        int64     `json:"id"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Backup asks for the metadata to back up.
func (c *Client) Backup(ctx context.Context) (b ClusterBackup, err error) {
	err = c.Call(ctx, http.MethodGet, Path("cluster", "backup"), nil, &b)
	return b, err
}

// BackupPoint is where a partition ends, and what its leader remembers.
type BackupPoint struct {
	Start, End  int64
	LeaderEpoch int32
	State       []byte // empty if there is nothing
}

// BackupPoint asks for a partition's end.
func (c *Client) BackupPoint(ctx context.Context, topic string, partition int32) (p BackupPoint, err error) {
	req, err := c.request(ctx, http.MethodGet, partitionPath(topic, partition, "backup"), nil, nil)
	if err != nil {
		return p, err
	}
	resp, err := c.do(req)
	if err != nil {
		return p, err
	}
	defer resp.Body.Close()
	p = BackupPoint{
		Start: headerOffset(resp.Header, "Log-Start-Offset", 0), End: headerOffset(resp.Header, "Log-High-Watermark", 0),
		LeaderEpoch: int32(headerOffset(resp.Header, "Log-Leader-Epoch", 0)),
	}
	p.State, err = readAll(resp.Body)
	return p, err
}

// BeginRestore marks an empty cluster as one that a backup is restored into.
func (c *Client) BeginRestore(ctx context.Context, id string, b ClusterBackup) (resumed bool, err error) {
	var answer struct {
		Resumed bool `json:"resumed"`
	}
	body := struct {
		ID string `json:"backup_id"`
		ClusterBackup
	}{ID: id, ClusterBackup: b}
	body.ClusterID, body.Topics = "", nil
	err = c.Call(ctx, http.MethodPost, Path("cluster", "restore"), body, &answer)
	return answer.Resumed, err
}

// RestoreTopic makes a topic of the backup, or finds it made.
func (c *Client) RestoreTopic(ctx context.Context, t TopicBackup) error {
	return c.Call(ctx, http.MethodPost, Path("cluster", "restore", "topics"), t, nil)
}

// EndRestore ends the restoration.
func (c *Client) EndRestore(ctx context.Context) error {
	return c.Call(ctx, http.MethodDelete, Path("cluster", "restore"), nil, nil)
}

// BeginPartitionRestore prepares a partition for batches from start on and
// tells where to go on.
func (c *Client) BeginPartitionRestore(
	ctx context.Context, topic string, partition int32, start int64, state []byte,
) (next int64, err error) {
	query := url.Values{"start": {strconv.FormatInt(start, 10)}}
	return c.restore(ctx, http.MethodPut, partitionPath(topic, partition, "restore"), query, state)
}

// RestoreBatches appends batches as they are and tells where to go on.
func (c *Client) RestoreBatches(
	ctx context.Context, topic string, partition int32, batches []byte,
) (next int64, err error) {
	return c.restore(ctx, http.MethodPost, partitionPath(topic, partition, "restore"), nil, batches)
}

// EndPartitionRestore has the partition led, whose log must end at end.
func (c *Client) EndPartitionRestore(ctx context.Context, topic string, partition int32, end int64) error {
	query := url.Values{"end": {strconv.FormatInt(end, 10)}}
	_, err := c.restore(ctx, http.MethodDelete, partitionPath(topic, partition, "restore"), query, nil)
	return err
}

func (c *Client) restore(ctx context.Context, method, path string, query url.Values, body []byte) (int64, error) {
	var in io.Reader
	if len(body) > 0 {
		in = bytes.NewReader(body)
	}
	req, err := c.request(ctx, method, path, query, in)
	if err != nil {
		return 0, err
	}
	switch {
	case method == http.MethodPost:
		req.Header.Set("Content-Type", batchType)
	case in != nil:
		req.Header.Set("Content-Type", "application/octet-stream")
	}
	resp, err := c.do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return headerOffset(resp.Header, nextOffset, 0), nil
}

// Trim deletes the records of a partition below an offset.
func (c *Client) Trim(ctx context.Context, topic string, partition int32, before int64) error {
	query := url.Values{"before": {strconv.FormatInt(before, 10)}}
	path := partitionPath(topic, partition, "records") + "?" + query.Encode()
	return c.Call(ctx, http.MethodDelete, path, nil, nil)
}

// GroupOffset is what a group has committed in a partition.
type GroupOffset struct {
	TopicPartition
	Offset   int64  `json:"offset"`
	Metadata string `json:"metadata"`
}

// GroupOffsets lists what a group has committed.
func (c *Client) GroupOffsets(ctx context.Context, group string) ([]GroupOffset, error) {
	var answer struct {
		Offsets []GroupOffset `json:"offsets"`
	}
	err := c.Call(ctx, http.MethodGet, Path("groups", group, "offsets"), nil, &answer)
	return answer.Offsets, err
}

// Partition describes one partition.
func (c *Client) Partition(ctx context.Context, topic string, partition int32) (p Partition, err error) {
	err = c.Call(ctx, http.MethodGet, Path("topics", topic, "partitions", strconv.Itoa(int(partition))), nil, &p)
	return p, err
}
