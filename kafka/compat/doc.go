// Package compat runs other people's Kafka clients, and their own test suites,
// against Chronik's listener. It has tests only, and they run on demand:
//
//	make compat                what CI runs, at most 20 minutes
//	make compat-full           the same with everything that takes long
//	CHRONIK_COMPAT=short go test -v -run TestKcat ./kafka/compat      one part
//
// What is run comes from the package managers, by name and version:
//
//	franz-go     the client's own suite, from the Go module cache: one node, then three
//	kcat         Debian's, which stands on librdkafka 2.0
//	librdkafka   its own suite, from npm's @confluentinc/kafka-javascript, built here
//	Java         Apache Kafka's command line tools, from Maven
//
// A tool that is missing fails its test with a line that says what to install.
// Downloads and builds are kept in CHRONIK_COMPAT_DIR where that is set.
// testdata/librdkafka.txt lists librdkafka's tests with a reason for each one
// that is not run.
package compat
