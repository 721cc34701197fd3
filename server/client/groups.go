package client

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/chroniklog/chronik/storage/record"
)

// Group is a consumer group.
type Group struct {
	Group       string           `json:"group"`
	State       string           `json:"state"`
	Generation  int32            `json:"generation"`
	Protocol    string           `json:"protocol"`
	Coordinator int32            `json:"coordinator"`
	Members     []GroupMember    `json:"members"`
	Partitions  []GroupPartition `json:"partitions"`
	Lag         int64            `json:"lag"`
}

// GroupMember is a member of a Group, of either protocol.
type GroupMember struct {
	Member     string           `json:"member"`
	Protocol   string           `json:"protocol"` // http or kafka
	Instance   string           `json:"instance,omitempty"`
	ClientID   string           `json:"client_id"`
	Host       string           `json:"host"`
	Leader     bool             `json:"leader"`
	SessionMs  int64            `json:"session_ms"`
	Topics     []string         `json:"topics"`
	Assignment []TopicPartition `json:"assignment"`
}

// TopicPartition names a partition.
type TopicPartition struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
}

// GroupPartition is a partition that a group reads or has committed.
type GroupPartition struct {
	TopicPartition
	Committed *int64 `json:"committed,omitempty"` // nil: nothing
	Start     *int64 `json:"log_start_offset,omitempty"`
	End       *int64 `json:"end,omitempty"`
	Lag       *int64 `json:"lag,omitempty"`
	Member    string `json:"member,omitempty"`
	Error     string `json:"error,omitempty"` // why the offsets are not known
}

// GroupSummary is a group as a list shows it.
type GroupSummary struct {
	Group        string `json:"group"`
	State        string `json:"state"`
	ProtocolType string `json:"protocol_type"`
}

// Groups calls each for every group whose name begins with prefix, in order.
func (c *Client) Groups(ctx context.Context, prefix string, each func(GroupSummary) error) error {
	query := url.Values{"limit": {"1000"}}
	if prefix != "" {
		query.Set("prefix", prefix)
	}
	for {
		var page struct {
			Groups []GroupSummary `json:"groups"`
			Next   string         `json:"next_page_token"`
		}
		if err := c.Call(ctx, http.MethodGet, Path("groups")+"?"+query.Encode(), nil, &page); err != nil {
			return err
		}
		for _, g := range page.Groups {
			if err := each(g); err != nil {
				return err
			}
		}
		if page.Next == "" {
			return nil
		}
		query.Set("page_token", page.Next)
	}
}

// Group describes a group.
func (c *Client) Group(ctx context.Context, group string) (g Group, err error) {
	err = c.Call(ctx, http.MethodGet, Path("groups", group), nil, &g)
	return g, err
}

// DeleteGroup deletes a group that has no members.
func (c *Client) DeleteGroup(ctx context.Context, group string) error {
	return c.Call(ctx, http.MethodDelete, Path("groups", group), nil, nil)
}

// LeaveGroup takes a member out of a group.
func (c *Client) LeaveGroup(ctx context.Context, group, member string) error {
	return c.Call(ctx, http.MethodDelete, Path("groups", group, "members", member), nil, nil)
}

// OffsetReset says where a group goes on.
type OffsetReset struct {
	Topic      string  `json:"topic"`
	Partitions []int32 `json:"partitions,omitempty"` // nil: all
	To         string  `json:"to"`                   // earliest, latest, offset or timestamp
	Offset     *int64  `json:"offset,omitempty"`
	Timestamp  *int64  `json:"timestamp,omitempty"` // Unix milliseconds
	DryRun     bool    `json:"dry_run,omitempty"`
	Metadata   string  `json:"metadata,omitempty"` // kept with the offsets
}

// OffsetMove is what a reset does to a partition.
type OffsetMove struct {
	TopicPartition
	From *int64 `json:"from,omitempty"` // nil: nothing was committed
	To   int64  `json:"to"`
}

// ResetGroup moves the committed offsets of a group without members.
func (c *Client) ResetGroup(ctx context.Context, group string, r OffsetReset) ([]OffsetMove, error) {
	var answer struct {
		Offsets []OffsetMove `json:"offsets"`
	}
	err := c.Call(ctx, http.MethodPut, Path("groups", group, "offsets"), r, &answer)
	return answer.Offsets, err
}

// Poll asks for records as a member of a group.
type Poll struct {
	Topics []string `json:"topics"`
	Member string   `json:"member"` // as NewMember makes it
	Ack    string   `json:"ack,omitempty"`
	From   string   `json:"from,omitempty"`  // earliest or latest
	Limit  int64    `json:"limit,omitempty"` // 0: the server's
	WaitMs int64    `json:"wait_ms"`
}

// GroupPage is the answer to a Poll.
type GroupPage struct {
	Generation int32            `json:"generation"` // 0: the member has no partitions yet
	Assignment []TopicPartition `json:"assignment"`
	Records    []GroupRecord    `json:"records"`
	Ack        string           `json:"ack"` // for the next poll; empty without records
}

// NewMember makes an id that nobody has.
func NewMember() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand since Go 1.24)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	s := hex.EncodeToString(b[:])
	return "http." + s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// Poll reads as a member of a group.
func (c *Client) Poll(ctx context.Context, group string, p Poll) (page GroupPage, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p.WaitMs)*time.Millisecond+time.Minute)
	defer cancel()
	err = c.Call(ctx, http.MethodPost, Path("groups", group, "poll"), p, &page)
	return page, err
}

// GroupRecord is a record as a poll gives it.
type GroupRecord struct {
	Topic       string        `json:"topic"`
	Partition   int32         `json:"partition"`
	Offset      int64         `json:"offset"`
	Timestamp   int64         `json:"timestamp"`
	Key         *string       `json:"key"`
	KeyEncoding string        `json:"key_encoding"`
	Value       *string       `json:"value"`
	Encoding    string        `json:"encoding"`
	Headers     []GroupHeader `json:"headers"`
}

// GroupHeader is a header of a GroupRecord.
type GroupHeader struct {
	Name     string  `json:"name"`
	Value    *string `json:"value"`
	Encoding string  `json:"encoding"`
}

// Record is the record with its bytes.
func (g *GroupRecord) Record() (r record.Record, err error) {
	r = record.Record{Offset: g.Offset, Timestamp: g.Timestamp}
	if r.Key, err = bytesOf(g.Key, g.KeyEncoding); err != nil {
		return r, err
	}
	if r.Value, err = bytesOf(g.Value, g.Encoding); err != nil {
		return r, err
	}
	for i := range g.Headers {
		v, err := bytesOf(g.Headers[i].Value, g.Headers[i].Encoding)
		if err != nil {
			return r, err
		}
		r.Headers = append(r.Headers, record.HeaderKV{Key: g.Headers[i].Name, Value: v})
	}
	return r, nil
}

// bytesOf undoes the encoding that the text says; nil is null.
func bytesOf(text *string, encoding string) ([]byte, error) {
	switch {
	case text == nil:
		return nil, nil
	case encoding != "base64":
		return []byte(*text), nil
	}
	b, err := base64.StdEncoding.DecodeString(*text)
	if err != nil {
		return nil, fmt.Errorf("the answer has broken base64: %w", err)
	}
	return b, nil
}
