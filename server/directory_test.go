package server

import (
	"context"
	"errors"
	"testing"
)

func testEntry(name string, id byte) *entry {
	return &entry{topic: Topic{Name: name, ID: TopicID{id}}, parts: []*part{{}}}
}

func TestDirectoryList(t *testing.T) {
	d := newDirectory()
	d.apply([]*entry{testEntry("b2", 1), testEntry("a", 2), testEntry("b1", 3), testEntry("c", 4), testEntry("b3", 5)}, nil)
	tests := []struct {
		prefix, after string
		limit         int
		want          string
		more          bool
	}{
		{"", "", 10, "a b1 b2 b3 c", false},
		{"b", "", 10, "b1 b2 b3", false},
		{"b", "b1", 1, "b2", true},
		{"b", "b1", 2, "b2 b3", false},
		{"b", "a", 10, "b1 b2 b3", false},
		{"", "c", 10, "", false},
		{"x", "", 10, "", false},
		{"", "", 0, "", true},
	}
	for _, tt := range tests {
		list, more := d.list(tt.prefix, tt.after, tt.limit)
		got := ""
		for i, e := range list {
			if i > 0 {
				got += " "
			}
			got += e.topic.Name
		}
		if got != tt.want || more != tt.more {
			t.Errorf("list(%q, %q, %d) = %q, %v; want %q, %v", tt.prefix, tt.after, tt.limit, got, more, tt.want, tt.more)
		}
	}
}

// A name that was deleted and created anew is another topic: removing the old
// one, which may come later, does not remove the new one.
func TestDirectoryNameReuse(t *testing.T) {
	d := newDirectory()
	d.apply([]*entry{testEntry("t", 1)}, nil)
	d.apply([]*entry{testEntry("t", 2)}, nil)
	if removed := d.apply(nil, []TopicID{{1}}); len(removed) != 1 {
		t.Fatalf("removed %d", len(removed))
	}
	e, err := d.topic("t")
	if err != nil || e.topic.ID != (TopicID{2}) {
		t.Fatalf("topic: %v, %v", e, err)
	}
	if d.id(TopicID{1}) != nil || d.id(TopicID{2}) == nil {
		t.Error("ids")
	}
	d.apply(nil, []TopicID{{2}})
	if _, err := d.topic("t"); !errors.Is(err, ErrUnknownTopic) {
		t.Errorf("after removal: %v", err)
	}
	if list, _ := d.list("", "", 10); len(list) != 0 {
		t.Errorf("list has %d", len(list))
	}
}

func TestDirectoryPart(t *testing.T) {
	d := newDirectory()
	d.apply([]*entry{testEntry("t", 1)}, nil)
	for _, p := range []int32{-1, 1} {
		if _, _, err := d.part("t", p); !errors.Is(err, ErrUnknownPartition) {
			t.Errorf("partition %d: %v", p, err)
		}
	}
	if n := testing.AllocsPerRun(100, func() { _, _, _ = d.part("t", 0) }); n != 0 {
		t.Errorf("a look-up makes %v allocations", n)
	}
}

func TestDirectoryAwait(t *testing.T) {
	d := newDirectory()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- d.await(ctx, func() bool { return d.id(TopicID{7}) != nil }) }()
	d.apply([]*entry{testEntry("x", 1)}, nil)
	d.apply([]*entry{testEntry("y", 7)}, nil)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	go func() { done <- d.await(ctx, func() bool { return false }) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("await: %v", err)
	}
}
