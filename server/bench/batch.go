package main

import (
	"encoding/binary"
	"hash/crc32"
	"time"
)

// recordBatch builds one Kafka record batch (version 2, not compressed) of n
// records with the same value. Written here from the format's description, so
// that the node's own encoder is not what feeds it.
func recordBatch(n int, value []byte) []byte {
	var records []byte
	for i := range n {
		var r []byte
		r = append(r, 0)                     // attributes
		r = binary.AppendVarint(r, 0)        // timestamp delta
		r = binary.AppendVarint(r, int64(i)) // offset delta
		r = binary.AppendVarint(r, -1)       // no key
		r = binary.AppendVarint(r, int64(len(value)))
		r = append(r, value...)
		r = binary.AppendVarint(r, 0) // no headers
		records = binary.AppendVarint(records, int64(len(r)))
		records = append(records, r...)
	}
	be, now := binary.BigEndian, uint64(time.Now().UnixMilli())
	var checked []byte // what the CRC covers
	checked = be.AppendUint16(checked, 0)
	checked = be.AppendUint32(checked, uint32(n-1)) // last offset delta
	checked = be.AppendUint64(checked, now)
	checked = be.AppendUint64(checked, now)
	checked = be.AppendUint64(checked, ^uint64(0)) // no producer
	checked = be.AppendUint16(checked, ^uint16(0))
	checked = be.AppendUint32(checked, ^uint32(0))
	checked = be.AppendUint32(checked, uint32(n))
	checked = append(checked, records...)

	b := be.AppendUint64(nil, 0)                       // base offset
	b = be.AppendUint32(b, uint32(4+1+4+len(checked))) // length after this field
	b = be.AppendUint32(b, ^uint32(0))                 // leader epoch, unknown
	b = append(b, 2)                                   // magic
	b = be.AppendUint32(b, crc32.Checksum(checked, crc32.MakeTable(crc32.Castagnoli)))
	return append(b, checked...)
}
