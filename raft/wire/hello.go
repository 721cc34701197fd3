package wire

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var magic = [4]byte{'C', 'H', 'K', 'P'}

const helloHead = 4 + 2 + 2 + 2 + 4

// status is the answer's verdict.
type status uint8

const (
	statusOK status = iota
	statusVersion
	statusCluster
	statusRecipient
	statusClass
	statusBusy
)

// hello is one side's half of the handshake.
type hello struct {
	version, oldest uint16
	class           Class
	status          status
	self, meant     Identity // meant has no cluster
	text            string
}

func (h hello) encode() []byte {
	body := []byte{byte(h.class), byte(h.status)}
	body = binary.LittleEndian.AppendUint64(body, h.self.Raft)
	body = binary.LittleEndian.AppendUint32(body, uint32(h.self.Node))
	body = binary.LittleEndian.AppendUint64(body, h.meant.Raft)
	body = binary.LittleEndian.AppendUint32(body, uint32(h.meant.Node))
	cluster := h.self.Cluster[:min(len(h.self.Cluster), maxCluster)]
	body = append(append(body, byte(len(cluster))), cluster...)
	text := h.text[:min(len(h.text), 255)]
	body = append(append(body, byte(len(text))), text...)
	out := magic[:len(magic):len(magic)]
	out = binary.LittleEndian.AppendUint16(out, h.version)
	out = binary.LittleEndian.AppendUint16(out, h.oldest)
	out = binary.LittleEndian.AppendUint16(out, uint16(len(body)))
	out = binary.LittleEndian.AppendUint32(out, crc32.Checksum(body, castagnoli))
	return append(out, body...)
}

// readHello reads one half. Fields behind those it knows are a newer
// release's and are ignored: only the versions decide.
func readHello(r io.Reader) (hello, error) {
	var h hello
	var head [helloHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return h, err
	}
	if [4]byte(head[:4]) != magic {
		return h, fmt.Errorf("%w: not a peer of this kind", ErrFrame)
	}
	h.version, h.oldest = binary.LittleEndian.Uint16(head[4:]), binary.LittleEndian.Uint16(head[6:])
	size := int(binary.LittleEndian.Uint16(head[8:]))
	if size > maxHello {
		return h, fmt.Errorf("%w: handshake of %d bytes", ErrFrame, size)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return h, err
	}
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(head[10:]) {
		return h, fmt.Errorf("%w: handshake checksum", ErrFrame)
	}
	return h, h.decode(body)
}

func (h *hello) decode(b []byte) error {
	const fixed = 2 + 12 + 12
	short := fmt.Errorf("%w: short handshake", ErrFrame)
	if len(b) < fixed+2 {
		return short
	}
	h.class, h.status = Class(b[0]), status(b[1])
	h.self = Identity{Raft: binary.LittleEndian.Uint64(b[2:]), Node: int32(binary.LittleEndian.Uint32(b[10:]))}
	h.meant = Identity{Raft: binary.LittleEndian.Uint64(b[14:]), Node: int32(binary.LittleEndian.Uint32(b[22:]))}
	b = b[fixed:]
	n := int(b[0])
	if n > maxCluster || len(b) < 1+n+1 {
		return short
	}
	h.self.Cluster = string(b[1 : 1+n])
	b = b[1+n:]
	n = int(b[0])
	if len(b) < 1+n {
		return short
	}
	h.text = string(b[1 : 1+n])
	return nil
}

// common is the version that two sides speak; 0: none.
func common(aNew, aOld, bNew, bOld uint16) uint16 {
	v := min(aNew, bNew)
	if v < aOld || v < bOld {
		return 0
	}
	return v
}

// judge decides over a dialer's hello.
func judge(own Identity, in hello, version, oldest uint16, known bool) (status, string) {
	switch {
	case common(version, oldest, in.version, in.oldest) == 0:
		older, newer := own.Node, in.self.Node
		if version > in.version {
			older, newer = newer, older
		}
		return statusVersion, fmt.Sprintf("node %d speaks peer protocols %d to %d, node %d %d to %d: upgrade node %d to a "+
			"release between, or run one on node %d that still speaks with it",
			own.Node, oldest, version, in.self.Node, in.oldest, in.version, older, newer)
	case own.Cluster != "" && in.self.Cluster != "" && own.Cluster != in.self.Cluster:
		return statusCluster, fmt.Sprintf("node %d belongs to cluster %s, not %s", own.Node, own.Cluster, in.self.Cluster)
	case in.meant.Raft != 0 && in.meant.Raft != own.Raft, in.meant.Node != 0 && in.meant.Node != own.Node:
		return statusRecipient, fmt.Sprintf("this is node %d (%x), not %d (%x)",
			own.Node, own.Raft, in.meant.Node, in.meant.Raft)
	case !known:
		return statusClass, fmt.Sprintf("no traffic of class %d here", in.class)
	}
	return statusOK, ""
}
