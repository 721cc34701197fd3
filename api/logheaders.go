package api

import (
	"bytes"
	"encoding/base64"
	"strings"

	"github.com/chroniklog/chronik/storage/record"
)

// Record keys and headers travel in the HTTP headers Log-Key and Log-Header.
// Bytes that a header can't hold are written as base64 between colons, as
// RFC 9651 writes byte sequences; answers always do that for keys and values.
//
//	Log-Key: u1
//	Log-Key: :AAEC:
//	Log-Header: Source=sensor 7
//	Log-Header: Source=:AAEC:
//	Log-Header: Source             (a null value)
//	Log-Header: :w6Q=:=x           (a name that a header can't hold)
const (
	logKey       = "Log-Key"
	logHeader    = "Log-Header"
	contentType  = "content-type" // the record header that keeps a request's Content-Type
	defaultForm  = "application/x-www-form-urlencoded"
	octetStream  = "application/octet-stream"
	maxMediaType = 256
)

// strictBase64 refuses non-zero trailing bits; line breaks are looked for
// apart, since the package skips them.
var strictBase64 = base64.StdEncoding.Strict()

// decodeBytes reads a Log-* value: text, or base64 between colons.
func decodeBytes(name, v string) ([]byte, error) {
	if len(v) < 2 || v[0] != ':' || v[len(v)-1] != ':' {
		return []byte(v), nil
	}
	b, err := strictBase64.DecodeString(v[1 : len(v)-1])
	if err != nil {
		return nil, &Error{
			Code: CodeInvalidEncoding, Members: Members{Parameter: name},
			Detail: name + ": what stands between colons must be base64; " +
				"text that begins and ends with a colon must be sent as base64 too",
		}
	}
	return b, nil
}

// decodeHeader reads one Log-Header line.
func decodeHeader(line string) (record.HeaderKV, error) {
	name, value, found := cutHeader(line)
	n, err := decodeBytes(logHeader, name)
	if err != nil {
		return record.HeaderKV{}, err
	}
	if !found {
		return record.HeaderKV{Key: string(n)}, nil
	}
	v, err := decodeBytes(logHeader, value)
	return record.HeaderKV{Key: string(n), Value: v}, err
}

// cutHeader splits a line at its first "=" that is not inside a base64 name.
func cutHeader(line string) (name, value string, found bool) {
	if strings.HasPrefix(line, ":") {
		if i := strings.IndexByte(line[1:], ':'); i >= 0 {
			i += 2
			if i == len(line) {
				return line, "", false
			}
			if line[i] == '=' {
				return line[:i], line[i+1:], true
			}
		}
	}
	return strings.Cut(line, "=")
}

// encodeBytes is the inverse of decodeBytes.
func encodeBytes(dst, b []byte) []byte {
	dst = append(dst, ':')
	dst = base64.StdEncoding.AppendEncode(dst, b)
	return append(dst, ':')
}

// encodeHeader is the inverse of decodeHeader.
func encodeHeader(dst []byte, h *record.HeaderKV) []byte {
	if plainName(h.Key) {
		dst = append(dst, h.Key...)
	} else {
		dst = encodeBytes(dst, []byte(h.Key))
	}
	if h.Value == nil {
		return dst
	}
	return encodeBytes(append(dst, '='), h.Value)
}

// plainName tells names that a Log-Header line can hold as they are: visible
// ASCII without "=" that is not empty and does not begin with a colon.
func plainName(name string) bool {
	if name == "" || name[0] == ':' {
		return false
	}
	for i := range len(name) {
		if name[i] <= ' ' || name[i] > '~' || name[i] == '=' {
			return false
		}
	}
	return true
}

// checkKeyAndHeaders holds a record against the limits. prefix names the
// record in a JSON body ("records[3]."); it is empty elsewhere.
func (l *Limits) checkKeyAndHeaders(prefix string, key []byte, headers []record.HeaderKV) error {
	if len(key) > l.MaxKeyBytes {
		return tooLarge(prefix+"key", "the key has %d bytes, at most %d are allowed", len(key), l.MaxKeyBytes)
	}
	if len(headers) > l.MaxHeaders {
		return tooLarge(prefix+"headers", "%d record headers, at most %d are allowed", len(headers), l.MaxHeaders)
	}
	size := 0
	for i := range headers {
		size += len(headers[i].Key) + len(headers[i].Value)
	}
	if size > l.MaxHeaderBytes {
		return tooLarge(prefix+"headers", "the record headers have %d bytes, at most %d are allowed", size, l.MaxHeaderBytes)
	}
	return nil
}

func tooLarge(field, format string, have, limit int) error {
	e := badRequest(CodeRecordTooLarge, format, have, limit)
	if field != "" {
		e.Detail = field + ": " + e.Detail
	}
	most := int64(limit)
	e.Members = Members{Field: field, Limit: &most}
	return e
}

// recordHeader finds the first header of a name, which is matched without
// regard to case.
func recordHeader(headers []record.HeaderKV, name string) ([]byte, bool) {
	for i := range headers {
		if len(headers[i].Key) == len(name) && strings.EqualFold(headers[i].Key, name) {
			return headers[i].Value, true
		}
	}
	return nil, false
}

// mediaTypeOf is the Content-Type that a record is answered with: its own, if
// a header can hold it.
func mediaTypeOf(headers []record.HeaderKV) string {
	v, ok := recordHeader(headers, contentType)
	if !ok || len(v) == 0 || len(v) > maxMediaType || bytes.IndexByte(v, '/') < 1 {
		return octetStream
	}
	for _, c := range v {
		if c < ' ' || c > '~' {
			return octetStream
		}
	}
	return string(v)
}
