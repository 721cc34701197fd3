package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/chroniklog/chronik/storage/record"
)

func scanOne(text string) (batchRecord, error) {
	limits := DefaultLimits()
	var rec batchRecord
	err := newRecordScanner(&limits).line([]byte(text), &rec)
	return rec, err
}

func TestRecordScannerAccepts(t *testing.T) {
	tests := []struct {
		text string
		want batchRecord
	}{
		{`{"value":"hello"}`, batchRecord{value: []byte("hello"), timestamp: -1, partition: -1}},
		{` { "value" : null , "key" : "" } `, batchRecord{key: []byte{}, timestamp: -1, partition: -1}},
		{`{"value":"AAEC","encoding":"base64"}`, batchRecord{value: []byte{0, 1, 2}, timestamp: -1, partition: -1}},
		{`{"encoding":"base64","value":""}`, batchRecord{value: []byte{}, timestamp: -1, partition: -1}},
		{
			`{"key":"/w==","key_encoding":"base64","value":"x","timestamp":9007199254740991,"partition":2147483647}`,
			batchRecord{key: []byte{255}, value: []byte("x"), timestamp: 1<<53 - 1, partition: 1<<31 - 1},
		},
		{
			`{"value":"\u0041\ud83d\ude00\n\"\\\/\b\f\r\t"}`,
			batchRecord{value: []byte("A😀\n\"\\/\b\f\r\t"), timestamp: -1, partition: -1},
		},
		{`{"v\u0061lue":"grün"}`, batchRecord{value: []byte("grün"), timestamp: -1, partition: -1}},
		{
			`{"value":"","headers":[{"name":"a","value":"1"},{"value":null,"name":"a"},` +
				`{"name":"","value":"/w==","encoding":"base64"}]}`,
			batchRecord{value: []byte{}, timestamp: -1, partition: -1, headers: []record.HeaderKV{
				{Key: "a", Value: []byte("1")}, {Key: "a"}, {Key: "", Value: []byte{255}},
			}},
		},
		{`{"value":"","headers":[]}`, batchRecord{value: []byte{}, timestamp: -1, partition: -1}},
	}
	for _, tt := range tests {
		got, err := scanOne(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		if !sameRecord(&got, &tt.want) {
			t.Errorf("%s: got %+v, want %+v", tt.text, got, tt.want)
		}
	}
}

func sameRecord(a, b *batchRecord) bool {
	if !sameBytes(a.key, b.key) || !sameBytes(a.value, b.value) || a.timestamp != b.timestamp ||
		a.partition != b.partition {
		return false
	}
	return sameHeaders(a.headers, b.headers)
}

func sameHeaders(a, b []record.HeaderKV) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Key != b[i].Key || !sameBytes(a[i].Value, b[i].Value) {
			return false
		}
	}
	return true
}

