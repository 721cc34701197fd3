package api

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strings"

	"github.com/chroniklog/chronik/server"
)

// A cursor says where a read of a topic, or of one partition, goes on. It is
// opaque to clients:
//
//	byte     version, 1
//	byte     kind: 0 a whole topic, 1 one partition
//	16 bytes topic id, so that a name that was created anew is noticed
//	uvarint  whole topic: the partition whose turn it is; else the partition
//	uvarint  number of offsets; one for a partition
//	uvarint… next offset of each partition, from 0
//	4 bytes  CRC-32C of all before, big-endian: a cursor that was cut or
//	         altered is refused, not misread
//
// in unpadded URL-safe base64.
const (
	cursorVersion   = 1
	cursorTopic     = 0
	cursorPartition = 1
	// maxMerged is the most partitions that one read merges, and a cursor has.
	maxMerged = 256
	// maxCursor bounds the text: 18 + 3 + 256×8 + 4 bytes, as base64.
	maxCursor = 2768 + 32
	minCursor = 2 + 16 + 1 + 1 + 1 + 4
)

// castagnoli is never written after its initialization.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// cursor is a decoded one.
type cursor struct {
	topic server.TopicID
	whole bool
	first int // whole: the turn, else the partition
	next  []int64
}

// appendCursor appends where f goes on.
func appendCursor(dst []byte, f *feed) []byte {
	var raw [minCursor + maxMerged*binary.MaxVarintLen64]byte
	b := append(raw[:0], cursorVersion)
	first := f.turn
	if f.whole {
		b = append(b, cursorTopic)
	} else {
		b = append(b, cursorPartition)
		first = int(f.spans[0].partition)
	}
	b = append(b, f.topic.ID[:]...)
	b = binary.AppendUvarint(b, uint64(first))
	b = binary.AppendUvarint(b, uint64(len(f.spans)))
	for i := range f.spans {
		b = binary.AppendUvarint(b, uint64(f.spans[i].next))
	}
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return base64.RawURLEncoding.AppendEncode(dst, b)
}

// parseCursor decodes a cursor. Whether it fits the topic is fits's to say.
func parseCursor(name, text string) (cursor, error) {
	bad := func(why string) (cursor, error) {
		return cursor{}, &Error{
			Code: CodeInvalidCursor, Members: Members{Parameter: name},
			Detail: name + ": " + why + "; use one that this API gave out, unchanged",
		}
	}
	if len(text) > maxCursor {
		return bad("is too long")
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < minCursor || strings.ContainsAny(text, "\r\n") { // the decoder skips line breaks
		return bad("is not a cursor")
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return bad("is damaged")
	}
	if body[0] != cursorVersion || body[1] > cursorPartition {
		return bad("is of another version")
	}
	c := cursor{whole: body[1] == cursorTopic, topic: server.TopicID(body[2:18])}
	numbers := body[18:]
	first, ok1 := cutUvarint(&numbers)
	count, ok2 := cutUvarint(&numbers)
	if !ok1 || !ok2 || count < 1 || count > maxMerged || count > uint64(len(numbers)) {
		return bad("is not well-formed")
	}
	if c.whole && first >= count || !c.whole && (count != 1 || first > 1<<31-1) {
		return bad("is not well-formed")
	}
	c.first, c.next = int(first), make([]int64, count)
	for i := range c.next {
		n, ok := cutUvarint(&numbers)
		if !ok || n > uint64(server.MaxOffset)+1 {
			return bad("is not well-formed")
		}
		c.next[i] = int64(n)
	}
	if len(numbers) != 0 {
		return bad("is not well-formed")
	}
	return c, nil
}

// cutUvarint takes a minimally encoded uvarint off b.
func cutUvarint(b *[]byte) (uint64, bool) {
	v, n := binary.Uvarint(*b)
	if n <= 0 || n > 1 && (*b)[n-1] == 0 {
		return 0, false
	}
	*b = (*b)[n:]
	return v, true
}

// fits judges the cursor by what is to be read: a topic, or, when number is
// not anyPartition, one of its partitions.
func (c *cursor) fits(name string, t *server.Topic, number int32) error {
	what := "it belongs to another partition"
	switch {
	case c.topic != t.ID:
		return topicIDMismatch(t.Name)
	case number == anyPartition && !c.whole:
		what = "it belongs to a single partition"
	case number == anyPartition && len(c.next) > int(t.Partitions):
		what = "it has more partitions than the topic"
	case number != anyPartition && c.whole:
		what = "it belongs to the whole topic"
	case number == anyPartition || c.first == int(number):
		return nil
	}
	return &Error{Code: CodeInvalidCursor, Detail: name + ": " + what, Members: Members{Parameter: name}}
}
