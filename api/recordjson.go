package api

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/chroniklog/chronik/storage/record"
)

// The appender of record objects. encoding/json would cost twenty times as
// much; a test holds its output against encoding/json's reading.

// appendRecordJSON appends r of partition p as an object in one line. Bytes
// that are not UTF-8 are written as base64 and marked, so that reading is
// always exact. With embed, a value that is a JSON document becomes the member
// json instead of value and encoding.
func appendRecordJSON(dst []byte, p int32, r *record.Record, embed bool) []byte {
	dst = append(dst, `{"partition":`...)
	dst = strconv.AppendInt(dst, int64(p), 10)
	dst = append(dst, `,"offset":`...)
	dst = strconv.AppendInt(dst, r.Offset, 10)
	dst = append(dst, `,"timestamp":`...)
	dst = strconv.AppendInt(dst, r.Timestamp, 10)
	dst = append(dst, `,"key":`...)
	dst = appendMember(dst, r.Key, `,"key_encoding":"utf8"`, `,"key_encoding":"base64"`)
	if embed && r.Value != nil && utf8.Valid(r.Value) && json.Valid(r.Value) {
		dst = append(dst, `,"json":`...)
		dst = appendDocument(dst, r.Value)
	} else {
		dst = append(dst, `,"value":`...)
		dst = appendMember(dst, r.Value, `,"encoding":"utf8"`, `,"encoding":"base64"`)
	}
	if len(r.Headers) == 0 {
		return append(dst, `,"headers":[]}`...)
	}
	dst = append(dst, `,"headers":[`...)
	for i := range r.Headers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendHeaderJSON(dst, &r.Headers[i])
	}
	return append(dst, "]}"...)
}

// appendHeaderJSON appends one header. Kafka's header names are text; one that
// is not valid UTF-8 is written with replacement characters, as every Kafka
// client shows it.
func appendHeaderJSON(dst []byte, h *record.HeaderKV) []byte {
	dst = append(dst, `{"name":`...)
	dst = appendText(dst, h.Key)
	dst = append(dst, `,"value":`...)
	dst = appendMember(dst, h.Value, `,"encoding":"utf8"`, `,"encoding":"base64"`)
	return append(dst, '}')
}

// appendMember appends b as null, as a string followed by text, or as base64
// followed by binary.
func appendMember(dst, b []byte, text, binary string) []byte {
	if b == nil {
		return append(dst, "null"...)
	}
	if out, ok := appendString(dst, b); ok {
		return append(out, text...)
	}
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, b)
	dst = append(dst, '"')
	return append(dst, binary...)
}

// appendText appends s as a JSON string, with U+FFFD for what is not UTF-8.
func appendText(dst []byte, s string) []byte {
	out, ok := appendString(dst, []byte(s)) // does not escape: no allocation for short names
	if ok {
		return out
	}
	out, _ = appendString(dst, bytes.ToValidUTF8([]byte(s), []byte("\uFFFD")))
	return out
}

// appendString appends b as a JSON string and reports whether b is UTF-8; if
// not, it returns dst as it was. Eight bytes of plain ASCII are passed at a
// time; most values never see the slow half.
func appendString(dst, b []byte) ([]byte, bool) {
	i := plainPrefix(b)
	if i == len(b) {
		dst = append(dst, '"')
		dst = append(dst, b...)
		return append(dst, '"'), true
	}
	if !utf8.Valid(b[i:]) { // b[:i] is ASCII
		return dst, false
	}
	dst = append(dst, '"')
	start := 0
	for ; i < len(b); i++ {
		c := b[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, b[start:i]...)
		start = i + 1
		dst = appendEscape(dst, c)
	}
	dst = append(dst, b[start:]...)
	return append(dst, '"'), true
}

func appendEscape(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

// plainPrefix is the length of b's longest prefix of ASCII that a JSON string
// holds as it is.
func plainPrefix(b []byte) int {
	i := 0
	for ; i+8 <= len(b); i += 8 {
		if m := special(binary.LittleEndian.Uint64(b[i:])); m != 0 {
			break
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			break
		}
	}
	return i
}

const (
	everyByte = 0x0101010101010101
	highBits  = 0x80 * everyByte
)

// special is not 0 when one of x's bytes is a control character, a quote, a
// backslash or not ASCII. The lowest bit that is set is in the first such
// byte; above it there can be false ones, from borrows.
func special(x uint64) uint64 {
	quote, slash := x^('"'*everyByte), x^('\\'*everyByte)
	return ((x-' '*everyByte)&^x | (quote-everyByte)&^quote | (slash-everyByte)&^slash | x) & highBits
}

// appendDocument appends a valid JSON document without line breaks between its
// tokens, which would end an NDJSON line or an event.
func appendDocument(dst, doc []byte) []byte {
	if bytes.IndexByte(doc, '\n') < 0 && bytes.IndexByte(doc, '\r') < 0 {
		return append(dst, doc...)
	}
	out := bytes.NewBuffer(dst)
	if err := json.Compact(out, doc); err != nil {
		panic("api: a valid document can't be compacted: " + err.Error()) // json.Valid said so
	}
	return out.Bytes()
}
