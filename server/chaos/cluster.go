package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// Cluster is several nodes, each a process of its own, whose traffic among
// themselves goes through a Network.
type Cluster struct {
	Net     *Network
	Members []*Member // by node id, from 1 on

	bin    string
	args   []string
	direct bool // the nodes' traffic does not go through Net
	client *http.Client
}

// Member is one node of a cluster. Its addresses stay the same over restarts.
type Member struct {
	ID  int
	Dir string // data directory
	URL string
	// Disk is where a file system begins that only this node uses, "" if
	// there is none.
	Disk string

	kafka string // address

	args   []string
	proc   *Process // nil while it is down
	paused bool
}

// NewCluster prepares size nodes under dir and starts none.
func NewCluster(bin, dir string, size int, args ...string) (*Cluster, error) {
	return (&Cluster{bin: bin, args: args}).prepare(dir, size)
}

// NewDirectCluster is NewCluster without a Network between the nodes: their
// sockets end as the system ends those of a process.
func NewDirectCluster(bin, dir string, size int, args ...string) (*Cluster, error) {
	return (&Cluster{bin: bin, args: args, direct: true}).prepare(dir, size)
}

func (c *Cluster) prepare(dir string, size int) (*Cluster, error) {
	c.Net, c.client = NewNetwork(), &http.Client{Timeout: 5 * time.Second}
	addrs, err := freeAddrs(loopback(), size*memberAddrs)
	if err != nil {
		return nil, err
	}
	var peers []string
	for id := 1; id <= size; id++ {
		m := c.member(addrs[(id-1)*memberAddrs:], filepath.Join(dir, fmt.Sprintf("node%d", id)), id)
		peers = append(peers, fmt.Sprintf("%d@%s", id, c.Net.gates[id].outside))
		c.Members = append(c.Members, m)
	}
	for _, m := range c.Members {
		m.args = append(m.args, "--peers", strings.Join(peers, ","))
	}
	return c, nil
}

// memberAddrs is how many addresses a node takes.
const memberAddrs = 4

// member makes a node that is down.
func (c *Cluster) member(addrs []string, dir string, id int) *Member {
	if c.direct {
		addrs[0] = addrs[1]
	}
	c.Net.Add(id, addrs[0], addrs[1])
	return &Member{
		ID: id, Dir: dir, URL: "http://" + addrs[2], kafka: addrs[3],
		args: []string{
			"--node-id", fmt.Sprint(id), "--http", addrs[2], "--kafka", addrs[3],
			"--peer", addrs[1], "--peer-advertise", addrs[0],
		},
	}
}

// Join prepares one more node, which enters the running cluster when it is
// started.
func (c *Cluster) Join(dir string) (*Member, error) {
	id := len(c.Members) + 1
	host, _, _ := strings.Cut(strings.TrimPrefix(c.Members[0].URL, "http://"), ":")
	addrs, err := freeAddrs(host, memberAddrs)
	if err != nil {
		return nil, err
	}
	m := c.member(addrs, filepath.Join(dir, fmt.Sprintf("node%d", id)), id)
	m.args = append(m.args, "--join", c.Net.gates[1].outside)
	c.Members = append(c.Members, m)
	return m, nil
}

// Start starts every node that is down and returns when all are ready.
func (c *Cluster) Start(ctx context.Context) error {
	var g errgroup.Group
	for _, m := range c.Members {
		if m.proc == nil {
			g.Go(func() error { return c.StartNode(ctx, m) })
		}
	}
	return g.Wait()
}

// StartNode starts one node and returns when it is ready.
func (c *Cluster) StartNode(ctx context.Context, m *Member, args ...string) error {
	if !c.direct {
		if err := c.Net.Up(m.ID); err != nil {
			return err
		}
	}
	p, err := Serve(ctx, c.bin, m.Dir, slices.Concat(m.args, c.args, args)...)
	if err != nil {
		c.Net.Down(m.ID)
		return fmt.Errorf("node %d: %w", m.ID, err)
	}
	m.proc, m.paused = p, false
	return nil
}

// Kill is SIGKILL.
func (c *Cluster) Kill(m *Member) {
	if m.proc != nil {
		m.proc.Kill()
		m.proc = nil
		c.Net.Down(m.ID)
	}
}

// StopNode is SIGTERM.
func (c *Cluster) StopNode(ctx context.Context, m *Member) error {
	if m.proc == nil {
		return nil
	}
	err := m.proc.Stop(ctx)
	if err != nil {
		err = fmt.Errorf("node %d: %w\n%s", m.ID, err, m.proc.Log())
	}
	m.proc = nil
	c.Net.Down(m.ID)
	return err
}

// Stop stops every node that runs, at the same time.
func (c *Cluster) Stop(ctx context.Context) error {
	errs := make([]error, len(c.Members))
	var g errgroup.Group
	for i, m := range c.Members {
		g.Go(func() error { errs[i] = c.StopNode(ctx, m); return nil })
	}
	_ = g.Wait() // errs has them all
	return errors.Join(errs...)
}

// Pause is SIGSTOP.
func (c *Cluster) Pause(m *Member) error {
	m.paused = true
	return m.proc.Signal(syscall.SIGSTOP)
}

// Resume is SIGCONT.
func (c *Cluster) Resume(m *Member) error {
	m.paused = false
	return m.proc.Signal(syscall.SIGCONT)
}

