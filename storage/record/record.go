package record

import "bytes"

// HeaderKV is one header of a record. Keys may repeat within a record.
type HeaderKV struct {
	Key   string
	Value []byte // nil is Kafka's null
}

// Record is one record of a batch, decoded. Key, Value and the headers'
// values alias the batch or the Reader's buffer; see Reader.
type Record struct {
	Offset    int64
	Timestamp int64  // Unix milliseconds
	Key       []byte // nil is Kafka's null, unlike an empty one
	Value     []byte // nil is Kafka's null: a tombstone on a compacted topic
	Headers   []HeaderKV
}

// Clone is a copy that shares no memory with the batch.
func (r *Record) Clone() Record {
	c := *r
	c.Key, c.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
	c.Headers = nil
	if len(r.Headers) > 0 {
		c.Headers = make([]HeaderKV, len(r.Headers))
		for i, h := range r.Headers {
			c.Headers[i] = HeaderKV{Key: h.Key, Value: bytes.Clone(h.Value)}
		}
	}
	return c
}

// minRecord is the least size of a record: seven parts of one byte.
const minRecord = 7

// slack bounds the parts of a record whose size depends on its place in the
// batch (length, timestamp delta, offset delta) and its attributes.
const slack = maxVarint32 + 1 + maxVarint64 + maxVarint32

// RecordSize is an upper bound, at most 21 bytes over, of what a record adds
// to an uncompressed batch.
func RecordSize(key, value []byte, headers []HeaderKV) int {
	return slack + contentSize(key, value, headers)
}

// contentSize is the exact size of a record's key, value and headers.
func contentSize(key, value []byte, headers []HeaderKV) int {
	n := bytesSize(key) + bytesSize(value) + varintLen(int64(len(headers)))
	for i := range headers {
		k := len(headers[i].Key)
		n += varintLen(int64(k)) + k + bytesSize(headers[i].Value)
	}
	return n
}

func bytesSize(b []byte) int {
	if b == nil {
		return 1
	}
	return varintLen(int64(len(b))) + len(b)
}

// fields are the parts of one encoded record; the slices alias the input.
type fields struct {
	tsDelta     int64
	offsetDelta int32
	headerCount int
	key, value  []byte
	headers     []byte // headerCount encoded headers, not yet looked at
}

// parse decodes the record at the start of p, all but its headers, and returns
// its size in bytes, or 0 if it is malformed.
func (f *fields) parse(p []byte) int {
	length, n := getVarint32(p)
	if n == 0 || length < minRecord-1 || int(length) > len(p)-n {
		return 0
	}
	size := n + int(length)
	p = p[n+1 : size] // the record's attributes, one byte, are unused
	if f.tsDelta, n = getVarint(p); n == 0 {
		return 0
	}
	p = p[n:]
	if f.offsetDelta, n = getVarint32(p); n == 0 {
		return 0
	}
	p = p[n:]
	var ok bool
	if f.key, p, ok = cutBytes(p); !ok {
		return 0
	}
	if f.value, p, ok = cutBytes(p); !ok {
		return 0
	}
	count, n := getVarint32(p)
	if n == 0 || count < 0 || int(count) > (len(p)-n)/2 {
		return 0
	}
	f.headerCount, f.headers = int(count), p[n:]
	if count == 0 && len(p) != n {
		return 0
	}
	return size
}

// cutBytes cuts a length and as many bytes; length -1 is nil.
func cutBytes(p []byte) (b, rest []byte, ok bool) {
	length, n := getVarint32(p)
	if n == 0 || int(length) > len(p)-n {
		return nil, p, false
	}
	if length < 0 {
		return nil, p[n:], length == -1
	}
	end := n + int(length)
	return p[n:end:end], p[end:], true
}

// cutHeader cuts one encoded header; its key can't be null.
func cutHeader(p []byte) (key, value, rest []byte, ok bool) {
	key, p, ok = cutBytes(p)
	if !ok || key == nil {
		return nil, nil, p, false
	}
	value, rest, ok = cutBytes(p)
	return key, value, rest, ok
}
