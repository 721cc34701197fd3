package chaos

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"time"
)

const (
	// linearClients is how many clients of Linear share a partition. Each call
	// that is under way at the same time multiplies the orders to look at.
	linearClients = 3
	// judgeTime bounds the search for an order.
	judgeTime = time.Minute
	// beyondAll is an offset that no log reaches.
	beyondAll = 1 << 40
)

// Linear drives clients that append, some of them on condition that the log
// ends where they believe (`expect_offset`), ask where it ends, and read it;
// and notes every call. They go slowly, so that the history can be judged.
type Linear struct {
	load    *Load // its topic, nodes and faults; its own clients do not run
	seed    uint64
	ledgers []*ledger
}

// NewLinear makes clients of a topic.
func NewLinear(topic string, partitions int32, seed uint64) *Linear {
	l := &Linear{load: NewLoad(topic, partitions, linearClients*int(partitions)), seed: seed}
	for range partitions {
		l.ledgers = append(l.ledgers, newLedger())
	}
	return l
}

// Target tells the clients where the nodes are.
func (l *Linear) Target(urls ...string) { l.load.Target(urls...) }

// Run drives the clients until ctx ends.
func (l *Linear) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for p := range l.load.Partitions {
		for n := range linearClients {
			c := &linearClient{
				Linear: l, ledger: l.ledgers[p], partition: p, id: l.ledgers[p].client(),
				random: rand.New(rand.NewPCG(l.seed, uint64(p)<<32|uint64(n))), seen: &prefix{},
			}
			wg.Go(func() { c.run(ctx) })
		}
	}
	wg.Wait()
	l.load.client.CloseIdleConnections()
}

// Check reads the logs from the node at url and judges every partition's
// history; pictures of those that have no order go to dir.
func (l *Linear) Check(ctx context.Context, url, dir string) (calls int, faults []string) {
	faults = append(faults, l.load.History.Faults...)
	for p, ledger := range l.ledgers {
		last := &linearClient{Linear: l, ledger: ledger, partition: int32(p), id: ledger.client(), seen: &prefix{}}
		err := Await(ctx, func() error {
			if !last.append(url, noExpect) {
				return fmt.Errorf("%s/%d takes no record", l.load.Topic, p)
			}
			return nil
		})
		if err != nil {
			return calls, append(faults, err.Error())
		}
		values, err := l.load.values(url, int32(p))
		if err != nil {
			return calls, append(faults, err.Error())
		}
		history, broken := ledger.close(values)
		calls += len(history)
		faults = append(faults, broken...)
		picture := filepath.Join(dir, fmt.Sprintf("%s-%d.html", l.load.Topic, p))
		if err := judge(history, judgeTime, picture); err != nil {
			faults = append(faults, fmt.Sprintf("%s/%d: %v", l.load.Topic, p, err))
		}
	}
	l.load.client.CloseIdleConnections()
	return calls, faults
}

// values reads a whole partition.
func (l *Load) values(url string, p int32) (values []string, err error) {
	for {
		page, err := l.page(url, p, int64(len(values)), "")
		if err != nil || len(page.Records) == 0 {
			return values, err
		}
		for _, r := range page.Records {
			if r.Offset != int64(len(values)) {
				return nil, fmt.Errorf("%s/%d: offset %d follows %d", l.Topic, p, r.Offset, len(values)-1)
			}
			values = append(values, r.Value)
		}
	}
}

// linearClient makes one call after the other.
type linearClient struct {
	*Linear
	ledger    *ledger
	partition int32
	id        int
	random    *rand.Rand
	sent      int
	tail      int64   // where it believes that the log ends
	seen      *prefix // what it has read
}

func (c *linearClient) run(ctx context.Context) {
	for ctx.Err() == nil && !c.ledger.full() {
		node := c.load.node(c.random.IntN(1 << 20))
		switch c.random.IntN(8) {
		case 0, 1:
			c.append(node, noExpect)
		case 2, 3, 4:
			c.append(node, max(0, c.tail-int64(c.random.IntN(4)/3))) // one in four is wrong for sure
		case 5:
			c.askTail(node)
		default:
			if c.random.IntN(8) == 0 {
				c.seen = &prefix{} // from the start, lest old records change
			}
			c.read(node)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(5+c.random.IntN(40)) * time.Millisecond):
		}
	}
}

// append sends one value and tells whether it was acknowledged.
func (c *linearClient) append(node string, expect int64) bool {
	c.sent++
	call := call{kind: callAppend, value: fmt.Sprintf("%d.%d", c.id, c.sent), expect: expect}
	url := fmt.Sprintf("%s/v1/topics/%s/records?partition=%d", node, c.load.Topic, c.partition)
	if expect != noExpect {
		url += fmt.Sprintf("&expect_offset=%d", expect)
	}
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader([]byte(call.value)))
	if err != nil {
		panic(err) // a URL of our own making
	}
	var answer struct {
		Offset  int64 `json:"offset"`
		Current int64 `json:"current_offset"`
	}
	began := c.ledger.now()
	switch a := c.load.exchange(req, &answer, http.StatusCreated, http.StatusPreconditionFailed); {
	case a.acked && a.status == http.StatusCreated:
		c.ledger.note(c.id, began, call, reply{offset: answer.Offset})
		c.tail = answer.Offset + 1
		return true
	case a.acked:
		c.ledger.note(c.id, began, call, reply{conflict: true, offset: answer.Current})
		c.tail = answer.Current
	case a.notApplied:
		c.ledger.refuse(call.value)
	default:
		c.ledger.lost(c.id, began, call)
		c.id = c.ledger.client()
	}
	return false
}

// askTail asks for the log's end: an offset beyond it is refused with it, and
// a leader has the others confirm that it leads before it says so.
func (c *linearClient) askTail(node string) {
	url := fmt.Sprintf("%s/v1/topics/%s/partitions/%d/records?offset=%d", node, c.load.Topic, c.partition, beyondAll)
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		panic(err)
	}
	var answer struct {
		HighWatermark *int64 `json:"high_watermark"`
	}
	began := c.ledger.now()
	if !c.load.exchange(req, &answer, http.StatusRequestedRangeNotSatisfiable).acked {
		return
	}
	if answer.HighWatermark == nil {
		c.load.History.fault("%s: a refusal without high_watermark", url)
		return
	}
	c.tail = *answer.HighWatermark
	c.ledger.note(c.id, began, call{kind: callTail}, reply{offset: c.tail})
}

// read goes on from what it has read.
func (c *linearClient) read(node string) {
	began := c.ledger.now()
	page, err := c.load.page(node, c.partition, c.seen.end, "")
	if err != nil {
		return
	}
	if len(page.Records) == 0 && page.HighWatermark > c.seen.end {
		c.load.History.fault("%s/%d: read nothing from %d: %+v", c.load.Topic, c.partition, c.seen.end, page)
	}
	for _, r := range page.Records {
		if r.Offset != c.seen.end {
			c.load.History.fault("%s/%d: read offset %d after %d", c.load.Topic, c.partition, r.Offset, c.seen.end-1)
			return
		}
		c.seen = c.seen.add(r.Value)
	}
	c.ledger.note(c.id, began, call{kind: callRead}, reply{offset: c.seen.end, hash: c.seen.hash})
}
