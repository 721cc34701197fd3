// Package config is the configuration of a node: one struct whose tags declare
// every flag of "chronik serve", its environment variable, its default and its
// help, once.
//
// The same setting can come from four places; the first that has it wins:
//
//	--data-dir /var/lib/chronik           the flag
//	CHRONIK_DATA_DIR=/var/lib/chronik     the environment
//	data-dir: /var/lib/chronik            the YAML file named by --config
//	./data                                the default
//
// Keys of the file are the names of the flags. A flag or key that does not
// exist fails with the nearest name that does. Validate judges the result; a
// Config that it accepted is read-only afterwards.
//
// Embed a Config in a kong command to get the flags; its BeforeResolve hook
// loads the file. Default is for code that wants a Config without a command
// line.
package config

import (
	"time"

	"github.com/alecthomas/kong"
)

// Config is everything that "chronik serve" can be told. The zero value is not
// valid: start from Default or from a parsed command line.
type Config struct {
	File string `name:"config" env:"CHRONIK_CONFIG" type:"path" placeholder:"FILE" help:"YAML file whose keys are these flags' names."`

	Node     `embed:"" group:"Node"`
	Cluster  `embed:"" group:"Cluster"`
	Topics   `embed:"" group:"Topics"`
	Limits   `embed:"" group:"Limits"`
	Storage  `embed:"" group:"Storage"`
	Logging  `embed:"" group:"Logging"`
	Security `embed:"" group:"Security"`
}

// Node is the node's identity and where it listens. Addresses are HOST:PORT;
// port 0 takes a free one.
type Node struct {
	NodeID  int32  `name:"node-id" env:"CHRONIK_NODE_ID" default:"1" help:"Name of this broker in the cluster, 1 or more."`
	DataDir string `name:"data-dir" env:"CHRONIK_DATA_DIR" default:"./data" help:"Directory of everything the node keeps; locked while it runs."`
	HTTP    string `name:"http" env:"CHRONIK_HTTP" default:"127.0.0.1:8080" help:"HTTP API."`
	Ops     string `name:"ops" env:"CHRONIK_OPS" placeholder:"HOST:PORT" help:"Serve health and metrics here instead of on the HTTP address."`
	Kafka   string `name:"kafka" env:"CHRONIK_KAFKA" default:"127.0.0.1:9092" help:"Kafka listener."`
	Peer    string `name:"peer" env:"CHRONIK_PEER" default:"127.0.0.1:7070" help:"Address for traffic between nodes."`

	HTTPAdvertise  string `name:"http-advertise" env:"CHRONIK_HTTP_ADVERTISE" placeholder:"HOST:PORT" help:"HTTP address told to others, if not the one listened on."`
	KafkaAdvertise string `name:"kafka-advertise" env:"CHRONIK_KAFKA_ADVERTISE" placeholder:"HOST:PORT" help:"Kafka address told to others."`
	PeerAdvertise  string `name:"peer-advertise" env:"CHRONIK_PEER_ADVERTISE" placeholder:"HOST:PORT" help:"Peer address told to others."`

	ShutdownTimeout time.Duration `name:"shutdown-timeout" env:"CHRONIK_SHUTDOWN_TIMEOUT" default:"30s" help:"How long requests may take to finish after SIGTERM."`
}

// Cluster is how the node finds others. With neither field set it is the only
// voter.
type Cluster struct {
	Peers []string `name:"peers" env:"CHRONIK_PEERS" placeholder:"ID@HOST:PORT" help:"First start of a static quorum: the same list on every node."`
	Join  string   `name:"join" env:"CHRONIK_JOIN" placeholder:"HOST:PORT" help:"Peer address of a node of a running cluster to enter."`
}

// Topics is what topics get that do not say otherwise.
type Topics struct {
	AutoCreateTopics         bool  `name:"auto-create-topics" env:"CHRONIK_AUTO_CREATE_TOPICS" default:"true" negatable:"" help:"Create a topic when something is first produced to it."`
	DefaultPartitions        int32 `name:"default-partitions" env:"CHRONIK_DEFAULT_PARTITIONS" default:"1" help:"Partitions of a topic created without a number."`
	DefaultReplicationFactor int16 `name:"default-replication-factor" env:"CHRONIK_DEFAULT_REPLICATION_FACTOR" default:"0" placeholder:"N" help:"Replicas of a topic created without a number; 0 is min(3, members)."`
	MinInsyncReplicas        int16 `name:"min-insync-replicas" env:"CHRONIK_MIN_INSYNC_REPLICAS" default:"0" placeholder:"N" help:"Synced copies that an acknowledgement needs; 0 is 2 with three or more replicas, else 1."`

	GroupInitialDelay time.Duration `name:"group-initial-delay" env:"CHRONIK_GROUP_INITIAL_DELAY" default:"3s" help:"How long an empty consumer group waits for more members before its first rebalance."`
}

