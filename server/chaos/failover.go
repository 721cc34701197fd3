package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Victim is what the node that is killed was.
type Victim string

// The kinds of victims.
const (
	LeaderOnly     Victim = "leader"            // of the partition, and not the controller
	ControllerOnly Victim = "controller"        // and a follower of the partition
	Both           Victim = "leader=controller" // one node
)

// Failover is one killing, in time since the signal.
type Failover struct {
	Victim Victim
	// Control is when another node became the controller, 0 if it was there
	// all the time; Fenced when the victim was out of the in-sync replicas;
	// Elected when the new leader knew that it is. From the nodes' logs.
	Control, Fenced, Elected time.Duration
	// Retried is the first acknowledgement to a client that asks a surviving
	// node again and again; Attempts is how many requests it took.
	Retried  time.Duration
	Attempts int
	// Waited is the answer to one request that is sent when the process has
	// ended, and waits. Unknown tells that its outcome was: it had been sent to
	// the victim.
	Waited  time.Duration
	Unknown bool
}

const (
	failoverTopic = "failover"
	// failoverTry bounds a request of the client that repeats.
	failoverTry = 250 * time.Millisecond
	// failoverLimit is when a failover counts as failed.
	failoverLimit = 20 * time.Second
)

// Failover makes the cluster what v says, kills the victim, measures, and has
// it back. The cluster is of three nodes.
func (c *Cluster) Failover(ctx context.Context, v Victim) (f Failover, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	victim, front, err := c.stage(ctx, v)
	if err != nil {
		return f, fmt.Errorf("before the kill: %w", err)
	}
	f.Victim = v
	var others []*Member
	for _, m := range c.Members {
		if m != victim {
			others = append(others, m)
		}
	}
	from := time.Now()
	var wg sync.WaitGroup
	wg.Go(func() {
		c.Kill(victim)
		f.Waited, f.Unknown, err = c.wait(ctx, front, from)
	})
	f.Retried, f.Attempts = c.retry(ctx, front, from)
	wg.Wait()
	if err != nil || f.Retried > failoverLimit {
		return f, errors.Join(fmt.Errorf("no acknowledgement for %v\n%s", f.Retried, c.Logs()), err)
	}
	if err := c.StartNode(ctx, victim); err != nil {
		return f, err
	}
	err = c.Healthy(ctx, failoverTopic)
	f.read(others, victim.ID, from)
	return f, err
}

