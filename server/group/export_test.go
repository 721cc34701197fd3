package group

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// SignForTest makes a token of any body.
func SignForTest(secret, body []byte) string {
	return base64.RawURLEncoding.EncodeToString(append(append([]byte{}, body...), sign(secret, body)...))
}

// Text shows a record; name is that of a topic.
func (e *ConsumerEntry) Text(name func([16]byte) string) string {
	m := &e.said
	parts := func(set map[PartitionID]int32) string {
		var list []string
		for _, p := range partitionsOf(set) {
			list = append(list, fmt.Sprintf("%s:%d@%d", name(p.Topic), p.Partition, set[p]))
		}
		return strings.Join(list, ",")
	}
	switch {
	case e.deleted:
		return fmt.Sprintf("delete %d %s", e.kind, e.member)
	case e.kind == keyConsumerGroup:
		return fmt.Sprintf("group epoch=%d", e.epoch)
	case e.kind == keyConsumerTarget:
		return fmt.Sprintf("target epoch=%d", e.epoch)
	case e.kind == keyConsumerMember:
		return fmt.Sprintf("said %s instance=%q rack=%q client=%q host=%q names=%v regex=%q rebalance=%s assignor=%q",
			e.member, m.instance, m.rack, m.clientID, m.host, m.names, m.regex, m.rebalance, m.assignor)
	case e.kind == keyConsumerTargetMember:
		set := make(map[PartitionID]int32)
		for p := range m.target {
			set[p] = 0
		}
		return "target " + e.member + "=" + strings.ReplaceAll(parts(set), "@0", "")
	}
	return fmt.Sprintf("current %s epoch=%d previous=%d state=%d assigned=%s revoking=%s",
		e.member, m.epoch, m.previous, m.state, parts(m.assigned), parts(m.revoking))
}

// Value is the record anew, without its key; nil for one that deletes.
func (e *ConsumerEntry) Value() []byte {
	switch {
	case e.deleted:
		return nil
	case e.kind == keyConsumerGroup, e.kind == keyConsumerTarget:
		return epochValue(e.epoch, e.hash)
	case e.kind == keyConsumerMember:
		return e.said.saidValue()
	case e.kind == keyConsumerTargetMember:
		return e.said.targetValue()
	}
	return e.said.currentValue()
}
