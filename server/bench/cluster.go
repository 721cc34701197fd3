package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// clusterSize is how many nodes each cluster has. All of them, and the
// generator, share this machine.
const clusterSize = 3

// member is how one server of a cluster is started, each time.
type member struct {
	name, address, binary string
	args                  []string
}

// trio is a cluster of three servers; node i+1 is at index i.
type trio struct {
	members []member
	nodes   []*process
}

// startTrio founds a cluster and waits until every node is ready.
func (b *bench) startTrio(ctx context.Context, name string) (*trio, error) {
	host := loopback()
	t := &trio{nodes: make([]*process, clusterSize)}
	https, peers := make([]string, clusterSize), make([]string, clusterSize)
	founders := make([]string, clusterSize)
	for i := range clusterSize {
		var err error
		if https[i], err = freeOn(host); err != nil {
			return nil, err
		}
		if peers[i], err = freeOn(host); err != nil {
			return nil, err
		}
		founders[i] = fmt.Sprintf("%d@%s", i+1, peers[i])
	}
	for i := range clusterSize {
		name := fmt.Sprintf("%s%d", name, i+1)
		t.members = append(t.members, member{name, https[i], b.chronik, []string{
			"serve", "--node-id", fmt.Sprint(i + 1), "--data-dir", b.file("data-" + name),
			"--peers", strings.Join(founders, ","), "--http", https[i], "--peer", peers[i], "--kafka", host + ":0",
			"--log-level", "warn",
		}})
		if err := b.startMember(t, i); err != nil {
			return nil, err
		}
	}
	for _, p := range t.nodes {
		if err := p.readyHTTP(ctx, "/readyz"); err != nil {
			return nil, err
		}
	}
	return t, t.waitRegistered(ctx)
}

// startMember starts one server, also one that has run before; it is not ready
// on return.
func (b *bench) startMember(t *trio, i int) error {
	m := t.members[i]
	p, err := b.start(m.name, m.address, m.binary, m.args...)
	if err != nil {
		return err
	}
	p.mates = t.nodes
	t.nodes[i] = p
	return nil
}

// kill ends every node.
func (t *trio) kill() {
	for _, p := range t.nodes {
		p.kill()
	}
}

// partitionState is what is needed of a partition's description.
type partitionState struct {
	Leader int   `json:"leader"`
	ISR    []int `json:"isr"`
}

// clusterState is what is needed of a cluster's description.
type clusterState struct {
	Controller int `json:"controller"`
	Nodes      []struct {
		Alive bool `json:"alive"`
	} `json:"nodes"`
}

// partitions asks node i.
func (t *trio) partitions(ctx context.Context, i int, topic string) ([]partitionState, error) {
	var answer struct {
		Partitions []partitionState `json:"partitions"`
	}
	err := getJSON(ctx, "http://"+t.nodes[i].address+"/v1/topics/"+topic+"/partitions", &answer)
	return answer.Partitions, err
}

func getJSON(ctx context.Context, url string, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// await calls check until it says that it is done, for at most a minute.
func await(ctx context.Context, what string, check func(ctx context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		done, err := check(ctx)
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s: not within a minute", what), err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (t *trio) waitRegistered(ctx context.Context) error {
	return await(ctx, "three nodes alive", func(ctx context.Context) (bool, error) {
		var state clusterState
		err := getJSON(ctx, "http://"+t.nodes[0].address+"/v1/cluster", &state)
		alive := 0
		for _, n := range state.Nodes {
			if n.Alive {
				alive++
			}
		}
		return err == nil && alive == clusterSize, err
	})
}

// waitInSync waits until node i shows every partition of a topic with n
// replicas in sync.
func (t *trio) waitInSync(ctx context.Context, i int, topic string, n int) error {
	return await(ctx, fmt.Sprintf("%d replicas of %s in sync", n, topic), func(ctx context.Context) (bool, error) {
		partitions, err := t.partitions(ctx, i, topic)
		behind := slices.ContainsFunc(partitions, func(p partitionState) bool { return len(p.ISR) != n || p.Leader == 0 })
		return err == nil && len(partitions) > 0 && !behind, err
	})
}

// create makes a topic with a replica on every node and waits until all are in
// sync.
func (t *trio) create(ctx context.Context, topic string, partitions int) error {
	if err := createReplicated(ctx, t.nodes[0].address, topic, partitions, clusterSize); err != nil {
		return err
	}
	return t.waitInSync(ctx, 0, topic, clusterSize)
}

// leader is the index of the node that leads partition 0, and of another one.
func (t *trio) leader(ctx context.Context, topic string) (leader, other int, err error) {
	partitions, err := t.partitions(ctx, 0, topic)
	if err != nil {
		return 0, 0, err
	}
	if len(partitions) == 0 || partitions[0].Leader == 0 {
		return 0, 0, fmt.Errorf("%s has no leader", topic)
	}
	leader = partitions[0].Leader - 1
	return leader, (leader + 1) % clusterSize, nil
}
