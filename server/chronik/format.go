package main

import (
	"strconv"

	"github.com/chroniklog/chronik/server/client"
	"github.com/chroniklog/chronik/storage/record"
)

// format is how consume prints a record.
type format struct {
	json         bool
	delimiter    string
	keySeparator string
}

// append appends one printed record to dst.
func (f format) append(dst []byte, partition int32, r *record.Record) []byte {
	switch {
	case f.json:
		return appendJSON(dst, partition, r)
	case r.Value == nil:
		return dst
	}
	if f.keySeparator != "" {
		dst = append(dst, r.Key...)
		dst = append(dst, f.keySeparator...)
	}
	dst = append(dst, r.Value...)
	return append(dst, f.delimiter...)
}

// appendJSON appends a record as the HTTP API gives it, and a newline.
func appendJSON(dst []byte, partition int32, r *record.Record) []byte {
	dst = append(dst, `{"partition":`...)
	dst = strconv.AppendInt(dst, int64(partition), 10)
	dst = append(dst, `,"offset":`...)
	dst = strconv.AppendInt(dst, r.Offset, 10)
	dst = append(dst, `,"timestamp":`...)
	dst = strconv.AppendInt(dst, r.Timestamp, 10)
	dst = append(dst, `,"key":`...)
	dst = client.AppendBytes(dst, r.Key, "key_encoding")
	dst = append(dst, `,"value":`...)
	dst = client.AppendBytes(dst, r.Value, "encoding")
	dst = append(dst, `,"headers":[`...)
	for i, h := range r.Headers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"name":`...)
		dst = client.AppendBytes(dst, []byte(h.Key), "name_encoding")
		dst = append(dst, `,"value":`...)
		dst = client.AppendBytes(dst, h.Value, "encoding")
		dst = append(dst, '}')
	}
	return append(dst, "]}\n"...)
}
