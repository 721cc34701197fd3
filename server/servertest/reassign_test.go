package servertest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// A partition moves no faster than its throttle allows, and at once when that
// is lifted; in-sync replicas of others don't notice.
func TestReassignThrottled(t *testing.T) {
	c := StartCluster(t, 3)
	front := c.Nodes[0]
	create(t, front, `{"name":"heavy","partitions":1,"replication_factor":1}`)
	create(t, front, `{"name":"busy","partitions":1,"replication_factor":3}`)
	const size, values = 64 << 10, 24 // 1.5 MiB
	for range values {
		produce(t, front, "heavy", strings.Repeat("x", size))
	}
	move := func(to int32, throttle int) {
		t.Helper()
		body := fmt.Sprintf(`{"replicas":[%d]}`, to)
		if throttle > 0 {
			body = fmt.Sprintf(`{"replicas":[%d],"throttle_bytes_per_second":%d}`, to, throttle)
		}
		call(t, front, "PUT /v1/topics/heavy/partitions/0/replicas", body, "Content-Type: application/json").
			want(t, http.StatusAccepted)
	}
	moved := func(to int32) bool {
		return slices.Equal(partitions(t, front, "heavy")[0].Replicas, []int32{to})
	}
	from := partitions(t, front, "heavy")[0].Leader
	to := from%3 + 1

	const rate = 1 << 20
	began := time.Now()
	move(to, rate)
	slowest, n := time.Duration(0), 0
	for ; !moved(to); n++ {
		at := time.Now()
		produce(t, front, "busy", "x")
		slowest = max(slowest, time.Since(at))
		if time.Since(began) > 20*time.Second {
			t.Fatal("it never moves")
		}
	}
	took := time.Since(began)
	// A quarter of a second's bytes goes at once.
	if least := time.Duration(float64(values*size-rate/4) / rate * float64(time.Second)); took < least {
		t.Errorf("1.5 MiB at 1 MiB/s took %v, at least %v is right", took, least)
	}
	t.Logf("moved in %v; %d records elsewhere meanwhile, the slowest took %v", took, n, slowest)

	move(from, 16<<10) // a minute and a half
	time.Sleep(300 * time.Millisecond)
	if moved(from) {
		t.Fatal("it moved though it is throttled")
	}
	// Node "to" is what the replica leaves; every node can tell how far it is.
	for i, n := range c.Nodes {
		var info struct {
			Reassigning int   `json:"reassigning"`
			BytesLeft   int64 `json:"bytes_left"`
		}
		call(t, n, fmt.Sprintf("GET /v1/cluster/nodes/%d", to), "").want(t, http.StatusOK).decode(t, &info)
		if most := int64(values * size * 11 / 10); info.Reassigning != 1 || info.BytesLeft < size || info.BytesLeft > most {
			t.Errorf("node %d: %+v", i+1, info)
		}
	}
	move(from, 0)
	eventually(t, "it moves once the throttle is lifted", func() bool { return moved(from) })
}
