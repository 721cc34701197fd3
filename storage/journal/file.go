package journal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/chroniklog/chronik/storage/vfs"
)

// The header fills a file's first page. It is written twice in it, so that a
// flipped bit can't hide a life.
const (
	headerBytes = 72
	headerTwin  = 2048
	version     = 1
	magic       = "CHRNKJRN"
)

// header describes a life of a file.
type header struct {
	Store      [16]byte // id of the store
	Seq        uint64   // place of this life in the chain
	FirstLSN   uint64
	FirstCycle uint64
	FileBytes  uint64
	Mark       uint16
}

// encode makes the first page.
func (h *header) encode() []byte {
	page := make([]byte, PageBytes)
	b := page[:headerBytes]
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[8:], version)
	binary.LittleEndian.PutUint16(b[12:], h.Mark)
	binary.LittleEndian.PutUint64(b[16:], h.Seq)
	binary.LittleEndian.PutUint64(b[24:], h.FirstLSN)
	binary.LittleEndian.PutUint64(b[32:], h.FirstCycle)
	binary.LittleEndian.PutUint64(b[40:], h.FileBytes)
	copy(b[48:], h.Store[:])
	binary.LittleEndian.PutUint32(b[64:], crc32.Checksum(b[:64], castagnoli))
	copy(page[headerTwin:], b)
	return page
}

// decodeHeader reads the header, or its twin, from a file's first page. No
// valid header is not an error: the file is a spare that was never used, or
// one whose next life tore. A valid header of another version is.
func decodeHeader(page []byte, h *header) (ok bool, err error) {
	for _, at := range []int{0, headerTwin} {
		if len(page) < at+headerBytes {
			continue
		}
		b := page[at : at+headerBytes]
		if string(b[:8]) != magic || crc32.Checksum(b[:64], castagnoli) != binary.LittleEndian.Uint32(b[64:]) {
			continue
		}
		if v := binary.LittleEndian.Uint32(b[8:]); v != version {
			return false, fmt.Errorf("%w: format version %d, this program knows %d", ErrCorrupt, v, version)
		}
		*h = header{
			Seq:        binary.LittleEndian.Uint64(b[16:]),
			FirstLSN:   binary.LittleEndian.Uint64(b[24:]),
			FirstCycle: binary.LittleEndian.Uint64(b[32:]),
			FileBytes:  binary.LittleEndian.Uint64(b[40:]),
			Mark:       binary.LittleEndian.Uint16(b[12:]),
			Store:      [16]byte(b[48:]),
		}
		return true, nil
	}
	return false, nil
}

// saltOf is the salt of a life. Lives of one store differ in it, because a CRC
// tells any two messages apart that differ in 32 neighbouring bits.
func saltOf(store [16]byte, seq uint64) uint32 {
	var b [24]byte
	copy(b[:], store[:])
	binary.LittleEndian.PutUint64(b[16:], seq)
	return crc32.Checksum(b[:], castagnoli)
}

// file is one file of the journal: a live one, or a spare.
type file struct {
	name  string // path
	f     vfs.File
	bytes int64 // size on disk, a multiple of PageBytes

	// Of the present life; zero for a spare.
	seq        uint64
	salt       uint32
	mark       uint16
	firstLSN   uint64
	firstCycle uint64
	begun      bool   // its header is durable
	nextLSN    uint64 // after the last frame; of the newest file: not kept up
}

// zero writes the file full of zeros, durably, so that its blocks exist.
func (f *file) zero(stop func() bool) error {
	if err := f.f.Preallocate(f.bytes); err != nil {
		return err
	}
	chunk := make([]byte, min(f.bytes, 1<<20))
	for at := int64(0); at < f.bytes; at += int64(len(chunk)) {
		if stop() {
			return errStopped
		}
		if _, err := f.f.WriteAt(chunk[:min(int64(len(chunk)), f.bytes-at)], at); err != nil {
			return err
		}
	}
	return f.f.Sync()
}
