package main

import (
	"context"
	"fmt"
	"io"

	"github.com/chroniklog/chronik/server/client"
)

// TopicCmd groups the commands over topics.
type TopicCmd struct {
	Create   TopicCreateCmd   `cmd:"" help:"Create a topic."`
	List     TopicListCmd     `cmd:"" aliases:"ls" help:"List topics."`
	Describe TopicDescribeCmd `cmd:"" help:"Show a topic's partitions, offsets and configs."`
	Alter    TopicAlterCmd    `cmd:"" help:"Change a topic's configs or add partitions."`
	Delete   TopicDeleteCmd   `cmd:"" aliases:"rm" help:"Delete topics and their records."`
}

// TopicCreateCmd creates one topic.
type TopicCreateCmd struct {
	Remote            `embed:""`
	Name              string        `arg:"" name:"topic" help:"Name of the new topic."`
	Partitions        partitions    `name:"partitions" short:"P" placeholder:"N" help:"Number of partitions (the node's default without it)."`
	ReplicationFactor replicas      `name:"replication-factor" short:"R" placeholder:"N" help:"Number of replicas (the node's default without it)."`
	Config            topicSettings `name:"config" short:"c" placeholder:"NAME=VALUE" help:"A config of the topic, such as retention.ms=3600000; repeatable."`
	IfNotExists       bool          `name:"if-not-exists" help:"Succeed when the topic exists already."`
}

// Help shows examples.
func (TopicCreateCmd) Help() string {
	return `Examples:

    chronik topic create orders --partitions 12
    chronik topic create users -c cleanup.policy=compact -c min.compaction.lag.ms=60000
    chronik topic create audit --if-not-exists --output json`
}

// Run creates the topic and shows it.
func (c TopicCreateCmd) Run(ctx context.Context, streams Streams) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	create := api.CreateTopic
	if c.IfNotExists {
		create = api.EnsureTopic
	}
	topic, err := create(ctx, client.TopicSpec{
		Name: c.Name, Partitions: int32(c.Partitions), ReplicationFactor: int16(c.ReplicationFactor), Configs: c.Config,
	})
	if err != nil {
		return err
	}
	if c.JSON() {
		return writeJSON(streams.Out, topic)
	}
	_, err = fmt.Fprintf(streams.Err, "topic %s: %d partition(s), %d replica(s)\n",
		topic.Name, topic.Partitions, topic.ReplicationFactor)
	return err
}

// TopicListCmd lists topics.
type TopicListCmd struct {
	Remote `embed:""`
	Prefix string `arg:"" optional:"" help:"Only names that begin with this."`
}

// Help shows examples.
func (TopicListCmd) Help() string {
	return `With --output json each line is one topic.

Examples:

    chronik topic list
    chronik topic list orders. --output json`
}

// Run lists the topics page by page.
func (c TopicListCmd) Run(ctx context.Context, streams Streams) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	if c.JSON() {
		return api.Topics(ctx, c.Prefix, func(t client.Topic) error { return writeJSON(streams.Out, t) })
	}
	var rows [][]any
	err = api.Topics(ctx, c.Prefix, func(t client.Topic) error {
		rows = append(rows, []any{t.Name, t.Partitions, t.ReplicationFactor, t.ID})
		return nil
	})
	if err != nil {
		return err
	}
	return writeTable(streams.Out, "NAME PARTITIONS REPLICAS ID", rows)
}

// TopicDescribeCmd shows one topic.
type TopicDescribeCmd struct {
	Remote `embed:""`
	Name   string `arg:"" name:"topic" help:"Name of the topic."`
}

// Help shows examples.
func (TopicDescribeCmd) Help() string {
	return `Examples:

    chronik topic describe orders
    chronik topic describe orders --output json`
}