// sameBytes tells nil from empty: null is not the empty string.
func sameBytes(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

func TestRecordScannerRefuses(t *testing.T) {
	big := strings.Repeat("k", DefaultLimits().MaxKeyBytes+1)
	tests := []struct{ text, code, field, detail string }{
		{``, CodeInvalidJSON, "", "want an object, have the end"},
		{`[]`, CodeInvalidField, "", "want an object, have an array"},
		{`{}`, CodeInvalidField, "value", "missing"},
		{`{"key":"a"}`, CodeInvalidField, "value", "null for a tombstone"},
		{`{"value":"a"`, CodeInvalidJSON, "", "comma or the end"},
		{`{"value":"a"}{`, CodeInvalidJSON, "", "more after"},
		{`{"value":"a",}`, CodeInvalidJSON, "", "name in quotes"},
		{`{"value":"a" "key":"b"}`, CodeInvalidJSON, "", "comma"},
		{`{"value" "a"}`, CodeInvalidJSON, "", "colon"},
		{`{"valeu":"a"}`, CodeUnknownField, "valeu", "did you mean value?"},
		{`{"Value":"a"}`, CodeUnknownField, "Value", "did you mean value?"},
		{`{"value":"a","value":"b"}`, CodeInvalidField, "value", "twice"},
		{`{"value":1}`, CodeInvalidField, "value", "value: want a string or null, have a number"},
		{`{"value":nul}`, CodeInvalidJSON, "value", "want a string or null, have n"},
		{`{"value":null,"key":true}`, CodeInvalidField, "key", "have true"},
		{`nope`, CodeInvalidJSON, "", "want an object, have n"},
		{`{"value":"a","key":{}}`, CodeInvalidField, "key", "key: want a string or null, have an object"},
		{`{"value":"a","encoding":"hex"}`, CodeInvalidField, "encoding", `want "utf8" or "base64"`},
		{`{"value":"a","encoding":null}`, CodeInvalidField, "encoding", "want"},
		{`{"value":"a!","encoding":"base64"}`, CodeInvalidEncoding, "value", "is not base64"},
		{`{"value":"QQ","encoding":"base64"}`, CodeInvalidEncoding, "value", "padding"},
		{`{"value":"QR==","encoding":"base64"}`, CodeInvalidEncoding, "value", "is not base64"},
		{`{"value":"QUJD\nQUJD","encoding":"base64"}`, CodeInvalidEncoding, "value", "is not base64"},
		{`{"value":"a","key":"?","key_encoding":"base64"}`, CodeInvalidEncoding, "key", "is not base64"},
		{`{"value":"a","timestamp":-1}`, CodeInvalidField, "timestamp", "negative"},
		{`{"value":"a","timestamp":1.5}`, CodeInvalidField, "timestamp", "fraction"},
		{`{"value":"a","timestamp":1e3}`, CodeInvalidField, "timestamp", "exponent"},
		{`{"value":"a","timestamp":"1"}`, CodeInvalidField, "timestamp", "want a whole number, have a string"},
		{`{"value":"a","timestamp":9007199254740992}`, CodeInvalidField, "timestamp", "9007199254740991"},
		{`{"value":"a","timestamp":99999999999999999999999999}`, CodeInvalidField, "timestamp", "from 0 to"},
		{`{"value":"a","timestamp":01}`, CodeInvalidJSON, "timestamp", "begin with 0"},
		{`{"value":"a","partition":2147483648}`, CodeInvalidField, "partition", "2147483647"},
		{`{"value":"\ud800"}`, CodeInvalidJSON, "value", "lone surrogate"},
		{`{"value":"\ud800\u0041"}`, CodeInvalidJSON, "value", "lone surrogate"},
		{`{"value":"\udc00\ud800"}`, CodeInvalidJSON, "value", "lone surrogate"},
		{`{"value":"\u12g4"}`, CodeInvalidJSON, "value", "hexadecimal"},
		{`{"value":"\x"}`, CodeInvalidJSON, "value", "escape sequence"},
		{"{\"value\":\"\xff\"}", CodeInvalidJSON, "value", "not UTF-8"},
		{"{\"value\":\"\\n\xff\"}", CodeInvalidJSON, "value", "not UTF-8"},
		{"{\"value\":\"a\nb\"}", CodeInvalidJSON, "value", "control character"},
		{`{"value":"abc`, CodeInvalidJSON, "value", "no end"},
		{`{"value":"abcdefghijkl\`, CodeInvalidJSON, "value", "no end"},
		{`{"value":"a","headers":{}}`, CodeInvalidField, "headers", "want an array, have an object"},
		{`{"value":"a","headers":[{"value":"x"}]}`, CodeInvalidField, "headers[0].name", "missing"},
		{`{"value":"a","headers":[{"name":"x"}]}`, CodeInvalidField, "headers[0].value", "missing"},
		{`{"value":"a","headers":[{"name":null,"value":"x"}]}`, CodeInvalidField, "headers[0].name", "null"},
		{`{"value":"a","headers":[{"name":"a","value":"1"},{"key":"x"}]}`, CodeUnknownField, "headers[1].key", "member"},
		{
			`{"value":"a","headers":[{"name":"a","value":"!","encoding":"base64"}]}`, CodeInvalidEncoding,
			"headers[0].value", "is not base64",
		},
		{`{"value":"a","key":"` + big + `"}`, CodeRecordTooLarge, "key", "at most"},
	}
	for _, tt := range tests {
		_, err := scanOne(tt.text)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%.80s: got %v, want an Error", tt.text, err)
			continue
		}
		if e.Code != tt.code || e.Members.Field != tt.field || !strings.Contains(e.Detail, tt.detail) ||
			strings.HasPrefix(e.Detail, ":") || !strings.HasPrefix(e.Detail, tt.field) {
			t.Errorf("%.80s: got %s field %q detail %q; want %s field %q with %q",
				tt.text, e.Code, e.Members.Field, e.Detail, tt.code, tt.field, tt.detail)
		}
	}
}

// FuzzRecordJSON holds the scanner against encoding/json: what the scanner
// accepts, encoding/json accepts with the same meaning, and what encoding/json
// refuses the scanner refuses.
func FuzzRecordJSON(f *testing.F) {
	for _, seed := range []string{
		`{"value":"hello","key":"k","headers":[{"name":"a","value":"b"}],"timestamp":5,"partition":0}`,
		`{"value":"\ud83d\ude00\u00e9é"}`, `{"value":"a","timestamp":1e3}`, "{\"value\":\"\xff\"}", `{"value":"\ud800"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := scanOne(string(data))
		var members map[string]json.RawMessage
		jsonErr := json.Unmarshal(data, &members)
		if jsonErr != nil {
			if err == nil {
				t.Fatalf("accepted %q, encoding/json: %v", data, jsonErr)
			}
			return
		}
		if err != nil {
			return // stricter by design; the table says where
		}
		var ref struct {
			Key, Value             *string
			Key_encoding, Encoding string //nolint:revive // the member's name
			Timestamp              *int64
			Partition              *int32
			Headers                []struct {
				Name     string
				Value    *string
				Encoding string
			}
		}
		if err := json.Unmarshal(data, &ref); err != nil {
			t.Fatalf("accepted %q, encoding/json: %v", data, err)
		}
		want := batchRecord{timestamp: -1, partition: -1, key: refBytes(t, ref.Key, ref.Key_encoding)}
		want.value = refBytes(t, ref.Value, ref.Encoding)
		if ref.Timestamp != nil {
			want.timestamp = *ref.Timestamp
		}
		if ref.Partition != nil {
			want.partition = *ref.Partition
		}
		for _, h := range ref.Headers {
			want.headers = append(want.headers, record.HeaderKV{Key: h.Name, Value: refBytes(t, h.Value, h.Encoding)})
		}
		if !sameRecord(&got, &want) {
			t.Fatalf("%q: got %+v, want %+v", data, got, want)
		}
	})
}

func refBytes(t *testing.T, s *string, encoding string) []byte {
	if s == nil {
		return nil
	}
	if encoding != "base64" {
		return []byte(*s)
	}
	b, err := base64.StdEncoding.DecodeString(*s)
	if err != nil {
		t.Fatalf("accepted base64 %q: %v", *s, err)
	}
	return append([]byte{}, b...)
}
