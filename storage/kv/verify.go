package kv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"
)

// verifyTables checks every block of every table before Badger opens them. It
// checks an index when it opens a table, and a block when it reads it; but
// some damage makes it panic in a goroutine of its own, where nobody can turn
// that into an error.
func verifyTables(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil {
		return err
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := verifyTable(b); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrCorrupt, name, err)
		}
	}
	return nil
}

var errTable = errors.New("malformed table")

// verifyTable checks one table: blocks, index, index length u32, checksum,
// checksum length u32.
func verifyTable(b []byte) (err error) {
	// The index is a flatbuffer, whose accessors panic when it is damaged.
	// Its checksum is good by then, but not everyone computes it well.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errTable, r)
		}
	}()
	rest, sum, err := cutSum(b)
	if err != nil {
		return err
	}
	if len(rest) < 4 {
		return errTable
	}
	n := int(binary.BigEndian.Uint32(rest[len(rest)-4:]))
	rest = rest[:len(rest)-4]
	if n > len(rest) {
		return errTable
	}
	raw := rest[len(rest)-n:]
	if err := y.VerifyChecksum(raw, sum); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	index := fb.GetRootAsTableIndex(raw, 0)
	for i := range index.OffsetsLength() {
		var o fb.BlockOffset
		if !index.Offsets(&o, i) {
			return errTable
		}
		from, to := int(o.Offset()), int(o.Offset())+int(o.Len())
		if from > to || to > len(rest)-n {
			return errTable
		}
		data, sum, err := cutSum(b[from:to])
		if err != nil {
			return fmt.Errorf("block %d: %w", i, err)
		}
		if err := y.VerifyChecksum(data, sum); err != nil {
			return fmt.Errorf("block %d: %w", i, err)
		}
	}
	return nil
}

// cutSum takes a checksum and its length off the end.
func cutSum(b []byte) ([]byte, *pb.Checksum, error) {
	if len(b) < 4 {
		return nil, nil, errTable
	}
	n := int(binary.BigEndian.Uint32(b[len(b)-4:]))
	b = b[:len(b)-4]
	if n > len(b) {
		return nil, nil, errTable
	}
	sum := &pb.Checksum{}
	if err := proto.Unmarshal(b[len(b)-n:], sum); err != nil {
		return nil, nil, fmt.Errorf("%w: checksum: %w", errTable, err)
	}
	return b[:len(b)-n], sum, nil
}
