package group_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chroniklog/chronik/server/group"
)

func testAck() group.Ack {
	return group.Ack{
		Group: "billing", MemberID: hostedID("1"), Generation: 7,
		Next: []group.Next{
			{Topic: [16]byte{1, 2}, Partition: 3, From: 7, Offset: 1 << 50}, {Topic: [16]byte{9}, From: -1, Offset: 1},
		},
	}
}

func TestAck(t *testing.T) {
	secret, a := []byte("secret"), testAck()
	token := a.Token(secret)
	back, err := group.ParseAck(secret, token)
	if err != nil || !cmp.Equal(a, back) {
		t.Fatalf("%+v, %v", back, err)
	}
	if err := back.Of("billing", hostedID("1")); err != nil {
		t.Error(err)
	}
	for _, who := range [][2]string{{"other", hostedID("1")}, {"billing", hostedID("2")}} {
		if err := back.Of(who[0], who[1]); !errors.Is(err, group.ErrForeignAck) {
			t.Errorf("%v: %v", who, err)
		}
	}
	if _, err := group.ParseAck([]byte("another"), token); !errors.Is(err, group.ErrInvalidAck) {
		t.Errorf("another cluster's: %v", err)
	}
	// Any change of any byte is noticed.
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		raw[i] ^= 1
		forged := base64.RawURLEncoding.EncodeToString(raw)
		if _, err := group.ParseAck(secret, forged); !errors.Is(err, group.ErrInvalidAck) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		raw[i] ^= 1
	}
	for _, bad := range []string{"", "x", token[:len(token)-1], token + "A", strings.Repeat("A", group.MaxAck+1)} {
		if _, err := group.ParseAck(secret, bad); !errors.Is(err, group.ErrInvalidAck) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

func TestAckFollows(t *testing.T) {
	for _, tt := range []struct {
		from, offset, committed int64
		want                    bool
	}{
		{-1, 3, -1, true}, {0, 3, 0, true}, {3, 5, 3, true},
		{0, 3, 3, false},                                            // the same again
		{0, 3, 5, false},                                            // overtaken
		{0, 5, 3, true},                                             // a larger page of the same records
		{500, 3, 500, true}, {500, 3, 3, false}, {500, 3, 5, false}, // made anew
	} {
		n := group.Next{From: tt.from, Offset: tt.offset}
		if got := n.Follows(tt.committed); got != tt.want {
			t.Errorf("from %d to %d, committed %d: %v", tt.from, tt.offset, tt.committed, got)
		}
	}
}

// The largest ack that a poll can give fits into what a poll takes.
func TestLargestAckFits(t *testing.T) {
	a := group.Ack{Group: strings.Repeat("g", 249), MemberID: hostedID("1"), Generation: 1<<31 - 1}
	for i := range int32(group.MaxAckPartitions) {
		a.Next = append(a.Next, group.Next{
			Topic: [16]byte{byte(i)}, Partition: 1<<31 - 1 - i, From: 1<<53 - 2, Offset: 1<<53 - 1,
		})
	}
	token := a.Token([]byte("s"))
	if len(token) > group.MaxAck {
		t.Fatalf("%d bytes", len(token))
	}
	if _, err := group.ParseAck([]byte("s"), token); err != nil {
		t.Fatal(err)
	}
}

// FuzzParseAck signs what it is given, so that the decoder behind the
// signature is reached.
func FuzzParseAck(f *testing.F) {
	a := testAck()
	raw, err := base64.RawURLEncoding.DecodeString(a.Token(nil))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw[:len(raw)-16])
	f.Add([]byte{1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, token := range []string{group.SignForTest(nil, body), string(body)} {
			a, err := group.ParseAck(nil, token)
			if err != nil && !errors.Is(err, group.ErrInvalidAck) {
				t.Fatal(err)
			}
			if err != nil {
				continue
			}
			again, err := group.ParseAck(nil, a.Token(nil))
			if err != nil || !cmp.Equal(a, again) {
				t.Fatalf("%+v, then %+v, %v", a, again, err)
			}
		}
	})
}
