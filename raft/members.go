package raft

import (
	"encoding/binary"
	"fmt"

	"github.com/chroniklog/chronik/raft/meta"
)

// The context of a configuration change lists the members that it adds:
// count u8, then raft id u64, node id u32, address length u16, address.

func encodeMembers(members []meta.Member) []byte {
	b := []byte{byte(len(members))}
	for _, m := range members {
		b = binary.LittleEndian.AppendUint64(b, m.RaftID)
		b = binary.LittleEndian.AppendUint32(b, uint32(m.Node))
		b = binary.LittleEndian.AppendUint16(b, uint16(len(m.Addr)))
		b = append(b, m.Addr...)
	}
	return b
}

func decodeMembers(b []byte) ([]meta.Member, error) {
	if len(b) == 0 {
		return nil, nil
	}
	n := int(b[0])
	b = b[1:]
	out := make([]meta.Member, 0, n)
	for range n {
		if len(b) < 14 {
			return nil, fmt.Errorf("%w: member list", ErrCorrupt)
		}
		m := meta.Member{RaftID: binary.LittleEndian.Uint64(b), Node: int32(binary.LittleEndian.Uint32(b[8:]))}
		size := int(binary.LittleEndian.Uint16(b[12:]))
		b = b[14:]
		if size > len(b) {
			return nil, fmt.Errorf("%w: member list", ErrCorrupt)
		}
		m.Addr = string(b[:size])
		b = b[size:]
		out = append(out, m)
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("%w: member list", ErrCorrupt)
	}
	return out, nil
}
