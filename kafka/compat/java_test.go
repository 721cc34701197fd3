package compat

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// jars fetches Apache Kafka's jars and returns their folder.
func jars(t *testing.T) string {
	t.Helper()
	need(t, "java", "a JDK of 17 or newer (openjdk-17-jdk-headless)")
	need(t, "mvn", "Maven (maven)")
	dir := workDir(t, "java")
	pom, err := os.ReadFile("testdata/pom.xml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pom.xml"), pom, 0o644); err != nil {
		t.Fatal(err)
	}
	command{dir: dir, limit: 10 * time.Minute}.must(t, "mvn", "-q", "-B", "dependency:copy-dependencies",
		"-DincludeScope=runtime", "-DoutputDirectory=lib")
	return filepath.Join(dir, "lib")
}

// javaStep is a call of one of Apache Kafka's tools.
type javaStep struct {
	name  string
	class string // of package org.apache.kafka.tools, unless it has a dot of its own in front
	args  string
	stdin string
	want  []string // regular expressions, each on some line
}

// javaSteps use the tools as kafka-topics.sh and its like call them, each with
// --bootstrap-server. N, and NUMBER in an expectation, is the number of records
// of the loads.
var javaSteps = []javaStep{
	{"api versions", "BrokerApiVersionsCommand", "", "",
		[]string{"^\\S+ \\(id: 1 rack: null.*-> \\(", `^\S+ \(id: 3 rack: null`, `Produce\(0\): 0 to 13`, `JoinGroup\(11\): 0 to 9`}},
	{"create", "TopicCommand", "--create --topic jt --partitions 3 --replication-factor 3 --config retention.ms=100000", "",
		[]string{`^Created topic jt\.`}},
	{"describe", "TopicCommand", "--describe --topic jt", "",
		[]string{`PartitionCount: 3\s+ReplicationFactor: 3\s+Configs: retention\.ms=100000`,
			`Partition: 2\s+Leader: [123]\s+Replicas: \S+\s+Isr: [123],[123],[123]`}},
	{"list", "TopicCommand", "--list", "", []string{`^jt$`}},
	{"more partitions", "TopicCommand", "--alter --topic jt --partitions 4", "", nil},
	{"console producer", "ConsoleProducer", "--topic jt --reader-property parse.key=true --reader-property key.separator=:", keyed(100), nil},
	{"console consumer", "consumer.ConsoleConsumer", "--topic jt --from-beginning --max-messages 100 --group jg --timeout-ms 30000", "",
		[]string{`^value 0$`, `^value 99$`, `^Processed a total of 100 messages`}},
	{"offsets", "GetOffsetShell", "--topic jt", "", []string{`^jt:0:\d+$`, `^jt:3:\d+$`}},
	{"groups", "consumer.group.ConsumerGroupCommand", "--list", "", []string{`^jg$`}},
	{"group", "consumer.group.ConsumerGroupCommand", "--describe --group jg", "",
		[]string{`^Consumer group 'jg' has no active members`, `^jg\s+jt\s+3\s+(\d+)\s+\d+\s+0\s`}},
	{"reset", "consumer.group.ConsumerGroupCommand", "--group jg --topic jt --reset-offsets --to-earliest --execute", "",
		[]string{`^jg\s+jt\s+0\s+0`}},
	{"read again", "consumer.ConsoleConsumer", "--topic jt --max-messages 100 --group jg --timeout-ms 30000", "",
		[]string{`^value 42$`, `^Processed a total of 100 messages`}},
	{"consumer protocol", "consumer.ConsoleConsumer", "--topic jt --from-beginning --max-messages 100 --group jc --timeout-ms 30000 " +
		"--command-property group.protocol=consumer", "",
		[]string{`^value 0$`, `^value 99$`, `^Processed a total of 100 messages`}},
	{"consumer groups", "consumer.group.ConsumerGroupCommand", "--list --type consumer", "", []string{`^jc\s+Consumer\s*$`}},
	{"consumer group", "consumer.group.ConsumerGroupCommand", "--describe --group jc --state", "",
		[]string{`^jc\s+\S+:\d+\s+\([123]\)\s+uniform\s+Empty\s+0`}},
	{"its offsets", "consumer.group.ConsumerGroupCommand", "--describe --group jc", "", []string{`^jc\s+jt\s+3\s+(\d+)\s+\d+\s+0\s`}},
	{"everything in its log", "consumer.ConsoleConsumer", "--topic __consumer_offsets --from-beginning --timeout-ms 5000 " +
		"--formatter org.apache.kafka.tools.consumer.OffsetsMessageFormatter", "",
		[]string{`"group":"jc","topic":"jt"`}},
	{"delete group", "consumer.group.ConsumerGroupCommand", "--delete --group jg", "",
		[]string{`Deletion of requested consumer groups \('jg'\) was successful`}},
	{"producer performance", "ProducerPerformance", "--topic jp --num-records N --record-size 100 --throughput -1 --command-property acks=all", "",
		[]string{`^NUMBER records sent`}},
	{"consumer performance", "ConsumerPerformance", "--topic jp --num-records N --timeout 30000", "",
		[]string{`, NUMBER, `}},
	{"verifiable producer", "VerifiableProducer", "--topic jv --max-messages 1000 --throughput -1", "",
		[]string{`"sent":1000,"acked":1000`}},
	{"verifiable consumer", "VerifiableConsumer", "--topic jv --group-id jvg --max-messages 1000 --reset-policy earliest", "",
		[]string{`"name":"partitions_assigned"`, `"name":"offsets_committed".*"offset":1000.*"success":true`, `"shutdown_complete"`}},
	{"verifiable consumer, protocol", "VerifiableConsumer", "--topic jv --group-id jvc --max-messages 1000 --reset-policy earliest " +
		"--group-protocol consumer --group-remote-assignor range", "",
		[]string{`"name":"partitions_assigned"`, `"name":"offsets_committed".*"offset":1000.*"success":true`, `"shutdown_complete"`}},
	{"topic configs", ".kafka.admin.ConfigCommand", "--entity-type topics --entity-name jt --describe --all", "",
		[]string{`retention\.ms=100000 .*DYNAMIC_TOPIC_CONFIG:retention\.ms=100000`,
			`max\.message\.bytes=1048588 .*DEFAULT_CONFIG`}},
	{"alter config", ".kafka.admin.ConfigCommand", "--entity-type topics --entity-name jt --alter --add-config retention.ms=12345", "",
		[]string{`^Completed updating config for topic jt`}},
	{"broker configs", ".kafka.admin.ConfigCommand", "--entity-type brokers --entity-name 2 --describe --all", "",
		[]string{`node\.id=2 `}},
	{"log directories", "LogDirsCommand", "--describe --topic-list jp", "", []string{`"partition":"jp-0","size":\d{4,}`}},
	{"quorum", "MetadataQuorumCommand", "describe --status", "",
		[]string{`^LeaderId:\s+[123]$`, `^CurrentVoters:.*"id": 1.*"id": 2.*"id": 3`}},
	{"quorum members", "MetadataQuorumCommand", "describe --replication", "", []string{`Leader\s*$`, `Follower\s*$`}},
	{"elections", "LeaderElectionCommand", "--election-type preferred --topic jt --partition 0", "",
		[]string{`Valid replica already elected for partitions jt-0|Successfully completed leader election`}},
	{"producers", "TransactionsCommand", "describe-producers --topic jv --partition 0", "", []string{`ProducerId\s+ProducerEpoch`}},
	{"delete topic", "TopicCommand", "--delete --topic jt", "", nil},
}

func keyed(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "key %d:value %d\n", i, i)
	}
	return b.String()
}

// TestJavaTools runs Apache Kafka's command line tools, one after the other,
// against three nodes.
func TestJavaTools(t *testing.T) {
	full := wanted(t)
	lib := jars(t)
	nodes := start(t, 3, 1)
	records := "100000"
	if full {
		records = "2000000"
	}
	for _, s := range javaSteps {
		t.Run(s.name, func(t *testing.T) {
			class := "org.apache.kafka.tools." + s.class
			if strings.HasPrefix(s.class, ".") {
				class = s.class[1:]
			}
			args := []string{"-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", lib + "/*", class, "--bootstrap-server", nodes}
			args = append(args, strings.Fields(strings.ReplaceAll(s.args, "-records N", "-records "+records))...)
			out := command{stdin: s.stdin, limit: 3 * time.Minute}.must(t, "java", args...)
			for _, want := range s.want {
				want = strings.ReplaceAll(want, "NUMBER", records)
				if !regexp.MustCompile(`(?m)` + want).MatchString(out) {
					t.Errorf("nothing like %q in\n%s", want, tail(out))
				}
			}
		})
	}
}
