package record

import "encoding/binary"

// FenceControlType is the type in the key of a control record that carries a
// partition's fence token. Kafka's own types are small numbers; clients skip
// control batches of types they don't know.
const FenceControlType int16 = 0x4346

const fenceVersion int16 = 0

// FenceControl makes the control batch that sets a partition's fence token; an
// empty token removes the fence. The batch takes one offset: Place it. ts is
// in Unix milliseconds.
func FenceControl(token string, ts int64) []byte {
	key := make([]byte, 0, 4)
	key = binary.BigEndian.AppendUint16(key, uint16(fenceVersion))
	key = binary.BigEndian.AppendUint16(key, uint16(FenceControlType))
	value := make([]byte, 0, 2+len(token))
	value = binary.BigEndian.AppendUint16(value, uint16(fenceVersion))
	value = append(value, token...)
	b := NewBuilder(CodecNone)
	b.SetControl()
	b.Append(ts, key, value, nil)
	return b.Build(nil)
}

// ParseFence returns the token of a fence control batch. ok is false for any
// other batch; err tells that b is no batch or that its record is damaged.
func ParseFence(b []byte) (token string, ok bool, err error) {
	h, err := ParseHeader(b)
	if err != nil || !h.Control() {
		return "", false, err
	}
	var r Reader
	if _, err := r.Reset(b, 0); err != nil {
		return "", false, err
	}
	var rec Record
	if !r.Next(&rec) {
		return "", false, r.Err()
	}
	if len(rec.Key) < 4 || int16(binary.BigEndian.Uint16(rec.Key[2:])) != FenceControlType {
		return "", false, nil
	}
	if len(rec.Value) < 2 {
		return "", false, ErrRecord
	}
	return string(rec.Value[2:]), true, nil
}
