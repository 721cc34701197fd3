package kafka

import (
	"context"
	"sort"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Keys that code names.
const (
	keyProduce     int16 = 0
	keyFetch       int16 = 1
	keyApiVersions int16 = 18 //nolint:revive // the protocol's own spelling
)

// answerFunc executes a call and appends its response to out. It runs in the
// connection's writer, so that answers keep the order of the requests. An
// error closes the connection.
type answerFunc func(ctx context.Context, c *call, out *output) error

// api is a row of the table: what is spoken of one API.
type api struct {
	key      int16
	name     string // the protocol's
	min, max int16
	// advertised is the lowest version in the answer to ApiVersions, where it
	// is not min: librdkafka takes a broker without Produce 0 for one that
	// knows no compression (KAFKA-18659).
	advertised int16
	// flexible is the lowest version whose header and body have tags (KIP-482);
	// table finds it out.
	flexible int16
	// begin, when not nil, takes the body in the connection's reader, in the
	// order of the requests and ahead of earlier answers.
	begin  func(c *conn, call *call, body []byte) error
	answer answerFunc
	// note says what of the API is not here; for docs/KAFKA.md.
	note string
}

// table is every API that is spoken, by key, those of consumer groups if there
// is a coordinator. Nothing else is advertised.
func table(groups bool) []api {
	list := append(recordAPIs(), adminAPIs()...)
	if groups {
		list = append(list, groupAPIs()...)
	}
	for i := range list {
		a := &list[i]
		if a.key != keyProduce {
			a.advertised = a.min
		}
		req := kmsg.RequestForKey(a.key)
		for a.flexible = a.min; a.flexible <= a.max; a.flexible++ {
			if req.SetVersion(a.flexible); req.IsFlexible() {
				break
			}
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].key < list[j].key })
	return list
}

// recordAPIs are the paths of records.
func recordAPIs() []api {
	return []api{
		{
			key: keyProduce, name: "Produce", min: 3, max: 13, advertised: 0, begin: beginProduce, answer: answerProduce,
			note: "Advertised from 0, as Kafka does; 0 to 2 close the connection. One batch per partition. " +
				"Transactional batches are refused (INVALID_RECORD).",
		},
		{
			key: keyFetch, name: "Fetch", min: 4, max: 18, answer: answerFetch,
			note: "Sessions included. Replicas do not fetch by this API.",
		},
		{
			key: 2, name: "ListOffsets", min: 1, max: 11, answer: plain((*Listener).listOffsets),
			note: "There is no remote tier: timestamp -4 is the log's start, -5 and -6 find nothing.",
		},
		{key: 22, name: "InitProducerId", min: 0, max: 5, answer: plain((*Listener).initProducerID),
			note: "A transactional id is refused (INVALID_REQUEST)."},
		{key: 23, name: "OffsetForLeaderEpoch", min: 2, max: 4, answer: plain((*Listener).offsetForLeaderEpoch)},
		{key: 21, name: "DeleteRecords", min: 0, max: 2, answer: plain((*Listener).deleteRecords)},
		{key: 61, name: "DescribeProducers", min: 0, max: 0, answer: plain((*Listener).describeProducers)},
	}
}

// adminAPIs are about topics and nodes.
func adminAPIs() []api {
	return []api{
		{key: 3, name: "Metadata", min: 0, max: 13, answer: plain((*Listener).metadata)},
		{key: keyApiVersions, name: "ApiVersions", min: 0, max: 5, answer: answerApiVersions},
		{key: 19, name: "CreateTopics", min: 2, max: 7, answer: plain((*Listener).createTopics),
			note: "Names that begin with \"__\" are reserved (INVALID_TOPIC_EXCEPTION)."},
		{key: 20, name: "DeleteTopics", min: 1, max: 6, answer: plain((*Listener).deleteTopics)},
		{key: 32, name: "DescribeConfigs", min: 1, max: 4, answer: plain((*Listener).describeConfigs),
			note: "Topics and nodes."},
		{key: 33, name: "AlterConfigs", min: 0, max: 2, answer: plain((*Listener).alterConfigs),
			note: "Topics; a node's settings are its flags."},
		{key: 37, name: "CreatePartitions", min: 0, max: 3, answer: plain((*Listener).createPartitions),
			note: "Growing a compacted topic is refused; the HTTP API can be told to."},
		{key: 44, name: "IncrementalAlterConfigs", min: 0, max: 1, answer: plain((*Listener).incrementalAlterConfigs),
			note: "Topics; a node's settings are its flags."},
		{key: 35, name: "DescribeLogDirs", min: 1, max: 4, answer: plain((*Listener).describeLogDirs),
			note: "One directory per node; partitions that were never written to have no log."},
		{key: 43, name: "ElectLeaders", min: 0, max: 2, answer: plain((*Listener).electLeaders),
			note: "An unclean election takes the first live replica, and only where there is no leader."},
		{key: 45, name: "AlterPartitionReassignments", min: 0, max: 1, answer: plain((*Listener).reassign)},
		{key: 46, name: "ListPartitionReassignments", min: 0, max: 0, answer: plain((*Listener).listReassignments),
			note: "Adding are the replicas that are wanted and not yet in sync."},
		{key: 55, name: "DescribeQuorum", min: 0, max: 2, answer: plain((*Listener).describeQuorum),
			note: "Of __cluster_metadata, partition 0; offsets are indexes of the metadata log."},
		{key: 60, name: "DescribeCluster", min: 0, max: 2, answer: plain((*Listener).describeCluster)},
		{key: 75, name: "DescribeTopicPartitions", min: 0, max: 0, answer: plain((*Listener).describeTopicPartitions)},
	}
}

// find is the row of a key, nil if it is not spoken.
func (k *Listener) find(key int16) *api { return find(k.apis, key) }

func find(rows []api, key int16) *api {
	i := sort.Search(len(rows), func(i int) bool { return rows[i].key >= key })
	if i < len(rows) && rows[i].key == key {
		return &rows[i]
	}
	return nil
}
