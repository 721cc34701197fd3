package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Topic is a topic as the server describes it.
type Topic struct {
	ID                string            `json:"id"`
	Name              string            `json:"name"`
	Partitions        int32             `json:"partitions"`
	ReplicationFactor int16             `json:"replication_factor"`
	Configs           map[string]string `json:"configs"` // those that were set
	Internal          bool              `json:"internal"`
	CreatedAt         time.Time         `json:"created_at"`
	// EffectiveConfigs is every config with its value, when one topic is
	// described.
	EffectiveConfigs []ConfigEntry `json:"effective_configs,omitempty"`
}

// ConfigEntry is one config of a topic.
type ConfigEntry struct {
	Name      string `json:"name"`
	Value     string `json:"value"`
	Default   string `json:"default"`
	IsDefault bool   `json:"is_default"`
}

// TopicSpec asks for a topic; zero fields take the server's defaults.
type TopicSpec struct {
	Name              string            `json:"name,omitempty"`
	Partitions        int32             `json:"partitions,omitempty"`
	ReplicationFactor int16             `json:"replication_factor,omitempty"`
	Configs           map[string]string `json:"configs,omitempty"`
}

// Partition is one partition of a topic: who has it and how far it reaches.
type Partition struct {
	Partition        int32   `json:"partition"`
	Leader           int32   `json:"leader"`
	LeaderEpoch      int32   `json:"leader_epoch"`
	Replicas         []int32 `json:"replicas"`
	ISR              []int32 `json:"isr"`
	LogStartOffset   int64   `json:"log_start_offset"`
	HighWatermark    int64   `json:"high_watermark"`
	LastStableOffset int64   `json:"last_stable_offset"`
	Bytes            int64   `json:"bytes"`
}

// Partitions lists a topic's partitions in order.
func (c *Client) Partitions(ctx context.Context, topic string) ([]Partition, error) {
	var answer struct {
		Partitions []Partition `json:"partitions"`
	}
	err := c.Call(ctx, http.MethodGet, Path("topics", topic, "partitions"), nil, &answer)
	return answer.Partitions, err
}

// CreateTopic makes a new topic.
func (c *Client) CreateTopic(ctx context.Context, spec TopicSpec) (Topic, error) {
	var t Topic
	err := c.Call(ctx, http.MethodPost, Path("topics"), spec, &t)
	return t, err
}

// EnsureTopic makes a topic unless it exists.
func (c *Client) EnsureTopic(ctx context.Context, spec TopicSpec) (Topic, error) {
	var t Topic
	name := spec.Name
	spec.Name = ""
	err := c.Call(ctx, http.MethodPut, Path("topics", name), spec, &t)
	return t, err
}

// Topic describes one topic.
func (c *Client) Topic(ctx context.Context, name string) (Topic, error) {
	var t Topic
	err := c.Call(ctx, http.MethodGet, Path("topics", name), nil, &t)
	return t, err
}

// AlterTopic sets configs; a nil value returns a config to its default.
func (c *Client) AlterTopic(ctx context.Context, name string, configs map[string]*string) (Topic, error) {
	var t Topic
	patch := struct {
		Configs map[string]*string `json:"configs"`
	}{configs}
	err := c.Call(ctx, http.MethodPatch, Path("topics", name), patch, &t)
	return t, err
}

// AddPartitions raises the number of partitions to count. A compacted topic
// refuses without force, since keys then move.
func (c *Client) AddPartitions(ctx context.Context, name string, count int32, force bool) (Topic, error) {
	var t Topic
	raise := struct {
		Count int32 `json:"count"`
		Force bool  `json:"force,omitempty"`
	}{count, force}
	err := c.Call(ctx, http.MethodPost, Path("topics", name, "partitions"), raise, &t)
	return t, err
}

// DeleteTopic removes a topic and its records.
func (c *Client) DeleteTopic(ctx context.Context, name string) error {
	return c.Call(ctx, http.MethodDelete, Path("topics", name), nil, nil)
}

// Topics calls yield with every topic whose name begins with prefix, in order
// of name, page by page, until it returns an error.
func (c *Client) Topics(ctx context.Context, prefix string, yield func(Topic) error) error {
	const page = 500
	query := url.Values{"limit": {strconv.Itoa(page)}}
	if prefix != "" {
		query.Set("prefix", prefix)
	}
	for {
		var answer struct {
			Topics []Topic `json:"topics"`
			Next   string  `json:"next_page_token"`
		}
		if err := c.Call(ctx, http.MethodGet, Path("topics")+"?"+query.Encode(), nil, &answer); err != nil {
			return err
		}
		for _, t := range answer.Topics {
			if err := yield(t); err != nil {
				return err
			}
		}
		if answer.Next == "" {
			return nil
		}
		query.Set("page_token", answer.Next)
	}
}
