package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/chroniklog/chronik/raft/meta"
)

// clientPart finds a partition that clients may write to: the broker's own
// topics are its own to write.
func (b *Broker) clientPart(topic string, p int32) (*entry, *part, error) {
	e, part, err := b.dir.part(topic, p)
	if err == nil && e.topic.Internal {
		return nil, nil, fmt.Errorf("append %s/%d: %w", topic, p, ErrReservedTopic)
	}
	return e, part, err
}

// EnsureInternalTopic returns a topic of the broker's own, whose name begins
// with "__", and creates it if it does not exist. It returns when every
// partition is led.
func (b *Broker) EnsureInternalTopic(ctx context.Context, spec TopicSpec) (Topic, error) {
	if e, err := b.dir.topic(spec.Name); err == nil {
		return e.topic, nil
	}
	if err := CheckTopicName(spec.Name); err != nil {
		return Topic{}, err
	}
	if !ReservedTopic(spec.Name) {
		return Topic{}, fmt.Errorf("%w: %q is no internal name", ErrInvalidTopic, spec.Name)
	}
	t, err := b.createTopic(ctx, spec, true)
	if !errors.Is(err, ErrTopicExists) {
		return t, err
	}
	// Another request, perhaps on another node, was faster: wait until it shows.
	if err := b.awaitLed(ctx, func() *entry { e, _ := b.dir.topic(spec.Name); return e }); err != nil {
		return Topic{}, fmt.Errorf("create topic %q: %w", spec.Name, err)
	}
	return b.Topic(spec.Name)
}

// Secret is the cluster's secret, which signs what nodes hand to clients and
// take back. Read-only.
func (b *Broker) Secret() (secret []byte) {
	b.meta.View(func(img *meta.Image) { secret = img.ClusterInfo().Secret })
	return secret
}
