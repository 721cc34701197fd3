package servertest

import (
	"net/http"
	"slices"
	"testing"
)

// A dead node lacks nothing of a partition in which nothing happens. It is not
// in the way of those that join: its replicas can be moved to another node, and
// one that restarts meanwhile is in sync again.
func TestClusterDeadFollowerIsInNobodysWay(t *testing.T) {
	c := StartCluster(t, 4)
	create(t, c.Nodes[0], `{"name":"t","partitions":8,"replication_factor":3}`)
	front := c.Nodes[0]
	every := func(ok func(p partitionView) bool) func() bool {
		return func() bool {
			return !slices.ContainsFunc(partitions(t, front, "t"), func(p partitionView) bool { return !ok(p) })
		}
	}
	c.Nodes[2].Kill()
	eventually(t, "node 3 is in no ISR", every(func(p partitionView) bool {
		return p.Leader > 0 && p.Leader != 3 && !slices.Contains(p.ISR, 3)
	}))

	c.Nodes[3].Restart()
	eventually(t, "node 4 is in sync again", every(func(p partitionView) bool {
		return !slices.Contains(p.Replicas, 4) || slices.Contains(p.ISR, 4)
	}))

	call(t, front, "POST /v1/cluster/nodes/3/drain", `{"replicas":true}`, jsonType).want(t, http.StatusAccepted)
	eventually(t, "node 3 holds nothing", every(func(p partitionView) bool {
		return !slices.Contains(p.Replicas, 3) && len(p.ISR) == 3
	}))
	call(t, front, "DELETE /v1/cluster/nodes/3", "").want(t, http.StatusNoContent)
}
