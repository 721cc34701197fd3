package node

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/kafka"
)

// kafkaServer is the listener of Kafka clients.
type kafkaServer struct {
	listener net.Listener
	conns    *connCounter
	k        *kafka.Listener
	done     chan error // Serve's end; nil before serve
}

// bindKafka takes the address. Clients that connect before the node is ready
// wait in the kernel's backlog.
func (n *Node) bindKafka(conns *connCounter) error {
	l, err := listen("kafka", n.cfg.Kafka)
	if err != nil {
		return err
	}
	n.kafka = &kafkaServer{listener: l, conns: conns}
	return nil
}

// serveKafka begins to answer.
func (n *Node) serveKafka() {
	s := n.kafka
	s.k = kafka.New(kafka.Options{
		Broker: n.broker, Logs: n.broker.LedLogs(), Groups: n.groups,
		Logger: n.log.With("part", "kafka"), Registry: n.registry,
		Tracer:   n.tracing.Tracer(),
		Limits:   kafka.Limits{InFlightBytes: int64(n.cfg.MaxInFlightBytes)},
		Settings: n.kafkaSettings(),
	})
	s.done = make(chan error, 1)
	go func() {
		err := s.k.Serve(s.conns.limit(s.listener))
		if errors.Is(err, kafka.ErrClosed) {
			err = nil
		}
		s.done <- err
	}()
}

// shutdown stops accepting, answers what was read until ctx ends, then cuts
// what is left.
func (s *kafkaServer) shutdown(ctx context.Context) error {
	return errors.Join(s.k.Shutdown(ctx), <-s.done)
}

// close cuts every connection.
func (s *kafkaServer) close() error {
	if s.done == nil {
		return s.listener.Close()
	}
	return errors.Join(s.k.Close(), <-s.done)
}

// KafkaAddr is the address of the Kafka listener as it was bound.
func (n *Node) KafkaAddr() string { return n.kafka.listener.Addr().String() }

// kafkaSettings are the node's settings that Kafka has a name for, by name.
func (n *Node) kafkaSettings() []kafka.Setting {
	c := &n.cfg
	list := func(name, value string, set bool) kafka.Setting {
		return kafka.Setting{Name: name, Value: value, Type: kmsg.ConfigTypeList, Set: set}
	}
	number := func(name string, value int64, set bool) kafka.Setting {
		return kafka.Setting{Name: name, Value: strconv.FormatInt(value, 10), Type: kmsg.ConfigTypeInt, Set: set}
	}
	own := "PLAINTEXT://" + advertised(c.KafkaAdvertise, n.KafkaAddr())
	return []kafka.Setting{
		list("advertised.listeners", own, c.KafkaAdvertise != ""),
		{
			Name: "auto.create.topics.enable", Value: strconv.FormatBool(c.AutoCreateTopics),
			Type: kmsg.ConfigTypeBoolean, Set: !c.AutoCreateTopics,
		},
		number("broker.id", int64(c.NodeID), true),
		number("default.replication.factor", max(int64(c.DefaultReplicationFactor), 1), c.DefaultReplicationFactor > 0),
		list("listeners", "PLAINTEXT://"+n.KafkaAddr(), true),
		list("log.dirs", strings.TrimSuffix(c.DataDir, "/"), true),
		number("max.connections", int64(c.MaxConnections), false),
		number("min.insync.replicas", max(int64(c.MinInsyncReplicas), 1), c.MinInsyncReplicas > 0),
		number("node.id", int64(c.NodeID), true),
		number("num.partitions", int64(c.DefaultPartitions), c.DefaultPartitions > 1),
	}
}
