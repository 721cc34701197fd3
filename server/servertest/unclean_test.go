package servertest

import (
	"net/http"
	"testing"

	"github.com/chroniklog/chronik/server"
)

// A partition whose in-sync replicas are gone stays offline until an operator
// accepts the loss: then a replica that lags leads.
func TestUncleanElection(t *testing.T) {
	c := StartCluster(t, 3)
	front, leader, lagging := c.Nodes[0], c.Nodes[1], c.Nodes[2]
	if _, err := front.Broker.CreateTopic(t.Context(), server.TopicSpec{
		Name: "precious", Assignment: [][]server.NodeID{{2, 3}},
	}); err != nil {
		t.Fatal(err)
	}
	state := func() partitionView { return partitions(t, front, "precious")[0] }
	produce := func(value string) answer {
		return call(t, front, "POST /v1/topics/precious/records", value)
	}
	produce("on both").want(t, http.StatusCreated)
	elect := func(body string) answer {
		return call(t, front, "POST /v1/cluster/elections", body, "Content-Type: application/json")
	}
	elect(`{"topic":"precious","partition":0,"unclean":true}`).want(t, http.StatusConflict) // it is led
	elect(`{"topic":"precious","unclean":true}`).want(t, http.StatusBadRequest)
	elect(`{"unclean":true}`).want(t, http.StatusBadRequest)
	elect(`{"topic":"precious","partition":0,"leader":3}`).want(t, http.StatusBadRequest)
	elect(`{"topic":"precious","partition":7}`).want(t, http.StatusNotFound)

	lagging.Kill()
	eventually(t, "node 3 leaves the ISR", func() bool { return len(state().ISR) == 1 })
	produce("on node 2 only").want(t, http.StatusCreated)
	leader.Kill()
	if err := lagging.tryStart(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "node 3 is back and the partition offline", func() bool {
		n, err := front.Broker.Node(3)
		return err == nil && n.Alive && state().Leader == 0
	})
	elect(`{"topic":"precious","partition":0}`).want(t, http.StatusConflict)
	elect(`{"topic":"precious","partition":0,"unclean":true,"leader":1}`).want(t, http.StatusConflict)
	elect(`{"topic":"precious","partition":0,"unclean":true}`).want(t, http.StatusOK)
	if s := state(); s.Leader != 3 || len(s.ISR) != 1 || s.ISR[0] != 3 {
		t.Errorf("after the election: %+v", s)
	}
	var read struct {
		Records []struct {
			Value string `json:"value"`
		} `json:"records"`
	}
	eventually(t, "node 3 serves what it has", func() bool {
		a := call(t, front, "GET /v1/topics/precious/partitions/0/records?offset=0", "")
		if a.StatusCode != http.StatusOK {
			return false
		}
		a.decode(t, &read)
		return len(read.Records) == 1 && read.Records[0].Value == "on both"
	})
}
