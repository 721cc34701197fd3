package kafka

// Error codes of the Kafka protocol, as far as they are answered here.
const (
	codeUnknown                int16 = -1
	codeNone                   int16 = 0
	codeOffsetOutOfRange       int16 = 1
	codeCorruptMessage         int16 = 2
	codeUnknownTopic           int16 = 3
	codeLeaderNotAvailable     int16 = 5
	codeNotLeader              int16 = 6
	codeRequestTimedOut        int16 = 7
	codeBrokerNotAvailable     int16 = 8
	codeMessageTooLarge        int16 = 10
	codeInvalidTopic           int16 = 17
	codeNotEnoughReplicas      int16 = 19
	codeInvalidAcks            int16 = 21
	codeInvalidTimestamp       int16 = 32
	codeUnsupportedVersion     int16 = 35
	codeTopicExists            int16 = 36
	codeInvalidPartitions      int16 = 37
	codeInvalidReplication     int16 = 38
	codeInvalidAssignment      int16 = 39
	codeInvalidConfig          int16 = 40
	codeInvalidRequest         int16 = 42
	codeOutOfOrderSequence     int16 = 45
	codeDuplicateSequence      int16 = 46
	codeInvalidProducerEpoch   int16 = 47
	codeStorageError           int16 = 56
	codeFetchSessionNotFound   int16 = 70
	codeFetchSessionEpoch      int16 = 71
	codeFencedLeaderEpoch      int16 = 74
	codeUnknownLeaderEpoch     int16 = 75
	codeUnsupportedCompression int16 = 76
	codeStaleBrokerEpoch       int16 = 77
	codeOffsetNotAvailable     int16 = 78
	codeInvalidRecord          int16 = 87
	codeUnknownTopicID         int16 = 100
	codeFetchSessionTopicID    int16 = 106
	codeMismatchedEndpoint     int16 = 114
	codeUnsupportedEndpoint    int16 = 115
	codeRebootstrapRequired    int16 = 129
)
