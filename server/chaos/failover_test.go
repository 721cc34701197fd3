package chaos

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// TestFailover kills leaders and controllers and measures until a record is
// acknowledged again. CHRONIK_FAILOVER=20 makes twenty rounds of each kind.
func TestFailover(t *testing.T) {
	bin, rounds := built(t), 1
	if s := os.Getenv("CHRONIK_FAILOVER"); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil {
			t.Fatalf("CHRONIK_FAILOVER: %v", err)
		}
	}
	c, err := NewDirectCluster(bin, t.TempDir(), 3)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	createTopic(t, c.Members[0].URL, `{"name":"`+failoverTopic+`","partitions":1,"replication_factor":3}`)
	var all []Failover
	for range rounds {
		for _, v := range []Victim{LeaderOnly, ControllerOnly, Both} {
			f, err := c.Failover(t.Context(), v)
			if err != nil {
				t.Fatalf("%s: %v", v, err)
			}
			t.Logf("%+v", f)
			all = append(all, f)
		}
	}
	t.Logf("\n%s", FailoverTable(all))
	for _, f := range all {
		if f.Retried > 2500*time.Millisecond {
			t.Errorf("no record was acknowledged for %v: %+v\n%s", f.Retried, f, c.Logs())
		}
	}
}
