package client

import (
	"encoding/base64"
	"unicode/utf8"
)

// Header is a record header. A nil Value is null.
type Header struct {
	Name  string
	Value []byte
}

// OutRecord is one record on its way to a node. A nil Key or Value is null.
type OutRecord struct {
	Key, Value []byte
	Headers    []Header
}

// appendRecord appends r as one line of NDJSON, newline included. Bytes that
// are not UTF-8 travel as base64, so every record arrives exactly.
func appendRecord(dst []byte, r OutRecord) []byte {
	dst = append(dst, `{"value":`...)
	dst = AppendBytes(dst, r.Value, "encoding")
	if r.Key != nil {
		dst = append(dst, `,"key":`...)
		dst = AppendBytes(dst, r.Key, "key_encoding")
	}
	for i, h := range r.Headers {
		if i == 0 {
			dst = append(dst, `,"headers":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"name":`...)
		dst = appendString(dst, h.Name)
		dst = append(dst, `,"value":`...)
		dst = AppendBytes(dst, h.Value, "encoding")
		dst = append(dst, '}')
	}
	if len(r.Headers) > 0 {
		dst = append(dst, ']')
	}
	return append(dst, '}', '\n')
}

// AppendBytes appends b as the API writes bytes into JSON: null for nil, text
// where it is UTF-8, else base64 followed by the member named encoding that
// says so.
func AppendBytes(dst, b []byte, encoding string) []byte {
	switch {
	case b == nil:
		return append(dst, "null"...)
	case utf8.Valid(b):
		return appendString(dst, b)
	}
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, b)
	dst = append(dst, `","`...)
	dst = append(dst, encoding...)
	return append(dst, `":"base64"`...)
}

// appendString appends valid UTF-8 as a JSON string.
func appendString[S string | []byte](dst []byte, s S) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}
