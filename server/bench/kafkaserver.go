package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// kafkaServer is a node, or a cluster of three, that speaks Kafka.
type kafkaServer struct {
	name  string
	seeds []string // where it listens
	nodes []*process
}

func (s *kafkaServer) cpu() float64 {
	total := 0.0
	for _, p := range s.nodes {
		total += processCPU(p.pid())
	}
	return total
}

// resident is the resident memory of all nodes.
func (s *kafkaServer) resident() float64 {
	total := 0.0
	for _, p := range s.nodes {
		total += float64(residentBytes(p.pid()))
	}
	return total
}

func (s *kafkaServer) kill() {
	for _, p := range s.nodes {
		p.kill()
	}
}

// logs are the last lines of what the nodes said.
func (s *kafkaServer) logs() string {
	var b strings.Builder
	for _, p := range s.nodes {
		fmt.Fprintf(&b, "\n%s: %s", p.name, tail(p.log.Name()))
	}
	return b.String()
}

// jvmOptions are those of Apache Kafka's own start script, except that the heap
// may begin small: it is bounded by 1 GiB, as there, and grows as it is used.
var jvmOptions = []string{
	"-Xmx1g", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
	"-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true",
}

// kafkaProperties are defaults, but for the addresses, what a single node
// needs, and deleted files, which go at once instead of after a minute: they
// would be written back during another server's turn.
const kafkaProperties = `process.roles=broker,controller
node.id=%[1]d
controller.quorum.voters=%[2]s
listeners=PLAINTEXT://%[3]s,CONTROLLER://%[4]s
advertised.listeners=PLAINTEXT://%[3]s
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=%[5]s
offsets.topic.replication.factor=%[6]d
transaction.state.log.replication.factor=%[6]d
transaction.state.log.min.isr=%[7]d
min.insync.replicas=%[7]d
log.segment.delete.delay.ms=0
`

// fetchJars has Maven fetch Apache Kafka, unless its jars are there.
func (b *bench) fetchJars(ctx context.Context, jars, pom string) (err error) {
	if b.jars, err = filepath.Abs(jars); err != nil {
		return err
	}
	java, err := exec.LookPath("java")
	if err != nil {
		return errors.New("no java in PATH: install a JDK of 17 or newer (openjdk-17-jdk-headless)")
	}
	b.java = java
	if found, _ := filepath.Glob(filepath.Join(b.jars, "kafka_*.jar")); len(found) > 0 {
		return nil
	}
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return fmt.Errorf("no mvn in PATH to fetch Apache Kafka into %s: install Maven (maven)", b.jars)
	}
	b.say("Maven fetches Apache Kafka into %s", b.jars)
	cmd := exec.CommandContext(ctx, mvn, "-q", "-B", "-f", pom, "dependency:copy-dependencies",
		"-DincludeScope=runtime", "-DoutputDirectory="+b.jars)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("fetch Apache Kafka: %w", err)
	}
	return nil
}

// kafkaClass is the command line of one of Apache Kafka's programs.
func (b *bench) kafkaClass(jvm []string, class string, args ...string) []string {
	all := append([]string{}, jvm...)
	return append(append(all, "-cp", b.jars+"/*", class), args...)
}

// startKafka starts Apache Kafka: nodes brokers that are controllers, too.
func (b *bench) startKafka(ctx context.Context, name string, nodes int, more string) (*kafkaServer, error) {
	host := loopback()
	s := &kafkaServer{name: name}
	var controllers, voters []string
	for i := range nodes {
		for _, list := range []*[]string{&s.seeds, &controllers} {
			address, err := freeOn(host)
			if err != nil {
				return nil, err
			}
			*list = append(*list, address)
		}
		voters = append(voters, fmt.Sprintf("%d@%s", i+1, controllers[i]))
	}
	for i := range nodes {
		node := fmt.Sprintf("%s-%d", name, i+1)
		file := b.file(node + ".properties")
		text := fmt.Sprintf(kafkaProperties, i+1, strings.Join(voters, ","), s.seeds[i], controllers[i],
			b.file("data-"+node), nodes, min(nodes, 2))
		if err := os.WriteFile(file, []byte(text+more), 0o600); err != nil {
			return nil, err
		}
		format := b.kafkaClass([]string{"-Xmx256m", "-XX:TieredStopAtLevel=1"}, "kafka.tools.StorageTool", "format",
			"-t", "AAAAAAAAQACAAAAAAAAAAQ", "-c", file)
		if said, err := exec.CommandContext(ctx, b.java, format...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("format %s: %w: %s", node, err, said)
		}
		p, err := b.start(node, s.seeds[i], b.java, b.kafkaClass(jvmOptions, "kafka.Kafka", file)...)
		if err != nil {
			return nil, err
		}
		s.nodes = append(s.nodes, p)
	}
	return s, s.ready(ctx)
}