// Limits bound what clients can make the node hold at once.
type Limits struct {
	MemoryLimit Bytes `name:"memory-limit" env:"CHRONIK_MEMORY_LIMIT" default:"0" help:"Memory that this process may use: sizes left at 0 are shares of it, and Go's collector keeps below. 0: nine tenths of the container's or the machine's, or GOMEMLIMIT."`

	MaxRecordBytes   Bytes `name:"max-record-bytes" env:"CHRONIK_MAX_RECORD_BYTES" default:"1MiB" help:"Largest record; beyond it 413."`
	MaxBatchBytes    Bytes `name:"max-batch-bytes" env:"CHRONIK_MAX_BATCH_BYTES" default:"10MiB" help:"Largest batch, compressed or not; beyond it 413."`
	MaxBatchRecords  int   `name:"max-batch-records" env:"CHRONIK_MAX_BATCH_RECORDS" default:"10000" help:"Most records in one batch."`
	MaxInFlightBytes Bytes `name:"max-in-flight-bytes" env:"CHRONIK_MAX_IN_FLIGHT_BYTES" default:"0" help:"Request bodies held at once; beyond it 429. 0: 256MiB, or a 16th of the memory where that is less."`
	MaxConnections   int   `name:"max-connections" env:"CHRONIK_MAX_CONNECTIONS" default:"16384" help:"Client connections held at once; more wait to be accepted."`
	MaxPartitions    int   `name:"max-partitions" env:"CHRONIK_MAX_PARTITIONS" default:"100000" help:"Partitions of all topics together."`
}

// Storage sizes what stands under the topics.
type Storage struct {
	TailCacheBytes         Bytes         `name:"tail-cache-bytes" env:"CHRONIK_TAIL_CACHE_BYTES" default:"0" help:"Memory for the newest batches of all partitions. 0: 128MiB, or a 16th of the memory."`
	JournalBytes           Bytes         `name:"journal-bytes" env:"CHRONIK_JOURNAL_BYTES" default:"64MiB" help:"Size of one file of the shared journal."`
	MaxUnwrittenBytes      Bytes         `name:"max-unwritten-bytes" env:"CHRONIK_MAX_UNWRITTEN_BYTES" default:"0" help:"Journaled bytes not yet in segments; beyond it producers wait. 0: 256MiB, or an 8th of the memory."`
	CompactionBytes        Bytes         `name:"compaction-bytes" env:"CHRONIK_COMPACTION_BYTES" default:"0" help:"Memory for the keys that one pass of compaction looks at. 0: 64MiB, or a 16th of the memory."`
	MaxOpenFiles           int           `name:"max-open-files" env:"CHRONIK_MAX_OPEN_FILES" default:"1024" help:"Segment files kept open."`
	RetentionCheckInterval time.Duration `name:"retention-check-interval" env:"CHRONIK_RETENTION_CHECK_INTERVAL" default:"1m" help:"How often retention and compaction look for work."`
}

// Logging is the node's own log, written to stderr.
type Logging struct {
	LogLevel  string `name:"log-level" env:"CHRONIK_LOG_LEVEL" enum:"debug,info,warn,error" default:"info" help:"One of ${enum}."`
	LogFormat string `name:"log-format" env:"CHRONIK_LOG_FORMAT" enum:"text,json" default:"text" help:"One of ${enum}."`
}

// Security is who may talk to the node.
type Security struct {
	Insecure     bool     `name:"insecure" env:"CHRONIK_INSECURE" help:"Listen beyond loopback although no authentication is configured."`
	AllowedHosts []string `name:"allowed-hosts" env:"CHRONIK_ALLOWED_HOSTS" placeholder:"HOST" help:"Host headers accepted besides loopback names and the listen and advertised addresses; * accepts all."`

	AllowedOrigins []string `name:"allowed-origins" env:"CHRONIK_ALLOWED_ORIGINS" placeholder:"SCHEME://HOST" help:"Origins of web pages that may change things here, besides this node's own."`

	TraceURL string `name:"trace-url" env:"CHRONIK_TRACE_URL" default:"http://127.0.0.1:16686/trace/{trace_id}" help:"Where the console's links to traces lead, such as a Jaeger; {trace_id} stands for the id. Empty: no links."`
}

// Default returns the configuration of a node that was told nothing. It reads
// neither the environment nor a file.
func Default() Config {
	var c Config
	parser := kong.Must(&c, kong.Exit(func(int) {}), kong.PostBuild(forgetEnvironment))
	if _, err := parser.Parse(nil); err != nil {
		panic("config: the defaults do not parse: " + err.Error())
	}
	return c
}

func forgetEnvironment(k *kong.Kong) error {
	for _, flag := range k.Model.Flags {
		flag.Envs, flag.Tag.Envs = nil, nil
	}
	return nil
}
