package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/topicconfig"
)

// errResource is a resource that has no configs here, or a request about one
// that contradicts itself.
var errResource = errors.New("invalid config request")

// brokerConfig is what Kafka's brokers call the default of a topic config, and
// the type that Kafka gives it where that is not the kind's.
type brokerConfig struct {
	topic, broker string
	typ           kmsg.ConfigType // 0: the kind's
}

var brokerConfigs = [...]brokerConfig{
	{"cleanup.policy", "log.cleanup.policy", 0},
	{"compression.type", "compression.type", 0},
	{"delete.retention.ms", "log.cleaner.delete.retention.ms", 0},
	{"flush.messages", "log.flush.interval.messages", 0},
	{"flush.ms", "log.flush.interval.ms", 0},
	{"max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms", 0},
	{"max.message.bytes", "message.max.bytes", kmsg.ConfigTypeInt},
	{"message.timestamp.after.max.ms", "log.message.timestamp.after.max.ms", 0},
	{"message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms", 0},
	{"message.timestamp.type", "log.message.timestamp.type", 0},
	{"min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio", 0},
	{"min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms", 0},
	{"min.insync.replicas", minInsync, kmsg.ConfigTypeInt},
	{"preallocate", "log.preallocate", 0},
	{"retention.bytes", "log.retention.bytes", 0},
	{"retention.ms", "log.retention.ms", 0},
	{"segment.bytes", "log.segment.bytes", kmsg.ConfigTypeInt},
	{"segment.ms", "log.roll.ms", 0},
	{"unclean.leader.election.enable", "unclean.leader.election.enable", 0},
}

// minInsync is the one topic config whose default is a flag of the node.
const minInsync = "min.insync.replicas"

func brokerConfigOf(topic string) brokerConfig {
	for _, b := range brokerConfigs {
		if b.topic == topic {
			return b
		}
	}
	return brokerConfig{topic: topic}
}

// typeOf is Kafka's type of a topic config.
func typeOf(kind topicconfig.Kind, b brokerConfig) kmsg.ConfigType {
	if b.typ != 0 {
		return b.typ
	}
	switch kind {
	case topicconfig.KindInt:
		return kmsg.ConfigTypeLong
	case topicconfig.KindBool:
		return kmsg.ConfigTypeBoolean
	case topicconfig.KindList:
		return kmsg.ConfigTypeList
	case topicconfig.KindRatio:
		return kmsg.ConfigTypeDouble
	case topicconfig.KindEnum:
	}
	return kmsg.ConfigTypeString
}

// sourceOf tells where a topic config's value comes from.
func (k *Listener) sourceOf(e *server.ConfigEntry) kmsg.ConfigSource {
	switch {
	case !e.IsDefault:
		return kmsg.ConfigSourceDynamicTopicConfig
	case k.fromFlag(e.Name):
		return kmsg.ConfigSourceStaticBrokerConfig
	}
	return kmsg.ConfigSourceDefaultConfig
}

// fromFlag tells whether the node's operator chose a topic config's default.
func (k *Listener) fromFlag(name string) bool {
	return name == minInsync && slices.ContainsFunc(k.settings, func(s Setting) bool { return s.Name == name && s.Set })
}

// describeConfigs answers DescribeConfigs.
func (k *Listener) describeConfigs(_ context.Context, req *kmsg.DescribeConfigsRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeConfigsResponse()
	type resource struct {
		kind kmsg.ConfigResourceType
		name string
	}
	asked := once[resource]{}
	for i := range req.Resources {
		want := &req.Resources[i]
		if asked.again(resource{want.ResourceType, want.ResourceName}) {
			continue
		}
		answer := kmsg.NewDescribeConfigsResponseResource()
		answer.ResourceType, answer.ResourceName = want.ResourceType, want.ResourceName
		all, err := k.configsOf(want)
		answer.ErrorCode, answer.ErrorMessage = requestCode(err), requestMessage(err)
		for _, c := range all {
			if want.ConfigNames != nil && !slices.Contains(want.ConfigNames, c.Name) {
				continue
			}
			if !req.IncludeSynonyms {
				c.ConfigSynonyms = nil
			}
			if !req.IncludeDocumentation {
				c.Documentation = nil
			}
			answer.Configs = append(answer.Configs, c)
		}
		resp.Resources = append(resp.Resources, answer)
	}
	return resp
}

