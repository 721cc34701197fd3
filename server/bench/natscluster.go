package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// natsTrio is a cluster of three NATS servers with one stream of three
// replicas.
type natsTrio struct {
	trio
	conn *nats.Conn // to any of them
}

// startNatsTrio starts three servers and creates the stream.
func (b *bench) startNatsTrio(ctx context.Context, name, interval string) (*natsTrio, error) {
	host := loopback()
	t := &natsTrio{trio: trio{nodes: make([]*process, clusterSize)}}
	clients, routes := make([]string, clusterSize), make([]string, clusterSize)
	for i := range clusterSize {
		var err error
		if clients[i], err = freeOn(host); err != nil {
			return nil, err
		}
		if routes[i], err = freeOn(host); err != nil {
			return nil, err
		}
	}
	urls := make([]string, clusterSize)
	for i := range clusterSize {
		urls[i] = fmt.Sprintf("%q", "nats://"+routes[i])
	}
	for i := range clusterSize {
		name := fmt.Sprintf("nats3-%s%d", name, i+1)
		var config bytes.Buffer
		fmt.Fprintf(&config, "server_name: n%d\nlisten: %q\n", i+1, clients[i])
		fmt.Fprintf(&config, "jetstream {\n  store_dir: %q\n  sync_interval: %s\n  max_file: 200GB\n}\n",
			b.file(name), interval)
		fmt.Fprintf(&config, "cluster {\n  name: bench\n  listen: %q\n  routes: [%s]\n}\n", routes[i],
			strings.Join(urls, ", "))
		if err := os.WriteFile(b.file(name+".conf"), config.Bytes(), 0o600); err != nil {
			return nil, err
		}
		t.members = append(t.members, member{name, clients[i], b.nats, []string{"-c", b.file(name + ".conf")}})
		if err := b.startMember(&t.trio, i); err != nil {
			return nil, err
		}
	}
	var err error
	for _, p := range t.nodes {
		if err = p.ready(ctx, func() error { return dialable(p.address) }); err != nil {
			return nil, err
		}
	}
	if t.conn, err = nats.Connect("nats://"+strings.Join(clients, ",nats://"), nats.MaxReconnects(-1)); err != nil {
		return nil, err
	}
	return t, await(ctx, "a stream of three replicas", func(ctx context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		js, err := jetstream.New(t.conn)
		if err == nil {
			_, err = js.CreateOrUpdateStream(ctx, natsStream(clusterSize))
		}
		if err == nil {
			_, err = t.leader(ctx)
		}
		return err == nil, err
	})
}

// leader is the index of the server that leads the stream.
func (t *natsTrio) leader(ctx context.Context) (int, error) {
	info, err := t.info(ctx)
	if err != nil {
		return 0, err
	}
	var id int
	if _, err := fmt.Sscanf(info.Cluster.Leader, "n%d", &id); err != nil {
		return 0, fmt.Errorf("the stream has no leader: %w", err)
	}
	return id - 1, nil
}

func (t *natsTrio) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	js, err := jetstream.New(t.conn)
	if err != nil {
		return nil, err
	}
	stream, err := js.Stream(ctx, "bench")
	if err != nil {
		return nil, err
	}
	info := stream.CachedInfo()
	if info.Cluster == nil {
		return nil, errors.New("the stream is not replicated")
	}
	return info, nil
}

// waitInSync waits until every replica is current.
func (t *natsTrio) waitInSync(ctx context.Context) error {
	return await(ctx, "the stream's replicas current", func(ctx context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		info, err := t.info(ctx)
		if err != nil {
			return false, err
		}
		behind := slices.ContainsFunc(info.Cluster.Replicas, func(p *jetstream.PeerInfo) bool {
			return !p.Current || p.Offline
		})
		return info.Cluster.Leader != "" && len(info.Cluster.Replicas) == clusterSize-1 && !behind, nil
	})
}

// connect connects to server i and to no other.
func (t *natsTrio) connect(i int) (*nats.Conn, error) {
	return nats.Connect("nats://"+t.members[i].address, nats.DontRandomize(), nats.IgnoreDiscoveredServers())
}
