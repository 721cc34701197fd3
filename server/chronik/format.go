package main

import (
	"strconv"
	"unicode/utf8"

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
	dst = appendBytes(dst, r.Key, "key_encoding")
	dst = append(dst, `,"value":`...)
	dst = appendBytes(dst, r.Value, "encoding")
	dst = append(dst, `,"headers":[`...)
	for i, h := range r.Headers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"name":`...)
		dst = client.AppendBytes(dst, []byte(string([]rune(h.Key))), "") // names are text
		dst = append(dst, `,"value":`...)
		dst = appendBytes(dst, h.Value, "encoding")
		dst = append(dst, '}')
	}
	return append(dst, "]}\n"...)
}

// appendBytes appends b and, unless it is null, the member named encoding.
func appendBytes(dst, b []byte, encoding string) []byte {
	dst = client.AppendBytes(dst, b, encoding)
	if b == nil || !utf8.Valid(b) {
		return dst // AppendBytes has named base64
	}
	dst = append(dst, `,"`...)
	dst = append(dst, encoding...)
	return append(dst, `":"utf8"`...)
}