// Run shows the topic, its configs and its partitions.
func (c TopicDescribeCmd) Run(ctx context.Context, streams Streams) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	topic, err := api.Topic(ctx, c.Name)
	if err != nil {
		return err
	}
	partitions, err := api.Partitions(ctx, c.Name)
	if err != nil {
		return err
	}
	if c.JSON() {
		return writeJSON(streams.Out, struct {
			client.Topic
			Partitions []client.Partition `json:"partitions"`
		}{topic, partitions})
	}
	fmt.Fprintf(streams.Out, "topic     %s\nid        %s\nreplicas  %d\n", topic.Name, topic.ID, topic.ReplicationFactor)
	fmt.Fprintln(streams.Out)
	if err := writeConfigs(streams.Out, topic.EffectiveConfigs); err != nil {
		return err
	}
	rows := make([][]any, 0, len(partitions))
	for _, p := range partitions {
		rows = append(rows, []any{p.Partition, p.Leader, p.LeaderEpoch, list(p.Replicas), list(p.ISR),
			p.LogStartOffset, p.HighWatermark, p.LastStableOffset, p.Bytes})
	}
	return writeTable(streams.Out, "PARTITION LEADER EPOCH REPLICAS ISR START HIGH STABLE BYTES", rows)
}

// writeConfigs lists configs; a star marks those that were set.
func writeConfigs(w io.Writer, configs []client.ConfigEntry) error {
	rows := make([][]any, 0, len(configs))
	for _, c := range configs {
		set := ""
		if !c.IsDefault {
			set = "*"
		}
		rows = append(rows, []any{c.Name, c.Value, c.Default, set})
	}
	if err := writeTable(w, "CONFIG VALUE DEFAULT SET", rows); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

// TopicAlterCmd changes one topic.
type TopicAlterCmd struct {
	Remote     `embed:""`
	Name       string        `arg:"" name:"topic" help:"Name of the topic."`
	Config     topicSettings `name:"config" short:"c" placeholder:"NAME=VALUE" help:"Set a config; repeatable."`
	Unset      []string      `name:"unset" placeholder:"NAME" help:"Return a config to its default; repeatable."`
	Partitions partitions    `name:"partitions" short:"P" placeholder:"N" help:"Raise the number of partitions to this total."`
	Force      bool          `name:"force" help:"Add partitions to a compacted topic although keys move."`
}

// Help shows examples.
func (TopicAlterCmd) Help() string {
	return `Examples:

    chronik topic alter orders -c retention.ms=3600000 --unset segment.bytes
    chronik topic alter orders --partitions 24`
}

// Run applies configs first, then partitions, and shows the result.
func (c TopicAlterCmd) Run(ctx context.Context, streams Streams) error {
	changes := make(map[string]*string, len(c.Config)+len(c.Unset))
	for name, value := range c.Config {
		changes[name] = &value
	}
	for _, name := range c.Unset {
		if _, both := changes[name]; both {
			return usagef("%s is both set and unset", name)
		}
		changes[name] = nil
	}
	if len(changes) == 0 && c.Partitions == 0 {
		return usagef("nothing to change: give --config, --unset or --partitions")
	}
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	var topic client.Topic
	if len(changes) > 0 {
		if topic, err = api.AlterTopic(ctx, c.Name, changes); err != nil {
			return err
		}
	}
	if c.Partitions != 0 {
		if topic, err = api.AddPartitions(ctx, c.Name, int32(c.Partitions), c.Force); err != nil {
			return err
		}
	}
	if c.JSON() {
		return writeJSON(streams.Out, topic)
	}
	_, err = fmt.Fprintf(streams.Err, "topic %s altered\n", topic.Name)
	return err
}

// TopicDeleteCmd deletes topics.
type TopicDeleteCmd struct {
	Remote   `embed:""`
	Names    []string `arg:"" name:"topic" help:"Names of the topics."`
	IfExists bool     `name:"if-exists" help:"Succeed when a topic does not exist."`
}

// Help shows examples.
func (TopicDeleteCmd) Help() string {
	return `There is no way back: the records are gone at once.

Examples:

    chronik topic delete orders
    chronik topic delete scratch-1 scratch-2 --if-exists`
}

// Run deletes the topics in order and stops at the first that fails.
func (c TopicDeleteCmd) Run(ctx context.Context, streams Streams) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	for _, name := range c.Names {
		err := api.DeleteTopic(ctx, name)
		if c.IfExists && client.IsStatus(err, 404) {
			continue
		}
		if err != nil {
			return fmt.Errorf("delete topic %s: %w", name, err)
		}
		fmt.Fprintf(streams.Err, "topic %s deleted\n", name)
	}
	return nil
}
