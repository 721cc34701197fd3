// Package plog stores the logs of partitions: a Store is a data directory, a
// Log one partition's records in it.
package plog
