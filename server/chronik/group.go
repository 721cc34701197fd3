package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/chroniklog/chronik/server/client"
)

// GroupCmd groups the commands over consumer groups.
type GroupCmd struct {
	List     GroupListCmd     `cmd:"" aliases:"ls" help:"List consumer groups."`
	Describe GroupDescribeCmd `cmd:"" help:"Show a group's members, offsets and lag."`
	Reset    GroupResetCmd    `cmd:"" help:"Move the committed offsets of a group."`
	Delete   GroupDeleteCmd   `cmd:"" aliases:"rm" help:"Delete groups and their committed offsets."`
}

// GroupListCmd lists groups.
type GroupListCmd struct {
	Remote `embed:""`
	Prefix string `arg:"" optional:"" help:"Only names that begin with this."`
}

// Help shows examples.
func (GroupListCmd) Help() string {
	return `Groups of Kafka consumers, of HTTP members, and of both. With --output json each
line is one group.

Examples:

    chronik group list
    chronik group list billing. --output json`
}

// Run lists the groups page by page.
func (c GroupListCmd) Run(ctx context.Context, streams Streams) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	if c.JSON() {
		return api.Groups(ctx, c.Prefix, func(g client.GroupSummary) error { return writeJSON(streams.Out, g) })
	}
	var rows [][]any
	err = api.Groups(ctx, c.Prefix, func(g client.GroupSummary) error {
		rows = append(rows, []any{g.Group, g.State})
		return nil
	})
	if err != nil {
		return err
	}
	return writeTable(streams.Out, "GROUP STATE", rows)
}

// GroupDescribeCmd shows one group.
type GroupDescribeCmd struct {
	Remote `embed:""`
	Name   string `arg:"" name:"group" help:"Name of the group."`
}

// Help shows examples.
func (GroupDescribeCmd) Help() string {
	return `LAG is the number of records between what is committed and the end of the
partition; where nothing is committed, those that the partition has.

Examples:

    chronik group describe workers
    chronik group describe workers --output json`
}

// Run shows the group, its members and its partitions.
func (c GroupDescribeCmd) Run(ctx context.Context, streams Streams) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	g, err := api.Group(ctx, c.Name)
	if err != nil {
		return err
	}
	if c.JSON() {
		return writeJSON(streams.Out, g)
	}
	fmt.Fprintf(streams.Out, "group        %s\nstate        %s\nprotocol     %s\n", g.Group, g.State, orDash(g.Protocol))
	fmt.Fprintf(streams.Out, "coordinator  node %d\nlag          %d\n\n", g.Coordinator, g.Lag)
	rows := make([][]any, 0, len(g.Members))
	for i := range g.Members {
		m := &g.Members[i]
		leads := ""
		if m.Leader {
			leads = "*"
		}
		rows = append(rows, []any{m.Member, m.Protocol, orDash(m.ClientID), m.Host, len(m.Assignment), leads})
	}
	if len(rows) > 0 {
		if err := writeTable(streams.Out, "MEMBER PROTOCOL CLIENT HOST PARTITIONS LEADS", rows); err != nil {
			return err
		}
		fmt.Fprintln(streams.Out)
	}
	rows = rows[:0]
	for i := range g.Partitions {
		p := &g.Partitions[i]
		lag := optional(p.Lag)
		if p.Error != "" {
			lag = p.Error
		}
		rows = append(rows, []any{p.Topic, p.Partition, optional(p.Committed), optional(p.End), lag, orDash(p.Member)})
	}
	return writeTable(streams.Out, "TOPIC PARTITION COMMITTED END LAG MEMBER", rows)
}

// optional prints a number that may be missing.
func optional(n *int64) string {
	if n == nil {
		return "-"
	}
	return strconv.FormatInt(*n, 10)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// GroupResetCmd moves the offsets of one topic.
type GroupResetCmd struct {
	Remote     `embed:""`
	Name       string  `arg:"" name:"group" help:"Name of the group."`
	Topic      string  `arg:"" help:"The topic whose offsets move."`
	To         string  `name:"to" required:"" placeholder:"WHERE" help:"Where the group goes on: earliest, latest, an offset, or an RFC 3339 time."`
	Partitions []int32 `name:"partition" short:"p" placeholder:"N" help:"Only this partition; repeatable."`
	DryRun     bool    `name:"dry-run" help:"Only show what would be done."`
}

// Help shows examples.
func (GroupResetCmd) Help() string {
	return `A group whose members still read is not reset: stop them first. An offset that the
log does not have is the nearest one that it has.

Examples:

    chronik group reset workers orders --to earliest --dry-run
    chronik group reset workers orders --to 2026-01-31T12:00:00Z
    chronik group reset workers orders --to 42 --partition 0`
}

// Run resets the offsets and shows what moved.
func (c GroupResetCmd) Run(ctx context.Context, streams Streams) error {
	r := client.OffsetReset{Topic: c.Topic, Partitions: c.Partitions, DryRun: c.DryRun}
	if err := c.to(&r); err != nil {
		return err
	}
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	moves, err := api.ResetGroup(ctx, c.Name, r)
	if err != nil {
		return err
	}
	if c.JSON() {
		for i := range moves {
			if err := writeJSON(streams.Out, &moves[i]); err != nil {
				return err
			}
		}
		return nil
	}
	rows := make([][]any, len(moves))
	for i, m := range moves {
		rows[i] = []any{m.Topic, m.Partition, optional(m.From), m.To}
	}
	if err := writeTable(streams.Out, "TOPIC PARTITION FROM TO", rows); err != nil {
		return err
	}
	if c.DryRun {
		_, err = fmt.Fprintln(streams.Err, "nothing was changed: this was a dry run")
	}
	return err
}

// to parses --to.
func (c GroupResetCmd) to(r *client.OffsetReset) error {
	if c.To == "earliest" || c.To == "latest" {
		r.To = c.To
		return nil
	}
	if n, err := strconv.ParseInt(c.To, 10, 64); err == nil && n >= 0 {
		r.To, r.Offset = "offset", &n
		return nil
	}
	t, err := time.Parse(time.RFC3339, c.To)
	if err != nil {
		return usagef("--to %q: write earliest, latest, an offset, or a time such as 2026-01-31T12:00:00Z", c.To)
	}
	ms := t.UnixMilli()
	r.To, r.Timestamp = "timestamp", &ms
	return nil
}

// GroupDeleteCmd deletes groups.
type GroupDeleteCmd struct {
	Remote   `embed:""`
	Names    []string `arg:"" name:"group" help:"Names of the groups."`
	IfExists bool     `name:"if-exists" help:"Succeed when a group does not exist."`
}

// Help shows examples.
func (GroupDeleteCmd) Help() string {
	return `A group that has members is not deleted: stop them first.

Examples:

    chronik group delete workers
    chronik group delete scratch-1 scratch-2 --if-exists`
}

// Run deletes the groups in order and stops at the first that fails.
func (c GroupDeleteCmd) Run(ctx context.Context, streams Streams) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	for _, name := range c.Names {
		err := api.DeleteGroup(ctx, name)
		if c.IfExists && client.IsStatus(err, 404) {
			continue
		}
		if err != nil {
			return fmt.Errorf("delete group %s: %w", name, err)
		}
		fmt.Fprintf(streams.Err, "group %s deleted\n", name)
	}
	return nil
}
