package forward

import (
	"context"
	"testing"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/peer"
	"github.com/chroniklog/chronik/storage/plog"
)

func (l *leader) Confirmed(ctx context.Context, id plog.ID) (partition.Offsets, error) {
	return someOffsets, l.note(ctx, id, "confirmed")
}

func (l *leader) Remembers(ctx context.Context, id plog.ID, key string) (bool, error) {
	return true, l.note(ctx, id, key)
}

func (l *leader) Yield(ctx context.Context, ids []plog.ID) { _ = l.note(ctx, ids) }

func TestLeadership(t *testing.T) {
	c, l := connect(t)
	ctx := t.Context()
	if o, err := c.Confirmed(ctx, someID); err != nil || o != someOffsets {
		t.Fatal(o, err)
	}
	wantAsked(t, l, someID, "confirmed")
	if known, err := c.Remembers(ctx, someID, "key"); err != nil || !known {
		t.Fatal(known, err)
	}
	wantAsked(t, l, someID, "key")
	other := plog.ID{Partition: 1 << 20}
	if err := c.Yield(ctx, []plog.ID{someID, other}); err != nil {
		t.Fatal(err)
	}
	wantAsked(t, l, []plog.ID{someID, other})
}

func FuzzLeadership(f *testing.F) {
	e := call(context.Background(), someID)
	e.i64(1)
	e.b = append(e.b, someID.Topic[:]...)
	e.i64(3)
	f.Add(uint8(methodYield), e.b)
	e = call(context.Background(), someID)
	e.str("key")
	f.Add(uint8(methodRemembers), e.b)
	f.Add(uint8(methodConfirmed), call(context.Background(), someID).b)
	f.Fuzz(func(t *testing.T, m uint8, b []byte) {
		if m < uint8(methodConfirmed) {
			return
		}
		h := &Handler{Local: &leader{}, Errors: table}
		replies := 0
		wait := h.Begin(context.Background(), peer.Method(m), b, func([]byte, bool) { replies++ })
		if wait != nil {
			wait()
		}
		if replies != 1 {
			t.Fatalf("%d replies", replies)
		}
	})
}