// startChronik starts one node, or a cluster of three.
func (b *bench) startChronik(ctx context.Context, name string, nodes int) (*kafkaServer, error) {
	host := loopback()
	addresses := make([]string, 3*nodes) // HTTP, peer and Kafka of each node
	for i := range addresses {
		var err error
		if addresses[i], err = freeOn(host); err != nil {
			return nil, err
		}
	}
	s := &kafkaServer{name: name}
	var founders []string
	for i := range nodes {
		founders = append(founders, fmt.Sprintf("%d@%s", i+1, addresses[3*i+1]))
	}
	for i := range nodes {
		node := fmt.Sprintf("%s-%d", name, i+1)
		args := []string{
			"serve", "--node-id", fmt.Sprint(i + 1), "--data-dir", b.file("data-" + node), "--http", addresses[3*i],
			"--peer", addresses[3*i+1], "--kafka", addresses[3*i+2], "--log-level", "warn",
		}
		if nodes > 1 {
			args = append(args, "--peers", strings.Join(founders, ","))
		}
		p, err := b.start(node, addresses[3*i], b.chronik, args...)
		if err != nil {
			return nil, err
		}
		s.nodes, s.seeds = append(s.nodes, p), append(s.seeds, addresses[3*i+2])
	}
	return s, s.ready(ctx)
}

// ready waits until every node is known to the cluster's metadata.
func (s *kafkaServer) ready(ctx context.Context) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	defer client.Close()
	return s.nodes[0].ready(ctx, func() error {
		for _, p := range s.nodes {
			select {
			case <-p.ended:
				return fmt.Errorf("%s ended", p.name)
			default:
			}
		}
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		resp, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, client)
		if err == nil && len(resp.Brokers) < len(s.nodes) {
			err = fmt.Errorf("%d brokers of %d", len(resp.Brokers), len(s.nodes))
		}
		return err
	})
}

func (s *kafkaServer) client() (*kgo.Client, error) {
	return kgo.NewClient(kgo.SeedBrokers(s.seeds...), kgo.MetadataMinAge(10*time.Millisecond))
}

// create makes a topic with a replica on every node and waits until all of
// them are in sync.
func (s *kafkaServer) create(ctx context.Context, topic string, partitions int) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	defer client.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, int32(partitions), int16(len(s.nodes))
	req.Topics, req.TimeoutMillis = append(req.Topics, t), 30_000
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	if err := kafkaError(resp.Topics[0].ErrorCode); err != nil {
		return fmt.Errorf("create %s: %w", topic, err)
	}
	return await(ctx, topic+" in sync", func(ctx context.Context) (bool, error) {
		req := kmsg.NewPtrMetadataRequest()
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &topic
		req.Topics = append(req.Topics, t)
		resp, err := req.RequestWith(ctx, client)
		if err != nil || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != partitions {
			return false, err
		}
		for _, p := range resp.Topics[0].Partitions {
			if p.ErrorCode != 0 || p.Leader < 0 || len(p.ISR) != len(s.nodes) {
				return false, kafkaError(p.ErrorCode)
			}
		}
		return true, nil
	})
}

// remove deletes a topic.
func (s *kafkaServer) remove(ctx context.Context, topic string) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	defer client.Close()
	req := kmsg.NewPtrDeleteTopicsRequest()
	t := kmsg.NewDeleteTopicsRequestTopic()
	t.Topic = &topic
	req.TopicNames, req.Topics, req.TimeoutMillis = []string{topic}, append(req.Topics, t), 30_000
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	return kafkaError(resp.Topics[0].ErrorCode)
}
