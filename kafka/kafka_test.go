package kafka_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/chroniklog/chronik/kafka"
	"github.com/chroniklog/chronik/server/config"
	"github.com/chroniklog/chronik/server/coordinator"
	"github.com/chroniklog/chronik/server/group"
	"github.com/chroniklog/chronik/server/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// broker is a node with a Kafka listener.
type broker struct {
	*servertest.Node
	addr     string
	listener *kafka.Listener
	groups   *coordinator.Coordinator
}

// start starts a node and its listener, with what limits says.
func start(t *testing.T, limits kafka.Limits, opts ...servertest.Option) *broker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &broker{addr: l.Addr().String()}
	opts = append(opts, servertest.Unchecked(), servertest.WithConfig(func(c *config.Config) {
		c.KafkaAdvertise = b.addr
	}))
	b.Node = servertest.Start(t, opts...)
	b.groups = coordinator.New(coordinator.Options{
		Topics: b.Broker, Logs: b.Broker.LedLogs(), Node: 1, Now: time.Now, Partitions: 4,
		Group: group.Config{
			InitialDelay: 50 * time.Millisecond, MinSession: time.Millisecond, ConsumerHeartbeat: 50 * time.Millisecond,
			ConsumerSession: 2 * time.Second,
		},
	})
	b.listener = kafka.New(kafka.Options{
		Broker: b.Broker, Logs: b.Broker.LedLogs(), Groups: b.groups, Limits: limits,
	})
	served := make(chan error, 1)
	go func() { served <- b.listener.Serve(l) }()
	t.Cleanup(func() {
		b.groups.Close()
		if err := b.listener.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, kafka.ErrClosed) {
			t.Error(err)
		}
	})
	return b
}

// client makes a franz-go client of the node.
func (b *broker) client(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	opts = append([]kgo.Opt{kgo.SeedBrokers(b.addr), kgo.MetadataMinAge(10 * time.Millisecond)}, opts...)
	c, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// within bounds a test's waits.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
