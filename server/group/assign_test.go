package group_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/chroniklog/chronik/server/group"
)

type wish struct {
	id     string
	topics []string
	owned  []group.TopicPartition
}

func share(protocol string, wishes []wish, counts map[string]int32) map[string][]group.TopicPartition {
	var members []group.Joined
	for _, w := range wishes {
		sub := group.Subscription{Topics: w.topics, Owned: w.owned}
		members = append(members, group.Joined{MemberID: w.id, Metadata: sub.Append(nil)})
	}
	out := make(map[string][]group.TopicPartition)
	for id, b := range group.Share(protocol, members, func(t string) int32 { return counts[t] }) {
		list, err := group.ParseAssignment(b)
		if err != nil {
			panic(err)
		}
		out[id] = list
	}
	return out
}

func TestShare(t *testing.T) {
	counts := map[string]int32{"t": 5, "u": 3}
	own := func(topic string, partitions ...int32) (list []group.TopicPartition) {
		for _, p := range partitions {
			list = append(list, group.TopicPartition{Topic: topic, Partition: p})
		}
		return list
	}
	both := []string{"t", "u"}
	tests := []struct {
		name, protocol string
		wishes         []wish
		want           string
	}{
		{"range", "range", []wish{{id: "b", topics: both}, {id: "a", topics: both}},
			"a={t/0 t/1 t/2 u/0 u/1} b={t/3 t/4 u/2}"},
		{"range, one topic each", "range", []wish{{id: "a", topics: []string{"t"}}, {id: "b", topics: []string{"u"}}},
			"a={t/0 t/1 t/2 t/3 t/4} b={u/0 u/1 u/2}"},
		{"roundrobin", "roundrobin", []wish{{id: "a", topics: both}, {id: "b", topics: both}},
			"a={t/0 t/2 t/4 u/1} b={t/1 t/3 u/0 u/2}"},
		{"roundrobin, uneven", "roundrobin", []wish{{id: "a", topics: both}, {id: "b", topics: []string{"u"}}},
			"a={t/0 t/1 t/2 t/3 t/4 u/1} b={u/0 u/2}"},
		{"sticky from nothing", "sticky", []wish{{id: "a", topics: both}, {id: "b", topics: both}},
			"a={t/0 t/2 t/4 u/1} b={t/1 t/3 u/0 u/2}"},
		{"sticky evens out", "sticky", []wish{{id: "a", topics: both}, {id: "b", topics: []string{"u"}}},
			"a={t/0 t/1 t/2 t/3 t/4} b={u/0 u/1 u/2}"},
		{"cooperative leaves what is owned", "cooperative-sticky",
			[]wish{{id: "a", topics: []string{"t"}, owned: own("t", 1, 3)}, {id: "b", topics: []string{"t"}}},
			"a={t/1 t/3 t/4} b={t/0 t/2}"},
		{"cooperative withholds what another must give up", "cooperative-sticky",
			[]wish{{id: "a", topics: []string{"t"}, owned: own("t", 0, 1, 2, 3, 4)}, {id: "b", topics: []string{"t"}}},
			"a={t/0 t/1 t/2} b={}"},
		{"both claim one", "cooperative-sticky",
			[]wish{{id: "a", topics: []string{"t"}, owned: own("t", 0)}, {id: "b", topics: []string{"t"}, owned: own("t", 0)}},
			"a={t/0 t/2 t/4} b={t/1 t/3}"},
		{"claims of what there is not", "cooperative-sticky",
			[]wish{{id: "a", topics: []string{"t"}, owned: append(own("u", 0), own("t", 9, -1)...)}},
			"a={t/0 t/1 t/2 t/3 t/4}"},
		{"unknown topic", "range", []wish{{id: "a", topics: []string{"nowhere"}}}, "a={}"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			shares := share(tt.protocol, tt.wishes, counts)
			for _, id := range []string{"a", "b"} {
				if list, ok := shares[id]; ok {
					got += fmt.Sprintf(" %s=%s", id, tps(list))
				}
			}
			if got != " "+tt.want {
				t.Errorf("got%s, want %s", got, tt.want)
			}
		})
	}
}

