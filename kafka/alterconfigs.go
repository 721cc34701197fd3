package kafka

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/topicconfig"
)

// resource is what a request alters: AlterConfigs and IncrementalAlterConfigs
// differ only in how its changes are read.
type resource struct {
	kind kmsg.ConfigResourceType
	name string
}

// alterConfigs answers AlterConfigs: the configs given replace all that the
// topic has set.
func (k *Listener) alterConfigs(ctx context.Context, req *kmsg.AlterConfigsRequest) kmsg.Response {
	resp := kmsg.NewPtrAlterConfigsResponse()
	seen := make(map[resource]bool)
	for i := range req.Resources {
		want := &req.Resources[i]
		r := resource{want.ResourceType, want.ResourceName}
		err := k.alter(ctx, r, seen, req.ValidateOnly, func(t server.Topic) (map[string]*string, error) {
			return replacement(t, want.Configs)
		})
		answer := kmsg.NewAlterConfigsResponseResource()
		answer.ResourceType, answer.ResourceName = r.kind, r.name
		answer.ErrorCode, answer.ErrorMessage = requestCode(err), requestMessage(err)
		resp.Resources = append(resp.Resources, answer)
	}
	return resp
}

// replacement takes every config that is not given back to its default.
func replacement(t server.Topic, configs []kmsg.AlterConfigsRequestResourceConfig) (map[string]*string, error) {
	changes := make(map[string]*string)
	for name := range t.Configs {
		changes[name] = nil
	}
	for _, c := range configs {
		if c.Value == nil {
			return nil, fmt.Errorf("%w: the value of %s is null", errResource, c.Name)
		}
		changes[c.Name] = c.Value
	}
	return changes, nil
}

// incrementalAlterConfigs answers IncrementalAlterConfigs (KIP-339).
func (k *Listener) incrementalAlterConfigs(ctx context.Context, req *kmsg.IncrementalAlterConfigsRequest,
) kmsg.Response {
	resp := kmsg.NewPtrIncrementalAlterConfigsResponse()
	seen := make(map[resource]bool)
	for i := range req.Resources {
		want := &req.Resources[i]
		r := resource{want.ResourceType, want.ResourceName}
		err := k.alter(ctx, r, seen, req.ValidateOnly, func(t server.Topic) (map[string]*string, error) {
			return k.increments(t, want.Configs)
		})
		answer := kmsg.NewIncrementalAlterConfigsResponseResource()
		answer.ResourceType, answer.ResourceName = r.kind, r.name
		answer.ErrorCode, answer.ErrorMessage = requestCode(err), requestMessage(err)
		resp.Resources = append(resp.Resources, answer)
	}
	return resp
}

// increments reads the operations on one topic.
func (k *Listener) increments(t server.Topic, configs []kmsg.IncrementalAlterConfigsRequestResourceConfig,
) (map[string]*string, error) {
	changes := make(map[string]*string)
	for i := range configs {
		c := &configs[i]
		if _, twice := changes[c.Name]; twice {
			return nil, fmt.Errorf("%w: %s is changed twice", errResource, c.Name)
		}
		switch {
		case c.Op == kmsg.IncrementalAlterConfigOpDelete:
			changes[c.Name] = nil
		case c.Value == nil:
			return nil, fmt.Errorf("%w: the value of %s is null", errResource, c.Name)
		case c.Op == kmsg.IncrementalAlterConfigOpSet:
			changes[c.Name] = c.Value
		case c.Op == kmsg.IncrementalAlterConfigOpAppend, c.Op == kmsg.IncrementalAlterConfigOpSubtract:
			value, err := k.editList(t, c)
			if err != nil {
				return nil, err
			}
			changes[c.Name] = &value
		default:
			return nil, fmt.Errorf("%w: unknown operation %d", errResource, c.Op)
		}
	}
	return changes, nil
}

// editList adds words to a config that is a list, or takes them out.
func (k *Listener) editList(t server.Topic, c *kmsg.IncrementalAlterConfigsRequestResourceConfig) (string, error) {
	for _, d := range topicconfig.Describe(nil, int32(t.ReplicationFactor)) {
		if d.Name == c.Name && d.Kind != topicconfig.KindList {
			return "", fmt.Errorf("%w: %s is no list", server.ErrInvalidConfig, c.Name)
		}
	}
	var words []string
	for _, e := range k.broker.DescribeConfigs(t) {
		if e.Name == c.Name && e.Value != "" {
			words = strings.Split(e.Value, ",")
		}
	}
	for _, w := range strings.Split(*c.Value, ",") {
		w = strings.TrimSpace(w)
		switch i := slices.Index(words, w); {
		case c.Op == kmsg.IncrementalAlterConfigOpAppend && i < 0:
			words = append(words, w)
		case c.Op == kmsg.IncrementalAlterConfigOpSubtract && i >= 0:
			words = slices.Delete(words, i, i+1)
		}
	}
	return strings.Join(words, ","), nil
}

// alter changes one resource's configs, or only judges the change.
func (k *Listener) alter(ctx context.Context, r resource, seen map[resource]bool, validateOnly bool,
	read func(server.Topic) (map[string]*string, error),
) error {
	if seen[r] {
		return fmt.Errorf("%w: the resource is named twice", errResource)
	}
	seen[r] = true
	if r.kind != kmsg.ConfigResourceTypeTopic {
		return fmt.Errorf("%w: only topics' configs can be altered; a node's settings are its flags", errResource)
	}
	t, err := k.broker.Topic(r.name)
	if err != nil {
		return err
	}
	changes, err := read(t)
	if err != nil {
		return err
	}
	if !validateOnly {
		ctx, cancel := context.WithTimeout(ctx, alterTimeout)
		defer cancel()
		_, err = k.broker.AlterConfigs(ctx, r.name, changes)
		return err
	}
	merged := maps.Clone(t.Configs)
	if merged == nil {
		merged = make(map[string]string)
	}
	for name, value := range changes {
		if value != nil {
			merged[name] = *value
			continue
		}
		if err := topicconfig.CheckName(name); err != nil {
			return err
		}
		delete(merged, name)
	}
	return topicconfig.Check(merged, int32(t.ReplicationFactor))
}

// alterTimeout bounds a change of configs, whose request has no timeout.
const alterTimeout = allocateTimeout
