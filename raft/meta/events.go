package meta

// Event is something that a command changed. Events are emitted in apply
// order and share memory with the image: slices are read-only and stay valid.
type Event interface{ event() }

// TopicCreated: see the image for its partitions.
type TopicCreated struct {
	ID         ID
	Name       string
	Partitions int32
}

// TopicDeleted follows a deletion; the name may be taken anew.
type TopicDeleted struct {
	ID         ID
	Name       string
	Partitions int32
}

// PartitionsAdded: partitions From … To-1 exist now.
type PartitionsAdded struct {
	ID       ID
	Topic    string
	From, To int32
}

// PartitionChanged is any change of an existing partition.
type PartitionChanged struct {
	TopicID   ID
	Topic     string
	Partition int32
	Old, New  Partition
}

// ConfigChanged: a topic's configs changed; the zero ID is the cluster's own.
type ConfigChanged struct {
	TopicID ID
	Topic   string
}

// BrokerChanged: a broker registered (Old.ID is 0 the first time), was fenced
// or unfenced, or began or stopped draining.
type BrokerChanged struct{ Old, New Broker }

// BrokerRemoved: a broker was unregistered.
type BrokerRemoved struct{ Broker Broker }

// ClusterInfoSet: the cluster has its identity now.
type ClusterInfoSet struct{ ClusterID string }

// MembersChanged: raft peers were added or removed.
type MembersChanged struct{}

// EntryChanged: an entry was set or, with Deleted, removed.
type EntryChanged struct {
	Space, Key string
	Deleted    bool
}

// ProducersRestored: no producer id below Next is to be given out any more,
// those of blocks that brokers hold among them.
type ProducersRestored struct{ Next int64 }

// ImageReplaced: a snapshot was installed; anything may have changed.
type ImageReplaced struct{}

func (ImageReplaced) event()     {}
func (TopicCreated) event()      {}
func (TopicDeleted) event()      {}
func (PartitionsAdded) event()   {}
func (PartitionChanged) event()  {}
func (ConfigChanged) event()     {}
func (BrokerChanged) event()     {}
func (BrokerRemoved) event()     {}
func (ClusterInfoSet) event()    {}
func (MembersChanged) event()    {}
func (EntryChanged) event()      {}
func (ProducersRestored) event() {}
