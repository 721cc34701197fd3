package forward

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chroniklog/chronik/server/replica"
	"github.com/chroniklog/chronik/storage/plog"
)

var somePoint = replica.Point{LogStart: 3, End: 9, LeaderEpoch: 2, State: []byte("state")}

func (l *leader) Point(ctx context.Context, id plog.ID) (replica.Point, error) {
	return somePoint, l.note(ctx, id)
}

func (l *leader) BeginRestore(ctx context.Context, id plog.ID, start int64, state []byte) (int64, error) {
	return 13, l.note(ctx, id, start, string(state))
}

func (l *leader) Restore(ctx context.Context, id plog.ID, batches []byte) (int64, error) {
	return 14, l.note(ctx, id, string(batches))
}

func TestBackupsAreForwarded(t *testing.T) {
	c, l := connect(t)
	ctx := t.Context()
	p, err := c.Point(ctx, someID)
	if d := cmp.Diff(somePoint, p); d != "" || err != nil {
		t.Fatal(d, err)
	}
	wantAsked(t, l, someID)
	if end, err := c.BeginRestore(ctx, someID, 3, []byte("state")); err != nil || end != 13 {
		t.Fatal(end, err)
	}
	wantAsked(t, l, someID, int64(3), "state")
	if end, err := c.Restore(ctx, someID, []byte("batches")); err != nil || end != 14 {
		t.Fatal(end, err)
	}
	wantAsked(t, l, someID, "batches")
}
