package server_test

import (
	"errors"
	"testing"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/servertest"
)

// Topics of the broker's own are made by it, once, and written by nobody else.
func TestInternalTopic(t *testing.T) {
	b := servertest.Start(t, servertest.Unchecked()).Broker
	ctx := t.Context()
	spec := server.TopicSpec{Name: "__own", Partitions: 2, Configs: map[string]string{"cleanup.policy": "compact"}}
	first, err := b.EnsureInternalTopic(ctx, spec)
	if err != nil || !first.Internal {
		t.Fatal(first, err)
	}
	again, err := b.EnsureInternalTopic(ctx, spec)
	if err != nil || again.ID != first.ID {
		t.Errorf("%+v %v", again, err)
	}
	if _, err := b.EnsureInternalTopic(ctx, server.TopicSpec{Name: "clients"}); !errors.Is(err, server.ErrInvalidTopic) {
		t.Errorf("a name that is no internal one: %v", err)
	}
	_, err = b.BeginRecord(ctx, "__own", 0, partition.RecordAppend{Key: []byte("k"), Cond: partition.NoConditions})
	if !errors.Is(err, server.ErrReservedTopic) {
		t.Errorf("a client's record: %v", err)
	}
	if _, err = b.AddPartitions(ctx, "__own", server.Growth{Total: 9, Force: true}); !errors.Is(err, server.ErrReservedTopic) {
		t.Errorf("more partitions: %v", err)
	}
	if err := b.DeleteTopic(ctx, "__own"); !errors.Is(err, server.ErrReservedTopic) {
		t.Errorf("deletion: %v", err)
	}
}
