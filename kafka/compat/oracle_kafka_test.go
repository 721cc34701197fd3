package compat

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// kafkaProperties configure one broker that is its own controller, with what
// Chronik has as defaults.
const kafkaProperties = `process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:%[2]d
listeners=PLAINTEXT://127.0.0.1:%[1]d,CONTROLLER://127.0.0.1:%[2]d
advertised.listeners=PLAINTEXT://127.0.0.1:%[1]d
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=%[3]s
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.consumer.min.assignment.interval.ms=0
group.consumer.assignment.interval.ms=0
group.consumer.migration.policy=disabled
auto.create.topics.enable=false
log.message.timestamp.after.max.ms=3600000
`

// startKafka starts a real Apache Kafka from jars and returns its address.
func startKafka(t *testing.T, lib string) string {
	t.Helper()
	dir := t.TempDir()
	port, controller := freePort(t), freePort(t)
	file := filepath.Join(dir, "server.properties")
	text := fmt.Sprintf(kafkaProperties, port, controller, filepath.Join(dir, "logs"))
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	java := []string{"-Xmx512m", "-XX:TieredStopAtLevel=1", "-cp", lib + "/*"}
	id := command{only: true}.must(t, "java", append(java, "kafka.tools.StorageTool", "random-uuid")...)
	id = strings.TrimSpace(id[strings.LastIndex(strings.TrimSpace(id), "\n")+1:])
	command{}.must(t, "java", append(java, "kafka.tools.StorageTool", "format", "--standalone", "-t", id, "-c", file)...)

	cmd := exec.Command("java", append(java, "kafka.Kafka", file)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Dir = &out, &out, dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	for range 600 {
		select {
		case <-ended:
			t.Fatalf("Kafka ended:\n%s", tail(out.String()))
		default:
		}
		if nc, err := net.Dial("tcp", addr); err == nil {
			_ = nc.Close()
			return addr
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("Kafka does not come up within a minute")
	return ""
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
