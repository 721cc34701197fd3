package kafka

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Support is docs/KAFKA.md: what is spoken, per key and version, written from
// the table that ApiVersions answers from. A test holds the file to it;
// CHRONIK_UPDATE=1 writes it anew.
func Support() string {
	var b strings.Builder
	b.WriteString(supportHead)
	rows := table(true)
	b.WriteString("| Key | API | Versions | Notes |\n|--:|---|---|---|\n")
	for i := range rows {
		a := &rows[i]
		fmt.Fprintf(&b, "| %d | %s | %d–%d | %s |\n", a.key, a.name, a.min, a.max, a.note)
	}
	b.WriteString(supportMissing)
	for key := range int16(kmsg.MaxKey) + 1 {
		if find(rows, key) == nil && kmsg.RequestForKey(key) != nil {
			fmt.Fprintf(&b, "%s (%d), ", kmsg.NameForKey(key), key)
		}
	}
	return strings.TrimSuffix(b.String(), ", ") + ".\n"
}

const supportHead = `# Kafka clients

Every node speaks the Kafka protocol on ` + "`--kafka`" + ` (127.0.0.1:9092), over the same topics, partitions and
records as the HTTP API. Point any client at any node; it finds the others by ` + "`--kafka-advertise`" + `:

    echo hello | kcat -P -b localhost:9092 -t greetings
    kcat -C -b localhost:9092 -t greetings -o beginning -e

This page is generated from the code (kafka/support.go).

## What to know

- A record is acknowledged when it is synced to disk, as over HTTP: on every in-sync replica with
  ` + "`acks=all`" + `, on the leader with ` + "`acks=1`" + `. ` + "`acks=0`" + ` is not acknowledged at all.
- Batches are stored and served as the client compressed them: gzip, snappy, lz4, zstd or none. A topic whose
  ` + "`compression.type`" + ` names a codec stores everything with that one.
- Idempotent producers work, and do so across restarts and changes of the leader. Transactions do not yet.
- Java clients, franz-go and HTTP put the same key in the same partition (murmur2). librdkafka does with
  ` + "`partitioner=murmur2_random`" + `.
- Consumer groups are of either protocol, static members included; they and their offsets are in
  ` + "`__consumer_offsets`" + `, a replicated, compacted topic. Clients use the classic protocol by default. With
  the new one (KIP-848, ` + "`group.protocol=consumer`" + `) the server shares partitions out, by its assignors
  ` + "`uniform`" + ` and ` + "`range`" + `, and takes subscriptions by RE2 regex. A group changes its protocol
  only while it is empty: until then members of the other one are refused (INCONSISTENT_GROUP_PROTOCOL), so stop
  all of an application's members, then start them with the other protocol. Committed offsets stay. A rolling change
  (KIP-848's migration, in Kafka ` + "`group.consumer.migration.policy`" + `) is not possible.
- The offsets that groups have committed of a topic go with it. A group without members forgets those that are
  older than 7 days.
- HTTP members (` + "`POST /v1/groups/{group}/poll`" + `) share classic groups with Kafka consumers. Kafka's tools
  show them under ids that begin with ` + "`http.`" + `, with what they are subscribed to and were assigned.
- A request for a partition that another node leads is answered NOT_LEADER_OR_FOLLOWER, with the leader where the
  version has a place for it (KIP-951). Nothing is forwarded.
- Topics are created on first use unless the node runs with ` + "`--auto-create-topics=false`" + `.
- HTTP's idempotency keys are record headers, and its fences control batches, which Kafka consumers skip: offsets
  may have gaps, as they do in Kafka.
- A record header ` + "`traceparent`" + ` makes its batch part of the producer's trace, and fetches link
  to it ([TRACING.md](TRACING.md)); the record is stored as it came.
- There is no authentication; the listener refuses addresses beyond loopback without ` + "`--insecure`" + `.

## What is spoken

ApiVersions advertises exactly this.

`

const supportMissing = `
## What is not

These are not advertised, and close the connection as Kafka does with unknown requests:

`
