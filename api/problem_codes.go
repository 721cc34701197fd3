package api

import (
	"net/http"
	"time"
)

// The codes of problems. Each is a row of problemTable and a member of
// ErrorCode in openapi.yaml; a test compares the three.
const (
	CodeBadRequest           = "bad_request"
	CodeInvalidJSON          = "invalid_json"
	CodeUnknownField         = "unknown_field"
	CodeInvalidField         = "invalid_field"
	CodeUnknownParameter     = "unknown_parameter"
	CodeInvalidParameter     = "invalid_parameter"
	CodeInvalidEncoding      = "invalid_encoding"
	CodeInvalidTopic         = "invalid_topic"
	CodeInvalidConfig        = "invalid_config"
	CodeInvalidPartitions    = "invalid_partitions"
	CodeInvalidReplication   = "invalid_replication_factor"
	CodeInvalidPageToken     = "invalid_page_token"
	CodeInvalidCursor        = "invalid_cursor"
	CodeInvalidProducer      = "invalid_producer"
	CodeInvalidGroup         = "invalid_group"
	CodeInvalidAck           = "invalid_ack"
	CodeCorruptBatch         = "corrupt_batch"
	CodeInvalidBatch         = "invalid_batch"
	CodeInvalidCompression   = "invalid_compression"
	CodeTruncatedBody        = "truncated_body"
	CodePartitionRequired    = "partition_required"
	CodeTransactional        = "transactional_batch"
	CodeCrossOrigin          = "cross_origin"
	CodeHostNotAllowed       = "host_not_allowed"
	CodeReservedTopic        = "reserved_topic"
	CodeStaleProducerEpoch   = "stale_producer_epoch"
	CodeNotFound             = "not_found"
	CodeUnknownTopic         = "unknown_topic"
	CodeUnknownPartition     = "unknown_partition"
	CodeUnknownKey           = "unknown_key"
	CodeUnknownRecord        = "unknown_record"
	CodeUnknownNode          = "unknown_node"
	CodeUnknownGroup         = "unknown_group"
	CodeUnknownMember        = "unknown_member"
	CodeNodeState            = "node_state"
	CodeClusterNotEmpty      = "cluster_not_empty"
	CodeNotRestoring         = "not_restoring"
	CodeMethodNotAllowed     = "method_not_allowed"
	CodeNotAcceptable        = "not_acceptable"
	CodeRequestTimeout       = "request_timeout"
	CodeTopicExists          = "topic_exists"
	CodeNotCompacted         = "not_compacted"
	CodeSequenceGap          = "sequence_gap"
	CodeDuplicateSequence    = "duplicate_sequence"
	CodeConflict             = "conflict"
	CodeFencedGeneration     = "fenced_generation"
	CodeFencedInstance       = "fenced_instance"
	CodeGroupNotEmpty        = "group_not_empty"
	CodeInconsistentProtocol = "inconsistent_protocol"
	CodeGroupFull            = "group_full"
	CodeOffsetTrimmed        = "offset_trimmed"
	CodeOffsetConflict       = "offset_conflict"
	CodeFenced               = "fenced"
	CodeKeyPrecondition      = "key_precondition"
	CodeTopicIDMismatch      = "topic_id_mismatch"
	CodeBodyTooLarge         = "body_too_large"
	CodeRecordTooLarge       = "record_too_large"
	CodeDecompressedTooLarge = "decompressed_too_large"
	CodeUnsupportedMediaType = "unsupported_media_type"
	CodeUnsupportedEncoding  = "unsupported_content_encoding"
	CodeOffsetBeyondEnd      = "offset_beyond_end"
	CodeIdempotencyMismatch  = "idempotency_mismatch"
	CodeThrottled            = "throttled"
	CodeTooManyBytes         = "too_many_bytes_in_flight"
	CodeInternal             = "internal"
	CodeCorruptLog           = "corrupt_log"
	CodeNotLeader            = "not_leader"
	CodeNoLeader             = "no_leader"
	CodeNoController         = "no_controller"
	CodeNotEnoughBrokers     = "not_enough_brokers"
	CodeNotEnoughReplicas    = "not_enough_replicas"
	CodeOffsetNotAvailable   = "offset_not_available"
	CodeNoCoordinator        = "coordinator_unavailable"
	CodeCoordinatorLoading   = "coordinator_loading"
	CodeGroupRebalancing     = "group_rebalancing"
	CodeShuttingDown         = "shutting_down"
	CodeNotReady             = "not_ready"
	CodeCanceled             = "canceled"
	CodeOutcomeUnknown       = "outcome_unknown"
	CodeStoreFailed          = "store_failed"
	CodeDiskFull             = "disk_full"
)

