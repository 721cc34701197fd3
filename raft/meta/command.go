package meta

import "fmt"

// Command is something to change. The types of this package are the only
// commands; use pointers.
type Command interface {
	kind() kind
	encode(*encoder)
	decode(*decoder)
	// apply checks everything before it changes anything.
	apply(*step) Result
}

// kind numbers the commands in the log. Numbers are never reused.
type kind uint8

const (
	kindRegisterBroker kind = iota + 1
	kindFenceBroker
	kindUnfenceBroker
	kindDrainBroker
	kindRemoveBroker
	kindCreateTopic
	kindDeleteTopic
	kindCreatePartitions
	kindAlterConfig
	kindAlterPartition
	kindLeaveISR
	kindReassignPartition
	kindElectLeaders
	kindRaiseTopic
	kindAllocateProducerIDs
	kindMapProducer
	kindSetClusterInfo
	kindSetEntry
	kindRestoreTopic
	kindRestoreProducers
	kindEnd
)

// newCommand makes an empty command to decode into.
var newCommand = [kindEnd]func() Command{
	kindRegisterBroker:      func() Command { return new(RegisterBroker) },
	kindFenceBroker:         func() Command { return new(FenceBroker) },
	kindUnfenceBroker:       func() Command { return new(UnfenceBroker) },
	kindDrainBroker:         func() Command { return new(DrainBroker) },
	kindRemoveBroker:        func() Command { return new(RemoveBroker) },
	kindCreateTopic:         func() Command { return new(CreateTopic) },
	kindDeleteTopic:         func() Command { return new(DeleteTopic) },
	kindCreatePartitions:    func() Command { return new(CreatePartitions) },
	kindAlterConfig:         func() Command { return new(AlterConfig) },
	kindAlterPartition:      func() Command { return new(AlterPartition) },
	kindLeaveISR:            func() Command { return new(LeaveISR) },
	kindReassignPartition:   func() Command { return new(ReassignPartition) },
	kindElectLeaders:        func() Command { return new(ElectLeaders) },
	kindRaiseTopic:          func() Command { return new(RaiseTopic) },
	kindAllocateProducerIDs: func() Command { return new(AllocateProducerIDs) },
	kindMapProducer:         func() Command { return new(MapProducer) },
	kindSetClusterInfo:      func() Command { return new(SetClusterInfo) },
	kindSetEntry:            func() Command { return new(SetEntry) },
	kindRestoreTopic:        func() Command { return new(RestoreTopic) },
	kindRestoreProducers:    func() Command { return new(RestoreProducers) },
}

// commandVersion is the version of every command's fields. A release that
// adds fields raises it and goes on reading the older ones. Since version 2
// reassignments have a throttle.
const commandVersion = 2

// Encode makes the bytes that the log carries:
//
//	version u8, kind u8, request id 16, time varint, seq uvarint, fields
func Encode(r Request, c Command) []byte {
	e := encoder{b: make([]byte, 0, 128)}
	e.byte(commandVersion)
	e.byte(byte(c.kind()))
	e.id(r.ID)
	e.i64(r.TimeMs)
	e.u64(r.Seq)
	c.encode(&e)
	return e.b
}

// Decode reads an encoded command. ErrVersion: a newer release wrote it;
// ErrCorrupt: none did. The command shares nothing with b.
func Decode(b []byte) (Request, Command, error) {
	if len(b) > MaxCommand {
		return Request{}, nil, fmt.Errorf("%w: command of %d bytes", ErrCorrupt, len(b))
	}
	d := decoder{b: b}
	version, k := d.byte(), kind(d.byte())
	switch {
	case d.err != nil:
		return Request{}, nil, d.err
	case version > commandVersion:
		return Request{}, nil, fmt.Errorf("%w: command version %d, this release reads up to %d; upgrade this node",
			ErrVersion, version, commandVersion)
	case version == 0 || k == 0:
		return Request{}, nil, fmt.Errorf("%w: command version %d, kind %d", ErrCorrupt, version, k)
	case k >= kindEnd:
		return Request{}, nil, fmt.Errorf("%w: command kind %d, this release knows up to %d; upgrade this node",
			ErrVersion, k, kindEnd-1)
	}
	d.version = version
	r := Request{ID: d.id(), TimeMs: d.i64(), Seq: d.u64()}
	c := newCommand[k]()
	c.decode(&d)
	if err := d.end(); err != nil {
		return Request{}, nil, fmt.Errorf("%T: %w", c, err)
	}
	return r, c, nil
}

// RequestID reads the request id of an encoded command, zero if it is too
// short to have one.
func RequestID(b []byte) (id ID) {
	if len(b) >= 18 {
		copy(id[:], b[2:])
	}
	return id
}