// Whoever wants what: each partition goes to one member that wants its topic,
// and with one topic the shares differ by one at most. The cooperative way
// gives nobody what another still owns, and once everybody has given up what
// it was not given, everything is shared out.
func TestShareProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		counts := map[string]int32{"t": rapid.Int32Range(0, 9).Draw(t, "t"), "u": rapid.Int32Range(0, 9).Draw(t, "u")}
		protocol := rapid.SampledFrom(group.Assignors()).Draw(t, "protocol")
		same := rapid.Bool().Draw(t, "same")
		var wishes []wish
		for i := range rapid.IntRange(1, 6).Draw(t, "members") {
			w := wish{id: fmt.Sprint("m", i), topics: []string{"t"}}
			if !same {
				w.topics = rapid.SampledFrom([][]string{{"t"}, {"u"}, {"t", "u"}}).Draw(t, "topics")
			}
			for p := range rapid.Int32Range(0, 4).Draw(t, "owned") {
				w.owned = append(w.owned, group.TopicPartition{Topic: "t", Partition: p + int32(i)})
			}
			wishes = append(wishes, w)
		}
		shares := share(protocol, wishes, counts)
		checkShares(t, protocol, wishes, shares)
		if protocol == "cooperative-sticky" {
			for i := range wishes {
				wishes[i].owned = shares[wishes[i].id]
			}
			shares = share(protocol, wishes, counts)
		}
		total, wanted, least, most := 0, 0, 1<<30, 0
		for topic, n := range counts {
			if slices.ContainsFunc(wishes, func(w wish) bool { return slices.Contains(w.topics, topic) }) {
				wanted += int(n)
			}
		}
		for _, list := range shares {
			total += len(list)
			least, most = min(least, len(list)), max(most, len(list))
		}
		if total != wanted {
			t.Fatalf("%d of %d partitions are shared out: %v", total, wanted, shares)
		}
		if same && most-least > 1 {
			t.Fatalf("uneven: %v", shares)
		}
	})
}

func checkShares(t *rapid.T, protocol string, wishes []wish, shares map[string][]group.TopicPartition) {
	owners := make(map[group.TopicPartition]int)
	for _, w := range wishes {
		for _, tp := range w.owned {
			owners[tp]++
		}
	}
	seen := make(map[group.TopicPartition]bool)
	for _, w := range wishes {
		for _, tp := range shares[w.id] {
			if seen[tp] || !slices.Contains(w.topics, tp.Topic) {
				t.Fatalf("%v is shared out twice or to who does not want it: %v", tp, shares)
			}
			seen[tp] = true
			if protocol != "cooperative-sticky" || owners[tp] != 1 || slices.Contains(w.owned, tp) {
				continue
			}
			for _, o := range wishes {
				if slices.Contains(o.owned, tp) && slices.Contains(o.topics, tp.Topic) {
					t.Fatalf("%v is %s's and was given to %s", tp, o.id, w.id)
				}
			}
		}
	}
}

// The bytes of clients never panic, and what is understood is written as it
// was read.
func FuzzSubscription(f *testing.F) {
	sub := group.Subscription{Topics: []string{"t", "u"}, Owned: []group.TopicPartition{{Topic: "t", Partition: 3}}}
	f.Add(sub.Append(nil))
	f.Add([]byte{0, 3, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 1, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := group.ParseSubscription(b)
		if err != nil {
			if !errors.Is(err, group.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		again, err := group.ParseSubscription(s.Append(nil))
		if err != nil || !slices.Equal(s.Topics, again.Topics) || len(s.Owned) != len(again.Owned) {
			t.Fatalf("%+v, then %+v, %v", s, again, err)
		}
	})
}

func FuzzAssignment(f *testing.F) {
	f.Add(group.AppendAssignment(nil, []group.TopicPartition{{Topic: "t", Partition: 3}, {Topic: "t"}, {Topic: "u"}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := group.ParseAssignment(b)
		if err != nil {
			if !errors.Is(err, group.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		again, err := group.ParseAssignment(group.AppendAssignment(nil, list))
		slices.SortFunc(list, group.TopicPartition.Compare)
		if err != nil || !slices.Equal(list, again) {
			t.Fatalf("%v, then %v, %v", list, again, err)
		}
	})
}
