package group

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"maps"
	"regexp"
	"slices"
)

// maxRegex bounds a topic regex, in bytes.
const maxRegex = 8 << 10

// topicRegex is a subscription by regex, with the topics that it matches in the
// version of the catalog that the group has seen.
type topicRegex struct {
	re     *regexp.Regexp
	topics []string
}

// regex finds or compiles a regex: ErrInvalidRegex.
func (g *ConsumerGroup) regex(text string) (*topicRegex, error) {
	if r := g.regexes[text]; r != nil {
		return r, nil
	}
	if len(text) > maxRegex {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", ErrInvalidRegex, maxRegex)
	}
	// On its own first: "a)(b" would be one only between the brackets.
	if _, err := regexp.Compile(text); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidRegex, err)
	}
	re, err := regexp.Compile(`\A(?:` + text + `)\z`)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidRegex, err)
	}
	return &topicRegex{re: re}, nil
}

// firstEpoch is that of a group which has no members yet.
const firstEpoch = 1

// refresh looks at what the members subscribe to, if that or the topics have
// changed. The epoch moves on if it is to, or if there is something else to be
// shared out than there was.
func (g *ConsumerGroup) refresh(bump bool) {
	version := g.topics.Version()
	if !bump && !g.fresh && version == g.seen {
		return
	}
	g.resolve(g.fresh || version != g.seen)
	g.seen, g.fresh = version, false
	hash := g.hashTopics()
	if bump || hash != g.hash {
		g.epoch, g.hash = max(g.epoch, firstEpoch)+1, hash
		g.dirty.epoch = true
	}
}

// resolve matches the members' regexes; with again those that were matched
// before, too. Internal topics are topics, as in Kafka.
func (g *ConsumerGroup) resolve(again bool) {
	used := make(map[string]*topicRegex)
	var match []*topicRegex
	for _, m := range g.members {
		if m.regex == "" || used[m.regex] != nil {
			continue
		}
		r, err := g.regex(m.regex)
		if err != nil { // it was compiled before by another release
			r = &topicRegex{}
		}
		used[m.regex] = r
		if r.re != nil && (again || g.regexes[m.regex] == nil) {
			r.topics = nil
			match = append(match, r)
		}
	}
	g.regexes = used
	if len(match) == 0 {
		return
	}
	g.topics.Each(func(t CatalogTopic) {
		for _, r := range match {
			if r.re.MatchString(t.Name) {
				r.topics = append(r.topics, t.Name)
			}
		}
	})
}

// subscribed are the topics of a member that exist, by name.
func (g *ConsumerGroup) subscribed(m *consumerMember) map[string]CatalogTopic {
	found := make(map[string]CatalogTopic, len(m.names))
	note := func(names []string) {
		for _, name := range names {
			if t, ok := g.topics.Topic(name); ok {
				found[name] = t
			}
		}
	}
	note(m.names)
	if r := g.regexes[m.regex]; r != nil {
		note(r.topics)
	}
	return found
}

// hashTopics sums up which topics there are to be shared out; 0 for none. It is
// kept in the log, so it must not change from release to release.
func (g *ConsumerGroup) hashTopics() int64 {
	all := make(map[string]CatalogTopic)
	for _, m := range g.members {
		maps.Copy(all, g.subscribed(m))
	}
	if len(all) == 0 {
		return 0
	}
	h := fnv.New64a()
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t := all[name]
		b = appendText(b[:0], t.Name)
		b = append(b, t.ID[:]...)
		b = binary.BigEndian.AppendUint32(b, uint32(t.Partitions))
		_, _ = h.Write(b) // never fails (hash.Hash)
	}
	return int64(h.Sum64())
}
