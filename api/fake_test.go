package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/chroniklog/chronik/server"
)

// fakeBroker is a topic administration in memory; the data plane is not for
// these tests and panics through the nil interfaces.
type fakeBroker struct {
	appender
	reader
	backups
	mu       sync.Mutex
	topics   map[string]server.Topic
	err      error // returned by everything that can fail
	draining chan struct{}
	boom     bool // Cluster panics
	hang     bool // CreateTopic waits for its context
}

func (b *fakeBroker) CreateTopic(ctx context.Context, spec server.TopicSpec) (server.Topic, error) {
	if b.hang {
		<-ctx.Done()
		return server.Topic{}, fmt.Errorf("create topic: %w", ctx.Err())
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	t, err := b.create(spec)
	return t, err
}

func (b *fakeBroker) create(spec server.TopicSpec) (server.Topic, error) {
	switch _, exists := b.topics[spec.Name]; {
	case b.err != nil:
		return server.Topic{}, b.err
	case spec.Name == "" || spec.Name == ".." || len(spec.Name) > 249 || strings.ContainsAny(spec.Name, "/% \x00\x07"):
		return server.Topic{}, fmt.Errorf("topic %q: %w", clip(spec.Name), server.ErrInvalidTopic)
	case strings.HasPrefix(spec.Name, "__"):
		return server.Topic{}, fmt.Errorf("topic %s: %w", spec.Name, server.ErrReservedTopic)
	case exists:
		return server.Topic{}, fmt.Errorf("topic %s: %w", spec.Name, server.ErrTopicExists)
	}
	t := server.Topic{
		ID: server.TopicID{15: byte(len(b.topics) + 1)}, Name: spec.Name,
		Partitions: max(spec.Partitions, 1), ReplicationFactor: max(spec.ReplicationFactor, 1),
		Configs: spec.Configs, CreatedAt: time.UnixMilli(1767225600000),
	}
	if b.topics == nil {
		b.topics = make(map[string]server.Topic)
	}
	b.topics[spec.Name] = t
	return t, nil
}

func (b *fakeBroker) EnsureTopic(_ context.Context, spec server.TopicSpec) (server.Topic, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t, ok := b.topics[spec.Name]; ok {
		return t, false, b.err
	}
	t, err := b.create(spec)
	return t, err == nil, err
}

func (b *fakeBroker) DeleteTopic(_ context.Context, name string) error {
	if _, err := b.Topic(name); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.topics, name)
	return nil
}

