package servertest

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chroniklog/chronik/server/config"
)

// Topics that are created while the cluster gets another controller, by order
// or since the last one died, are there once, whole, and on every node when
// that is answered.
func TestClusterTopicsThroughControllerChange(t *testing.T) {
	c := StartCluster(t, 3)
	var status struct{ Controller int32 }
	call(t, c.Nodes[0], "GET /v1/cluster", "").want(t, http.StatusOK).decode(t, &status)
	dying := status.Controller
	live := []*Node{c.Nodes[dying%3], c.Nodes[(dying+1)%3]}
	var group sync.WaitGroup
	stop := make(chan struct{})
	var count atomic.Int64 // of topics that were created
	more := func() {
		t.Helper()
		want := count.Load() + 4
		eventually(t, "topics are created", func() bool { return count.Load() >= want })
	}
	created := make([][]string, len(live))
	for i, n := range live {
		group.Go(func() {
			for k := 0; ; k++ {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprintf("t-%d-%d", i, k)
				a := call(t, n, "POST /v1/topics", `{"name":"`+name+`","replication_factor":3}`, jsonType)
				if a.StatusCode != http.StatusCreated {
					t.Errorf("create %s: %s %s", name, a.Status, a.body)
					return
				}
				created[i] = append(created[i], name)
				count.Add(1)
				for _, other := range live {
					if a := call(t, other, "GET /v1/topics/"+name, ""); a.StatusCode != http.StatusOK {
						t.Errorf("%s is created: %s says %s", name, other.URL, a.Status)
					}
				}
			}
		})
	}
	for round := range 6 {
		to := (int(dying)+round)%3 + 1
		call(t, live[0], "POST /v1/cluster/controller", fmt.Sprintf(`{"node":%d}`, to), jsonType).want(t, http.StatusOK)
		more()
	}
	c.Nodes[dying-1].Kill() // the last round gave it back the control
	eventually(t, "another controller", func() bool {
		call(t, live[0], "GET /v1/cluster", "").want(t, http.StatusOK).decode(t, &status)
		return status.Controller != 0 && status.Controller != dying
	})
	more()
	close(stop)
	group.Wait()
	c.Nodes[dying-1].Restart()
	for i, names := range created {
		if len(names) == 0 {
			t.Errorf("no topic was created through %s", live[i].URL)
		}
		for _, name := range names {
			for _, n := range c.Nodes {
				for _, p := range partitions(t, n, name) {
					if len(p.Replicas) != 3 || p.Leader == 0 {
						t.Errorf("%s shows %s/%+v", n.URL, name, p)
					}
				}
			}
		}
	}
}

// A creation that comes before there is a cluster waits for it, or is told to
// come again.
func TestClusterTopicBeforeTheFirstElection(t *testing.T) {
	c := &Cluster{t: t, host: loopback()}
	for id := 1; id <= 3; id++ {
		c.peers = append(c.peers, fmt.Sprintf("%d@%s", id, c.freeAddr()))
	}
	for id := 1; id <= 3; id++ {
		c.Nodes = append(c.Nodes, prepare(t, WithConfig(c.static(id)), WithConfig(func(cfg *config.Config) {
			cfg.HTTP = c.freeAddr()
		})))
	}
	early := c.Nodes[0].o.cfg.HTTP
	answered := make(chan string)
	go func() {
		defer close(answered)
		for t.Context().Err() == nil {
			resp, err := http.Post("http://"+early+"/v1/topics", "application/json",
				strings.NewReader(`{"name":"early","replication_factor":3}`))
			if err != nil { // it doesn't listen yet
				time.Sleep(time.Millisecond)
				continue
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusServiceUnavailable {
				answered <- resp.Status
				return
			}
			if resp.Header.Get("Retry-After") == "" {
				t.Error("503 without Retry-After")
			}
		}
	}()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if status := <-answered; status != "201 Created" {
		t.Fatal(status)
	}
	expectPlaced(t, c, "early")
	http.DefaultClient.CloseIdleConnections()
}
