package servertest

import (
	"fmt"
	"net/http"
	"testing"
)

// loadView is an answer of GET /v1/cluster/load.
type loadView struct {
	BucketSeconds []float64 `json:"bucket_seconds"`
	Nodes         []struct {
		ID              int32
		Answered        bool
		AppendedRecords int64   `json:"appended_records"`
		AppendedBytes   int64   `json:"appended_bytes"`
		ReadBytes       int64   `json:"read_bytes"`
		CommitCycles    []int64 `json:"commit_cycles"`
	}
}

// Each node tells what all of them have done; one that is dead is listed as silent.
func TestClusterLoad(t *testing.T) {
	c := StartCluster(t, 3)
	create(t, c.Nodes[0], `{"name":"t","partitions":3,"replication_factor":3}`)
	for p := range int32(3) {
		for range p + 1 {
			produce(t, c.Nodes[0], fmt.Sprintf("t/partitions/%d", p), "x")
		}
		read(t, c.Nodes[0], "t", p, "offset=0")
	}
	load := func(n *Node) (v loadView) {
		call(t, n, "GET /v1/cluster/load", "").want(t, http.StatusOK).decode(t, &v)
		return v
	}
	for _, n := range c.Nodes {
		v := load(n)
		if len(v.Nodes) != 3 {
			t.Fatalf("%+v", v)
		}
		for _, led := range partitions(t, n, "t") {
			l := v.Nodes[led.Leader-1]
			cycles := int64(0)
			for _, count := range l.CommitCycles {
				cycles += count
			}
			if !l.Answered || l.ID != led.Leader || l.AppendedRecords < led.HighWatermark || l.AppendedBytes <= 0 ||
				l.ReadBytes <= 0 || cycles == 0 || len(l.CommitCycles) != len(v.BucketSeconds)+1 {
				t.Errorf("partition %d: %+v", led.Partition, l)
			}
		}
	}
	c.Nodes[2].Kill()
	if v := load(c.Nodes[0]); !v.Nodes[0].Answered || !v.Nodes[1].Answered || v.Nodes[2].Answered {
		t.Errorf("after node 3 was killed: %+v", v)
	}
}
