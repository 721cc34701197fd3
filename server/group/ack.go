package group

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Conditions of an ack token.
var (
	// ErrInvalidAck: not a token of this cluster, or not unchanged.
	ErrInvalidAck = errors.New("the ack token is not one that this cluster gave out")
	// ErrForeignAck: a token of another group or member.
	ErrForeignAck = errors.New("the ack token is another member's")
)

const (
	// MaxAck bounds a token's text, in bytes.
	MaxAck = 64 << 10
	// MaxAckPartitions bounds what one token acknowledges.
	MaxAckPartitions = 1000
)

const (
	ackVersion = 1
	ackSum     = 16 // bytes of the signature
	ackEntry   = 16 + 1 + 1 + 1
)

// Next is the offset after what a member was given of a partition. The topic
// is named by its id: one that was deleted and created anew is another.
type Next struct {
	Topic     [16]byte
	Partition int32
	// From is what the group had committed when the records were given, -1 for
	// nothing; Offset comes after the last of them.
	From, Offset int64
}

// Follows tells whether the ack is to be committed where at is committed now,
// -1 for nothing: it goes on from there, or further. One that does not is a
// repeat that was overtaken, and must not move the group back. (A topic that
// was made anew is read from its start: there From is ahead of Offset.)
func (n *Next) Follows(at int64) bool { return at == n.From || n.Offset > at }

// Ack is what a hosted member acknowledges by sending a token back: that in
// this generation it is done with everything below the offsets.
type Ack struct {
	Group, MemberID string
	Generation      int32
	Next            []Next
}

// Token signs the ack with the cluster's secret. The text is what a URL and a
// JSON string hold as it is.
func (a *Ack) Token(secret []byte) string {
	b := []byte{ackVersion}
	b = appendText(b, a.Group)
	b = appendText(b, a.MemberID)
	b = binary.AppendUvarint(b, uint64(uint32(a.Generation)))
	b = binary.AppendUvarint(b, uint64(len(a.Next)))
	for i := range a.Next {
		n := &a.Next[i]
		b = append(b, n.Topic[:]...)
		b = binary.AppendUvarint(b, uint64(uint32(n.Partition)))
		b = binary.AppendUvarint(b, uint64(n.From+1))
		b = binary.AppendUvarint(b, uint64(n.Offset))
	}
	return base64.RawURLEncoding.EncodeToString(append(b, sign(secret, b)...))
}

// sign uses a key of this purpose only: whatever else the secret signs can't
// be taken for a token.
func sign(secret, b []byte) []byte {
	key := hmac.New(sha256.New, secret)
	key.Write([]byte("group ack"))
	sum := hmac.New(sha256.New, key.Sum(nil))
	sum.Write(b)
	return sum.Sum(nil)[:ackSum]
}

// ParseAck reads a token back: ErrInvalidAck unless it was signed with the
// secret.
func ParseAck(secret []byte, token string) (Ack, error) {
	if len(token) > MaxAck {
		return Ack{}, fmt.Errorf("%w: %d bytes are too many", ErrInvalidAck, len(token))
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) < ackSum+1 {
		return Ack{}, fmt.Errorf("%w: it is cut or changed", ErrInvalidAck)
	}
	body, sum := b[:len(b)-ackSum], b[len(b)-ackSum:]
	if !hmac.Equal(sum, sign(secret, body)) {
		return Ack{}, ErrInvalidAck
	}
	a, ok := decodeAck(body)
	if !ok {
		return Ack{}, fmt.Errorf("%w: it is of another release", ErrInvalidAck)
	}
	return a, nil
}

// Of tells whether the token is that of a member of a group.
func (a *Ack) Of(group, memberID string) error {
	if a.Group != group || a.MemberID != memberID {
		return fmt.Errorf("%w: of %q in group %q", ErrForeignAck, a.MemberID, a.Group)
	}
	return nil
}

func decodeAck(b []byte) (a Ack, ok bool) {
	if b[0] != ackVersion {
		return a, false
	}
	r := ackReader{b: b[1:]}
	a.Group, a.MemberID, a.Generation = r.text(), r.text(), int32(r.number(1<<31-1))
	n := r.number(MaxAckPartitions)
	if r.bad || n > uint64(len(r.b)/ackEntry) {
		return a, false
	}
	a.Next = slices.Grow(a.Next, int(n))
	for range n {
		var x Next
		copy(x.Topic[:], r.take(len(x.Topic)))
		x.Partition, x.From = int32(r.number(1<<31-1)), int64(r.number(1<<63-1))-1
		x.Offset = int64(r.number(1<<63 - 1))
		a.Next = append(a.Next, x)
	}
	return a, !r.bad && len(r.b) == 0
}

// ackReader reads fields; after the first that is missing everything is zero.
type ackReader struct {
	b   []byte
	bad bool
}

func (r *ackReader) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *ackReader) number(limit uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 || v > limit {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *ackReader) text() string { return string(r.take(int(r.number(uint64(len(r.b)))))) }

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