// Close kills what still runs.
func (c *Cluster) Close() {
	for _, m := range c.Members {
		c.Kill(m)
	}
	c.Net.Close()
	c.client.CloseIdleConnections()
}

// Wipe empties the data directory of a node that is down.
func (c *Cluster) Wipe(m *Member) error { return os.RemoveAll(m.Dir) }

// Died is the first node that ended by itself, nil if there is none.
func (c *Cluster) Died() *Member {
	for _, m := range c.Members {
		if m.proc == nil {
			continue
		}
		select {
		case <-m.proc.Done():
			return m
		default:
		}
	}
	return nil
}

// URLs are where clients find the nodes.
func (c *Cluster) URLs() (urls []string) {
	for _, m := range c.Members {
		urls = append(urls, m.URL)
	}
	return urls
}

// kafkaAddrs are where Kafka's clients find the nodes.
func (c *Cluster) kafkaAddrs() (addrs []string) {
	for _, m := range c.Members {
		addrs = append(addrs, m.kafka)
	}
	return addrs
}

// Logs are the last lines of every node that runs.
func (c *Cluster) Logs() string {
	var b strings.Builder
	for _, m := range c.Members {
		if m.proc != nil {
			fmt.Fprintf(&b, "--- node %d\n%s\n", m.ID, m.proc.Log())
		}
	}
	return b.String()
}

// Status is what a node says of its cluster.
type Status struct {
	ClusterID  string `json:"cluster_id"`
	Controller int    `json:"controller"`
	Nodes      []struct {
		ID    int  `json:"id"`
		Alive bool `json:"alive"`
	} `json:"nodes"`
	Offline         int `json:"offline_partitions"`
	UnderReplicated int `json:"under_replicated_partitions"`
}

// Partition is what a node says of a partition.
type Partition struct {
	Number        int32 `json:"partition"`
	Leader        int   `json:"leader"`
	LeaderEpoch   int32 `json:"leader_epoch"`
	Replicas      []int `json:"replicas"`
	ISR           []int `json:"isr"`
	LogStart      int64 `json:"log_start_offset"`
	HighWatermark int64 `json:"high_watermark"`
}

// Get asks a node for a document.
func (c *Cluster) Get(ctx context.Context, m *Member, path string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.URL+path, nil)
	if err != nil {
		return err
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("node %d: GET %s: %s: %s", m.ID, path, resp.Status, body)
	}
	return json.Unmarshal(body, answer)
}

// Status asks a node.
func (c *Cluster) Status(ctx context.Context, m *Member) (s Status, err error) {
	return s, c.Get(ctx, m, "/v1/cluster", &s)
}

// Partitions asks a node for those of a topic.
func (c *Cluster) Partitions(ctx context.Context, m *Member, topic string) ([]Partition, error) {
	var answer struct {
		Partitions []Partition `json:"partitions"`
	}
	err := c.Get(ctx, m, "/v1/topics/"+topic+"/partitions", &answer)
	return answer.Partitions, err
}

// Await asks again and again until done returns nil, or ctx ends: then the
// last reason is the error.
func Await(ctx context.Context, done func() error) error {
	for {
		err := done()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Healthy returns when every node says that all nodes live and that the
// topics' replicas are all in sync.
func (c *Cluster) Healthy(ctx context.Context, topics ...string) error {
	return Await(ctx, func() error {
		for _, m := range c.Members {
			s, err := c.Status(ctx, m)
			if err != nil {
				return err
			}
			for _, n := range s.Nodes {
				if !n.Alive {
					return fmt.Errorf("node %d says that node %d is dead", m.ID, n.ID)
				}
			}
			for _, topic := range topics {
				if err := c.inSync(ctx, m, topic); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// inSync is nil when a node says that the topic's replicas are all in sync.
func (c *Cluster) inSync(ctx context.Context, m *Member, topic string) error {
	parts, err := c.Partitions(ctx, m, topic)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if p.Leader == 0 || len(p.ISR) != len(p.Replicas) {
			return fmt.Errorf("node %d says %s/%d has leader %d, isr %v of %v",
				m.ID, topic, p.Number, p.Leader, p.ISR, p.Replicas)
		}
	}
	return nil
}

// Leader is the node that leads a partition, as a node says that runs.
func (c *Cluster) Leader(ctx context.Context, topic string, p int32) (leader *Member, err error) {
	err = Await(ctx, func() error {
		m, err := c.running()
		if err != nil {
			return err
		}
		parts, err := c.Partitions(ctx, m, topic)
		if err != nil {
			return err
		}
		if parts[p].Leader == 0 {
			return fmt.Errorf("%s/%d has no leader", topic, p)
		}
		leader = c.Members[parts[p].Leader-1]
		return nil
	})
	return leader, err
}

// Controller is the node that leads the metadata group.
func (c *Cluster) Controller(ctx context.Context) (controller *Member, err error) {
	err = Await(ctx, func() error {
		m, err := c.running()
		if err != nil {
			return err
		}
		s, err := c.Status(ctx, m)
		if err != nil {
			return err
		}
		if s.Controller == 0 {
			return errors.New("there is no controller")
		}
		controller = c.Members[s.Controller-1]
		return nil
	})
	return controller, err
}

func (c *Cluster) running() (*Member, error) {
	for _, m := range c.Members {
		if m.proc != nil && !m.paused {
			return m, nil
		}
	}
	return nil, errors.New("no node runs")
}
