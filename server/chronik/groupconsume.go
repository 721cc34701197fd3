package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chroniklog/chronik/server/client"
)

const (
	// groupWait is the long poll of a member; idleWait that of one which stops
	// where there is nothing more.
	groupWait = 20 * time.Second
	idleWait  = 2 * time.Second
	// leaveTime bounds the farewell to the group.
	leaveTime = 5 * time.Second
	// groupPage is the most records of a poll.
	groupPage = 1000
)

// checkGroup judges what goes with --group.
func (c ConsumeCmd) checkGroup() error {
	switch {
	case c.Group == "":
		return nil
	case c.Partition >= 0:
		return usagef("--partition and --group exclude each other: the group shares the partitions out")
	case c.From != "earliest" && c.From != "latest":
		return usagef("--from %q: with --group it is earliest or latest, for partitions of which nothing is "+
			"committed; chronik group reset moves a group", c.From)
	}
	return nil
}

// member is this process in a consumer group.
type member struct {
	r    *reader
	poll client.Poll // the next one
}

// group reads as a member of a group. Records are acknowledged once they are
// written; what was not is served again, to this member or to another. In the
// end it leaves, so that others go on at once.
func (r *reader) group(ctx context.Context) error {
	m := &member{r: r, poll: client.Poll{
		Topics: []string{r.cmd.Topic}, Member: client.NewMember(), From: r.cmd.From, WaitMs: idleWait.Milliseconds(),
	}}
	if r.cmd.Follow {
		m.poll.WaitMs = groupWait.Milliseconds()
	}
	err := m.read(ctx)
	leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	left := m.leave(leave)
	if err != nil && left != nil {
		fmt.Fprintf(r.streams.Err, "chronik: %v\n", left)
		return err
	}
	return errors.Join(err, left)
}

// read polls until the limit, an interrupt or, without --follow, the end.
func (m *member) read(ctx context.Context) error {
	for !m.r.sink.done() {
		m.poll.Limit = groupPage
		if n := m.r.sink.left(); n >= 0 {
			m.poll.Limit = min(n, groupPage)
		}
		page, err := m.r.api.Poll(ctx, m.r.cmd.Group, m.poll)
		if err != nil {
			if err = m.failed(ctx, err); err != nil {
				return err
			}
			continue
		}
		m.poll.Ack = ""
		if err := m.r.sink.page(page.Records); err != nil {
			return err
		}
		m.poll.Ack = page.Ack
		if len(page.Records) == 0 && page.Generation > 0 && !m.r.cmd.Follow {
			return nil
		}
	}
	return nil
}

// failed judges the error of a poll: nil to go on.
func (m *member) failed(ctx context.Context, err error) error {
	var problem *client.Problem
	if errors.As(err, &problem) && problem.Code == "fenced_generation" {
		if !m.r.cmd.Quiet {
			fmt.Fprintln(m.r.streams.Err, "chronik: the group has rebalanced: the last records may be served again")
		}
		m.poll.Ack = ""
		return nil
	}
	return m.r.pauseAfter(ctx, err)
}

// leave acknowledges what was written, and goes.
func (m *member) leave(ctx context.Context) error {
	if m.poll.Ack != "" {
		m.poll.Limit, m.poll.WaitMs = 1, 0
		if _, err := m.r.api.Poll(ctx, m.r.cmd.Group, m.poll); err != nil {
			return fmt.Errorf("the last records were not acknowledged and will be served again: %w", err)
		}
	}
	err := m.r.api.LeaveGroup(ctx, m.r.cmd.Group, m.poll.Member)
	if client.IsStatus(err, 404) {
		return nil
	}
	return err
}

// left is how many records the limit still allows, -1 if there is none.
func (s *sink) left() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.limit <= 0 {
		return -1
	}
	return max(s.limit-s.records, 0)
}

// page writes the records of a poll and flushes them.
func (s *sink) page(records []client.GroupRecord) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range records {
		rec, err := records[i].Record()
		if err != nil {
			return err
		}
		s.line = s.format.append(s.line[:0], records[i].Partition, &rec)
		if _, err := s.out.Write(s.line); err != nil {
			return err
		}
		s.records++
		s.bytes += int64(len(rec.Value))
	}
	s.progress.show(s.records, s.bytes)
	return s.out.Flush()
}