const internalDetail = "The node failed to answer. Its log has the cause under this trace_id."

// row is one line of the problem table. retryAfter is the least wait that
// makes a retry worth while when the error itself has no better hint; every
// 429 and 503 has one.
type row struct {
	code       string
	status     int
	title      string
	retryable  bool
	outcome    Outcome
	retryAfter time.Duration
}

// problemRow finds a code's row.
func problemRow(code string) (row, bool) {
	for i := range problemTable { // some seventy rows, on the error path only
		if problemTable[i].code == code {
			return problemTable[i], true
		}
	}
	return row{}, false
}

func refusal(status int, code, title string) row {
	return row{code: code, status: status, title: title, outcome: NotApplied}
}

func passing(status int, code, title string, after time.Duration) row {
	return row{code: code, status: status, title: title, retryable: true, outcome: NotApplied, retryAfter: after}
}

// problemTable is never changed after the program's start.
var problemTable = [...]row{
	refusal(400, CodeBadRequest, "The request is malformed"),
	refusal(400, CodeInvalidJSON, "The body is not valid JSON"),
	refusal(400, CodeUnknownField, "The body has a member that the operation does not know"),
	refusal(400, CodeInvalidField, "A member of the body has a wrong type or value"),
	refusal(400, CodeUnknownParameter, "The operation does not know the query parameter"),
	refusal(400, CodeInvalidParameter, "A parameter has a wrong value"),
	refusal(400, CodeInvalidEncoding, "A value does not match its declared encoding"),
	refusal(400, CodeInvalidTopic, "The topic name is not valid"),
	refusal(400, CodeInvalidConfig, "The topic config is not valid"),
	refusal(400, CodeInvalidPartitions, "The partition count is not valid"),
	refusal(400, CodeInvalidReplication, "The replication factor is not valid"),
	refusal(400, CodeInvalidPageToken, "The page_token is not one that this API gave out"),
	refusal(400, CodeInvalidCursor, "The cursor is not one that this topic gave out"),
	refusal(400, CodeInvalidProducer, "The producer headers are not valid"),
	refusal(400, CodeInvalidGroup, "The group id is not valid"),
	refusal(400, CodeInvalidAck, "The ack is not one that this member was given"),
	refusal(400, CodeCorruptBatch, "The record batch is corrupt"),
	refusal(400, CodeInvalidBatch, "The record batch breaks the format's rules"),
	refusal(400, CodeInvalidCompression, "The body can't be decompressed"),
	refusal(400, CodeTruncatedBody, "The body ended early"),
	refusal(400, CodePartitionRequired, "The condition needs an explicit partition"),
	refusal(400, CodeTransactional, "Transactional and control batches are not accepted here"),
	refusal(403, CodeCrossOrigin, "A web page of another origin may not change anything here"),
	refusal(403, CodeHostNotAllowed, "The Host header names a host that this node does not answer to"),
	refusal(403, CodeReservedTopic, "The topic name is reserved for the broker"),
	refusal(403, CodeStaleProducerEpoch, "A newer instance of the producer has taken over"),
	refusal(404, CodeNotFound, "There is nothing at this path"),
	refusal(404, CodeUnknownTopic, "The topic does not exist"),
	refusal(404, CodeUnknownPartition, "The partition does not exist"),
	refusal(404, CodeUnknownKey, "The key has no live value"),
	refusal(404, CodeUnknownRecord, "There is no record at the offset"),
	refusal(404, CodeUnknownNode, "No node of the cluster has that id"),
	refusal(404, CodeUnknownGroup, "The group does not exist"),
	refusal(404, CodeUnknownMember, "The group has no such member"),
	refusal(405, CodeMethodNotAllowed, "The path does not support the method"),
	refusal(406, CodeNotAcceptable, "None of the accepted media types is available"),
	passing(408, CodeRequestTimeout, "The body did not arrive in time", 0),
	refusal(409, CodeTopicExists, "The topic exists"),
	refusal(409, CodeNotCompacted, "The topic is not compacted"),
	refusal(409, CodeSequenceGap, "The sequence number is not the next one"),
	refusal(409, CodeDuplicateSequence, "The sequence number is too old to tell its offset"),
	refusal(409, CodeNodeState, "The node's state does not allow it"),
	refusal(409, CodeClusterNotEmpty, "The cluster is not empty"),
	refusal(409, CodeNotRestoring, "Nothing is being restored there"),
	passing(409, CodeConflict, "Another request changed the same thing", 0),
	refusal(409, CodeFencedGeneration, "The group has given its partitions out anew"),
	refusal(409, CodeFencedInstance, "Another process has taken the instance over"),
	refusal(409, CodeGroupNotEmpty, "The group's members are in the way"),
	refusal(409, CodeInconsistentProtocol, "The members of the group can't share partitions out together"),
	refusal(409, CodeGroupFull, "The group has as many members as it may"),
	refusal(410, CodeOffsetTrimmed, "The offset was trimmed"),
	refusal(412, CodeOffsetConflict, "The partition's next offset is not the expected one"),
	refusal(412, CodeFenced, "The fence token is not the partition's"),
	refusal(412, CodeKeyPrecondition, "The key's state is not the expected one"),
	refusal(412, CodeTopicIDMismatch, "The name now belongs to another topic"),
	refusal(413, CodeBodyTooLarge, "The body is too large"),
	refusal(413, CodeRecordTooLarge, "The record or batch is too large"),
	refusal(413, CodeDecompressedTooLarge, "The decompressed body is too large"),
	refusal(415, CodeUnsupportedMediaType, "The operation does not read the Content-Type"),
	refusal(415, CodeUnsupportedEncoding, "The Content-Encoding is not supported"),
	refusal(416, CodeOffsetBeyondEnd, "The offset is beyond the end of the log"),
	refusal(422, CodeIdempotencyMismatch, "The Idempotency-Key was used with another body"),
	passing(429, CodeThrottled, "Too much is in flight", time.Second),
	passing(429, CodeTooManyBytes, "Too many bytes are in flight on this node", time.Second),
	{CodeInternal, 500, "The node failed", false, Unknown, 0},
	refusal(500, CodeCorruptLog, "The stored log is corrupt at this place"),
	passing(503, CodeNotLeader, "Another node leads the partition", time.Second),
	passing(503, CodeNoLeader, "The partition has no leader", time.Second),
	passing(503, CodeNoController, "The cluster has no controller that this node can reach", time.Second),
	passing(503, CodeNotEnoughBrokers, "Too few brokers are registered", time.Second),
	passing(503, CodeNotEnoughReplicas, "Too few replicas are in sync", time.Second),
	passing(503, CodeOffsetNotAvailable, "The new leader does not know the end of the log yet", time.Second),
	passing(503, CodeNoCoordinator, "The group has no coordinator", time.Second),
	passing(503, CodeCoordinatorLoading, "The coordinator is reading what the group did before", time.Second),
	passing(503, CodeGroupRebalancing, "The group is rebalancing", time.Second),
	passing(503, CodeShuttingDown, "The node is shutting down", time.Second),
	passing(503, CodeNotReady, "The node is not ready", time.Second),
	{CodeCanceled, 503, "The client or the node ended the request", true, Unknown, time.Second},
	{CodeStoreFailed, 503, "The node lost its disk and stops", true, Unknown, time.Second},
	{CodeOutcomeUnknown, http.StatusGatewayTimeout, "The answer did not arrive in time", true, Unknown, 0},
	passing(507, CodeDiskFull, "The disk is full", 0),
}