func (b *fakeBroker) AlterConfigs(_ context.Context, name string, configs map[string]*string) (server.Topic, error) {
	t, err := b.Topic(name)
	if err != nil {
		return t, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	t.Configs = maps.Clone(t.Configs)
	if t.Configs == nil {
		t.Configs = make(map[string]string)
	}
	for name, v := range configs {
		if v == nil {
			delete(t.Configs, name)
			continue
		}
		if !strings.Contains(name, ".") {
			return t, fmt.Errorf("config %s: %w", name, server.ErrInvalidConfig)
		}
		t.Configs[name] = *v
	}
	b.topics[name] = t
	return t, nil
}

func (b *fakeBroker) AddPartitions(_ context.Context, name string, g server.Growth) (server.Topic, error) {
	t, err := b.Topic(name)
	if err != nil {
		return t, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if g.Total <= t.Partitions {
		return t, fmt.Errorf("topic %s has %d: %w", name, t.Partitions, server.ErrInvalidPartitions)
	}
	t.Partitions = g.Total
	b.topics[name] = t
	return t, nil
}

func (b *fakeBroker) Topic(name string) (server.Topic, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t, ok := b.topics[name]
	switch {
	case b.err != nil:
		return t, b.err
	case !ok:
		return t, fmt.Errorf("topic %q: %w", clip(name), server.ErrUnknownTopic)
	}
	return t, nil
}

func (b *fakeBroker) TopicByID(server.TopicID) (server.Topic, error) {
	return server.Topic{}, server.ErrUnknownTopic
}

func (b *fakeBroker) Topics(prefix, after string, limit int) (list []server.Topic, more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(b.topics)) {
		if !strings.HasPrefix(name, prefix) || name <= after {
			continue
		}
		if len(list) == limit {
			return list, true
		}
		list = append(list, b.topics[name])
	}
	return list, false
}

func (b *fakeBroker) DescribeConfigs(t server.Topic) []server.ConfigEntry {
	v, set := t.Configs["retention.ms"]
	if !set {
		v = "604800000"
	}
	return []server.ConfigEntry{{Name: "retention.ms", Value: v, Default: "604800000", IsDefault: !set}}
}

func (b *fakeBroker) Partitions(ctx context.Context, topic string) ([]server.PartitionInfo, error) {
	t, err := b.Topic(topic)
	if err != nil {
		return nil, err
	}
	list := make([]server.PartitionInfo, t.Partitions)
	for i := range list {
		list[i], err = b.Partition(ctx, topic, int32(i))
	}
	return list, err
}

func (b *fakeBroker) Partition(_ context.Context, topic string, p int32) (server.PartitionInfo, error) {
	t, err := b.Topic(topic)
	if err == nil && p >= t.Partitions {
		err = fmt.Errorf("topic %s partition %d: %w", topic, p, server.ErrUnknownPartition)
	}
	info := server.PartitionInfo{Partition: p, Leader: 1, Replicas: []int32{1}, ISR: []int32{1}, OffsetsKnown: p != 1}
	info.Offsets.HighWatermark, info.Offsets.LastStable = 50, 50
	return info, err
}

func (b *fakeBroker) Cluster() server.ClusterInfo {
	if b.boom {
		panic("secret of the house")
	}
	return server.ClusterInfo{
		ClusterID: "c", NodeID: 1, Controller: 1,
		Nodes: []server.NodeInfo{{ID: 1, HTTP: "127.0.0.1:8080", Kafka: "127.0.0.1:9092", Peer: "127.0.0.1:7070", Alive: true}},
	}
}

func (b *fakeBroker) Draining() <-chan struct{} { return b.draining }

func testDeps(t testing.TB, b Broker) Deps {
	t.Helper()
	r := prometheus.NewRegistry()
	return Deps{
		Broker: b, Logger: slog.New(slog.DiscardHandler), Registry: r, Gatherer: r, Version: "test",
	}
}

// contractSpec loads openapi.yaml once for the package's tests.
var contractSpec = sync.OnceValues(func() (validator.Validator, error) {
	text, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		return nil, err
	}
	doc, err := libopenapi.NewDocument(text)
	if err != nil {
		return nil, err
	}
	v, errs := validator.NewValidator(doc)
	if len(errs) > 0 {
		return nil, fmt.Errorf("openapi.yaml: %v", errs)
	}
	return v, nil
})

// exchange is one request and its answer.
type exchange struct {
	method, path, body string
	header             map[string]string
	bad                bool // the request itself breaks the description
}

// do serves the exchange and holds it against openapi.yaml.
func (e exchange) do(t *testing.T, h http.Handler) *httptest.ResponseRecorder {
	t.Helper()
	build := func() *http.Request {
		r := httptest.NewRequest(e.method, e.path, strings.NewReader(e.body))
		r.Host = "127.0.0.1:8080"
		if e.body != "" && e.header["Content-Type"] == "" {
			r.Header.Set("Content-Type", "application/json")
		}
		for k, v := range e.header {
			r.Header.Set(k, v)
		}
		return r
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, build())
	v, err := contractSpec()
	if err != nil {
		t.Fatal(err)
	}
	if !e.bad {
		if ok, errs := v.ValidateHttpRequestSync(build()); !ok {
			t.Errorf("%s %s: the request breaks openapi.yaml: %v", e.method, e.path, errs)
		}
	}
	resp := w.Result()
	resp.Body = io.NopCloser(bytes.NewReader(w.Body.Bytes()))
	if w.Code == http.StatusMethodNotAllowed || e.method == http.MethodHead {
		return w // not an operation; a HEAD answer has no body
	}
	if ok, errs := v.ValidateHttpResponse(build(), resp); !ok && !unrouted(w) {
		for _, e := range errs {
			t.Errorf("%s: %s", e.Message, e.Reason)
		}
		t.Errorf("%s %s: the answer %d breaks openapi.yaml: %s", e.method, e.path, w.Code, w.Body)
	}
	return w
}

// unrouted tells answers for paths that are no operation's.
func unrouted(w *httptest.ResponseRecorder) bool {
	return strings.Contains(w.Body.String(), `"code":"not_found"`)
}
