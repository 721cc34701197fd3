package api

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"io"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/chroniklog/chronik/server/group"
)

// Bounds and defaults of a poll.
const (
	maxPollTopics  = 100
	maxPollBytes   = 10 << 20
	minSession     = 6 * time.Second
	maxSession     = 30 * time.Minute
	pollBytes      = 1 << 20
	pollWait       = 5 * time.Second
	pollSession    = 30 * time.Second
	maxClientID    = 64
	pollContentMax = 256 << 10
)

// pollBody is the body of POST /v1/groups/{group}/poll.
type pollBody struct {
	Topics    []string `json:"topics"`
	Member    *string  `json:"member"`
	Instance  *string  `json:"instance"`
	Ack       *string  `json:"ack"`
	From      *string  `json:"from"`
	Limit     *int64   `json:"limit"`
	MaxBytes  *int64   `json:"max_bytes"`
	WaitMs    *int64   `json:"wait_ms"`
	SessionMs *int64   `json:"session_ms"`
}

// pollParams are what a poll asks for.
type pollParams struct {
	group            string
	member, instance string
	fresh            bool // the client has no id yet
	clientID, host   string
	topics           []string
	ack              *group.Ack
	committed        bool // the ack
	latest           bool
	limit, maxBytes  int64
	wait, session    time.Duration
}

// readPoll reads and judges a poll.
func (s *Server) readPoll(r *http.Request) (*pollParams, error) {
	id, err := pathParam(r, "group")
	if err == nil {
		err = checkGroup(id)
	}
	if err == nil {
		err = readQuery(r.URL.RawQuery, knownQuery(nil))
	}
	if err != nil {
		return nil, err
	}
	if t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); t != typeJSON {
		return nil, badRequest(CodeUnsupportedMediaType, "a poll is application/json (with curl, use --json)")
	}
	data, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, pollContentMax))
	if err != nil {
		return nil, bodyError(err)
	}
	var b pollBody
	if err := strictJSON(bytes.TrimSpace(data), &b); err != nil {
		return nil, err
	}
	p := &pollParams{
		group: id, clientID: clientID(r), host: remoteHost(r), limit: int64(s.limits.MaxReadRecords),
		maxBytes: pollBytes, wait: pollWait, session: pollSession,
	}
	return p, p.set(s, &b)
}

// set takes over what the body says.
func (p *pollParams) set(s *Server, b *pollBody) error {
	if err := p.setTopics(b.Topics); err != nil {
		return err
	}
	waitMs, sessionMs := p.wait.Milliseconds(), p.session.Milliseconds()
	for _, n := range []struct {
		name      string
		from      *int64
		to        *int64
		low, high int64
	}{
		{"limit", b.Limit, &p.limit, 1, min(int64(s.limits.MaxReadRecords), group.MaxAckPartitions)},
		{"max_bytes", b.MaxBytes, &p.maxBytes, 1, min(s.limits.MaxReadBytes, maxPollBytes)},
		{"wait_ms", b.WaitMs, &waitMs, 0, s.limits.MaxWait.Milliseconds()},
		{"session_ms", b.SessionMs, &sessionMs, minSession.Milliseconds(), maxSession.Milliseconds()},
	} {
		if n.from == nil {
			*n.to = min(*n.to, n.high)
			continue
		}
		if *n.from < n.low || *n.from > n.high {
			return badField(n.name, "want a whole number from %d to %d, have %d", n.low, n.high, *n.from)
		}
		*n.to = *n.from
	}
	p.wait, p.session = time.Duration(waitMs)*time.Millisecond, time.Duration(sessionMs)*time.Millisecond
	switch from := deref(b.From); {
	case b.From == nil, from == fromEarliest:
	case from == fromLatest:
		p.latest = true
	default:
		return badField("from", "want earliest or latest, have %q", clip(from))
	}
	return p.setMember(s, b)
}

func (p *pollParams) setTopics(topics []string) error {
	if len(topics) == 0 || len(topics) > maxPollTopics {
		return badField("topics", "want the names of 1 to %d topics, have %d", maxPollTopics, len(topics))
	}
	p.topics = slices.Clone(topics)
	slices.Sort(p.topics)
	p.topics = slices.Compact(p.topics)
	return nil
}

// setMember takes over who polls, and holds the ack against it.
func (p *pollParams) setMember(s *Server, b *pollBody) error {
	p.member, p.fresh = deref(b.Member), b.Member == nil
	if p.instance = deref(b.Instance); b.Instance != nil && !plainText(p.instance, maxGroupID) {
		return badField("instance", "want 1 to %d bytes without control characters", maxGroupID)
	}
	if p.fresh {
		p.member = newMemberID()
	} else if !group.Hosted(p.member) {
		return badField("member", "want the member of the last answer, or none for a new member; have %q", clip(p.member))
	}
	if b.Ack == nil {
		return nil
	}
	if p.fresh {
		return badField("ack", "goes with the member of the same answer")
	}
	ack, err := group.ParseAck(s.groups.Secret(), *b.Ack)
	if err == nil {
		err = ack.Of(p.group, p.member)
	}
	p.ack = &ack
	return err
}

// newMemberID makes an id that nobody has.
func newMemberID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand since Go 1.24)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	s := hex.EncodeToString(b[:])
	return group.HostedPrefix + s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// clientID is what the client calls itself, as tools show it.
func clientID(r *http.Request) string {
	name, _, _ := strings.Cut(r.UserAgent(), " ")
	if name == "" || len(name) > maxClientID ||
		strings.IndexFunc(name, func(c rune) bool { return c > unicode.MaxASCII || !unicode.IsPrint(c) }) >= 0 {
		return "http"
	}
	return name
}

// remoteHost is the client's address in the form that Kafka has it.
func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return "/" + r.RemoteAddr
	}
	return "/" + host
}