// stage finds the victim and the node that clients ask, after it has moved the
// controller to where it shall be.
func (c *Cluster) stage(ctx context.Context, v Victim) (victim, front *Member, err error) {
	if err := c.Healthy(ctx, failoverTopic); err != nil {
		return nil, nil, err
	}
	var leader *Member
	err = Await(ctx, func() error { // the preferred one, which will not change any more
		parts, err := c.Partitions(ctx, c.Members[0], failoverTopic)
		if err != nil {
			return err
		}
		if parts[0].Leader != parts[0].Replicas[0] {
			return fmt.Errorf("node %d leads, of %v", parts[0].Leader, parts[0].Replicas)
		}
		leader = c.Members[parts[0].Leader-1]
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	next, last := c.Members[leader.ID%len(c.Members)], c.Members[(leader.ID+1)%len(c.Members)]
	controller := leader
	victim, front = leader, last
	switch v {
	case LeaderOnly:
		controller = next
	case ControllerOnly:
		controller, victim, front = next, next, last
	}
	if err := c.transfer(ctx, controller); err != nil {
		return nil, nil, err
	}
	return victim, front, c.produce(ctx, front)
}

// transfer makes a node the controller; all see it.
func (c *Cluster) transfer(ctx context.Context, to *Member) error {
	return Await(ctx, func() error {
		for _, m := range c.Members {
			s, err := c.Status(ctx, m)
			if err != nil {
				return err
			}
			if s.Controller != to.ID {
				err := c.post(ctx, m.URL+"/v1/cluster/controller", "application/json", fmt.Sprintf(`{"node":%d}`, to.ID))
				return errors.Join(fmt.Errorf("node %d takes node %d for the controller", m.ID, s.Controller), err)
			}
		}
		return nil
	})
}

// produce appends one record through a node.
func (c *Cluster) produce(ctx context.Context, through *Member) error {
	return c.post(ctx, through.URL+"/v1/topics/"+failoverTopic+"/records?partition=0", "text/plain", "value")
}

// errUnknownOutcome: the answer says that nobody knows.
var errUnknownOutcome = errors.New("outcome unknown")

func (c *Cluster) post(ctx context.Context, url, kind, body string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", kind)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch {
	case err != nil:
		return err
	case resp.StatusCode == http.StatusGatewayTimeout:
		return fmt.Errorf("%w: %s", errUnknownOutcome, text)
	case resp.StatusCode >= http.StatusMultipleChoices:
		return fmt.Errorf("%s: %s", resp.Status, text)
	}
	return nil
}

// retry asks until a record is acknowledged.
func (c *Cluster) retry(ctx context.Context, front *Member, from time.Time) (took time.Duration, attempts int) {
	for time.Since(from) < failoverLimit {
		attempts++
		try, cancel := context.WithTimeout(ctx, failoverTry)
		err := c.produce(try, front)
		cancel()
		if err == nil {
			break
		}
		pause(ctx)
	}
	return time.Since(from), attempts
}

// wait sends one request, and tells when it was answered and whether its
// outcome is unknown.
func (c *Cluster) wait(ctx context.Context, front *Member, from time.Time) (time.Duration, bool, error) {
	err := c.produce(ctx, front)
	took := time.Since(from)
	if errors.Is(err, errUnknownOutcome) {
		return took, true, nil
	}
	return took, false, err
}

// read takes from the survivors' logs what happened when.
func (f *Failover) read(survivors []*Member, victim int, from time.Time) {
	at := func(msg string, attributes ...string) time.Duration {
		var times []time.Duration
		for _, m := range survivors {
			for _, line := range m.proc.Logged(msg, attributes...) {
				var entry struct {
					Time time.Time `json:"time"`
				}
				if json.Unmarshal([]byte(line), &entry) == nil && entry.Time.After(from) {
					times = append(times, entry.Time.Sub(from))
				}
			}
		}
		if len(times) == 0 {
			return 0
		}
		return slices.Min(times)
	}
	f.Control = at("this node is the controller")
	f.Fenced = at("broker fenced", fmt.Sprintf(`"broker":%d`, victim))
	f.Elected = at("elected new leader", fmt.Sprintf(`"topic":%q`, failoverTopic))
}

// FailoverTable shows the median and the worst of each kind, in milliseconds.
func FailoverTable(rounds []Failover) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-18s %6s  %13s %13s %13s %13s %13s  %s\n", "victim, ms", "rounds",
		"control", "fenced", "elected", "first ack", "one request", "unknown")
	for _, v := range []Victim{LeaderOnly, ControllerOnly, Both} {
		var of []Failover
		unknown := 0
		for _, f := range rounds {
			if f.Victim == v {
				of = append(of, f)
				if f.Unknown {
					unknown++
				}
			}
		}
		if len(of) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%-18s %6d ", v, len(of))
		for _, pick := range []func(Failover) time.Duration{
			func(f Failover) time.Duration { return f.Control },
			func(f Failover) time.Duration { return f.Fenced },
			func(f Failover) time.Duration { return f.Elected },
			func(f Failover) time.Duration { return f.Retried },
			func(f Failover) time.Duration { return f.Waited },
		} {
			median, worst := spread(of, pick)
			fmt.Fprintf(&b, "  %5d / %-5d", median.Milliseconds(), worst.Milliseconds())
		}
		fmt.Fprintf(&b, " %d\n", unknown)
	}
	return b.String()
}

// spread is the median and the worst of a time.
func spread(rounds []Failover, pick func(Failover) time.Duration) (median, worst time.Duration) {
	var times []time.Duration
	for _, f := range rounds {
		times = append(times, pick(f))
	}
	slices.Sort(times)
	return times[len(times)/2], times[len(times)-1]
}
