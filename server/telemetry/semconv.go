package telemetry

import "go.opentelemetry.io/otel/attribute"

// Attributes of spans: OpenTelemetry's messaging conventions (1.43), and
// chronik.* where they have no word.
const (
	attrSystem        = attribute.Key("messaging.system")
	attrDestination   = attribute.Key("messaging.destination.name")
	attrPartition     = attribute.Key("messaging.destination.partition.id")
	attrOperation     = attribute.Key("messaging.operation.name")
	attrOperationType = attribute.Key("messaging.operation.type")
	attrOffset        = attribute.Key("messaging.kafka.offset")
	attrBatchCount    = attribute.Key("messaging.batch.message_count")
	attrClientID      = attribute.Key("messaging.client.id")
	attrLeaderEpoch   = attribute.Key("chronik.leader_epoch")
	attrRPCSystem     = attribute.Key("rpc.system")
	attrRPCMethod     = attribute.Key("rpc.method")
	attrDuplicate     = attribute.Key("chronik.duplicate")
	attrCycle         = attribute.Key("chronik.commit.cycle")
	attrCycleBytes    = attribute.Key("chronik.commit.bytes")
	attrCycleBatches  = attribute.Key("chronik.commit.batches")
	attrCycleWay      = attribute.Key("chronik.commit.way")
	attrSyncMicros    = attribute.Key("chronik.commit.sync_us")
)

// Attributes that the HTTP adapter sets too.
const (
	AttrGroup         = attribute.Key("messaging.consumer.group.name")
	AttrMethod        = attribute.Key("http.request.method")
	AttrRoute         = attribute.Key("http.route")
	AttrStatus        = attribute.Key("http.response.status_code")
	AttrPath          = attribute.Key("url.path")
	AttrScheme        = attribute.Key("url.scheme")
	AttrServerAddress = attribute.Key("server.address")
	AttrClientAddress = attribute.Key("client.address")
	AttrErrorType     = attribute.Key("error.type")
)

// Names of the leader's server spans of what other nodes hand on, besides appends.
const (
	ServedRead  = "peer/read"
	ServedTime  = "peer/offset-for-time"
	ServedKey   = "peer/key"
	ServedTrim  = "peer/trim"
	ServedFence = "peer/fence"
)

const (
	spanAppend    = "append"
	spanCommit    = "commit"
	spanForward   = "forward"
	spanServed    = "peer/append" // the leader's server span of a forwarded append
	spanReplicate = "replicate"
	spanReceive   = "receive"
	spanProduce   = "Produce" // Kafka's names of its requests
	spanFetch     = "Fetch"

	operationSend    = "send"
	operationReceive = "receive"

	// eventCanceled tells why a span ends early that did not fail.
	eventCanceled = "canceled"
)
