// Package kafka speaks the Kafka protocol over a server.Broker: unmodified
// Kafka clients read and write the same logs as the HTTP API.
//
//	k := kafka.New(kafka.Options{Broker: broker, Logs: broker.LedLogs(), Logger: log})
//	err := k.Serve(listener)     // until Shutdown or Close
//
// # What is spoken
//
// versions.go is the table of API keys, their versions and their handlers;
// ApiVersions answers from it and docs/KAFKA.md is generated from it. What is
// not in the table is not advertised. An unknown key or version closes the
// connection, as Kafka does, except that ApiVersions answers UNSUPPORTED_VERSION
// in its version 0 with the table.
//
// # Connections
//
// A connection has two goroutines. The reader takes frames, bounded before
// they are allocated, and dispatches produce requests in their order without
// waiting for the disk. The writer executes the other requests and sends the
// answers, strictly in the order of the requests. Requests in flight are
// bounded by number and bytes for each connection, and by bytes for all of
// them together; beyond it a connection is read no further. A client that is
// gone ends its waiting fetch.
//
// # Errors
//
// errors.go is the one table from the sentinels of the broker and what is
// below it to Kafka's codes. A partition's error is that partition's answer;
// the rest of its request goes on.
package kafka