func (k *Listener) configsOf(want *kmsg.DescribeConfigsRequestResource,
) ([]kmsg.DescribeConfigsResponseResourceConfig, error) {
	switch want.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		t, err := k.broker.Topic(want.ResourceName)
		if err != nil {
			return nil, err
		}
		return k.topicConfigs(t), nil
	case kmsg.ConfigResourceTypeBroker:
		if want.ResourceName == "" {
			return nil, nil // the cluster-wide dynamic defaults: there are none
		}
		if err := k.checkNode(want.ResourceName); err != nil {
			return nil, err
		}
		return k.nodeConfigs(), nil
	}
	return nil, fmt.Errorf("%w: there are no configs of resource type %d", errResource, want.ResourceType)
}

// checkNode judges the name of a broker resource: it must be this node's id.
func (k *Listener) checkNode(name string) error {
	id, err := strconv.ParseInt(name, 10, 32)
	if own := k.broker.Cluster().NodeID; err != nil || int32(id) != own {
		return fmt.Errorf("%w: broker %q was asked of broker %d", errResource, name, own)
	}
	return nil
}

// topicConfigs describes a topic's configs.
func (k *Listener) topicConfigs(t server.Topic) []kmsg.DescribeConfigsResponseResourceConfig {
	details := topicconfig.Describe(nil, int32(t.ReplicationFactor))
	entries := k.broker.DescribeConfigs(t)
	list := make([]kmsg.DescribeConfigsResponseResourceConfig, 0, len(entries))
	for i := range entries {
		e := &entries[i]
		c := kmsg.NewDescribeConfigsResponseResourceConfig()
		c.Name, c.Value, c.IsDefault, c.Source = e.Name, &e.Value, e.IsDefault, k.sourceOf(e)
		b := brokerConfigOf(e.Name)
		for _, d := range details {
			if d.Name == e.Name {
				c.ConfigType, c.Documentation = typeOf(d.Kind, b), kmsg.StringPtr(d.Doc)
				c.ConfigSynonyms = k.synonyms(e, b, d.Default)
			}
		}
		list = append(list, c)
	}
	return list
}

// synonyms are the values that a config would have, the effective one first:
// the topic's, the node's flag, the built-in default.
func (k *Listener) synonyms(e *server.ConfigEntry, b brokerConfig, builtIn string,
) (list []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym) {
	add := func(name, value string, source kmsg.ConfigSource) {
		s := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
		s.Name, s.Value, s.Source = name, kmsg.StringPtr(value), source
		list = append(list, s)
	}
	if !e.IsDefault {
		add(e.Name, e.Value, kmsg.ConfigSourceDynamicTopicConfig)
	}
	if b.broker == "" {
		return list
	}
	if k.fromFlag(e.Name) {
		add(b.broker, e.Default, kmsg.ConfigSourceStaticBrokerConfig)
	}
	add(b.broker, builtIn, kmsg.ConfigSourceDefaultConfig)
	return list
}

// nodeConfigs describes the node's own settings, which only its operator
// changes.
func (k *Listener) nodeConfigs() []kmsg.DescribeConfigsResponseResourceConfig {
	list := make([]kmsg.DescribeConfigsResponseResourceConfig, 0, len(k.settings))
	for i := range k.settings {
		s := &k.settings[i]
		c := kmsg.NewDescribeConfigsResponseResourceConfig()
		c.Name, c.Value, c.ReadOnly, c.IsDefault = s.Name, &s.Value, true, !s.Set
		c.Source, c.ConfigType = kmsg.ConfigSourceDefaultConfig, s.Type
		if s.Set {
			c.Source = kmsg.ConfigSourceStaticBrokerConfig
		}
		synonym := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
		synonym.Name, synonym.Value, synonym.Source = s.Name, &s.Value, c.Source
		c.ConfigSynonyms = append(c.ConfigSynonyms, synonym)
		list = append(list, c)
	}
	return list
}

// setting is the value of one of the node's own settings, empty if it has
// none.
func (k *Listener) setting(name string) string {
	for i := range k.settings {
		if k.settings[i].Name == name {
			return k.settings[i].Value
		}
	}
	return ""
}
