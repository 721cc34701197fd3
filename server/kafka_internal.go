package server

import (
	"context"
	"errors"
	"fmt"
)

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
