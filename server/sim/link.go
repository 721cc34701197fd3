package sim

import (
	"context"
	"log/slog"
	"time"

	"github.com/chroniklog/chronik/server/replication"
)

// link is a follower's fetcher and its connection to one leader.
type link struct {
	n       *node // the follower
	leader  int32
	fetcher *replication.Fetcher
	conn    *conn // nil: none
	dialing bool
	again   bool // refused positions are planned to be sent again
}

// conn is a connection. Messages arrive in order, or it breaks.
type conn struct {
	l       *link
	w       *world
	lives   [2]int // of both nodes
	feeder  *replication.Feeder
	open    bool
	broken  bool             // messages are lost from now on
	arrived [2]time.Duration // of the last message on each way
	sending [2]bool          // a send is planned
}

// Ways of a connection.
const (
	up   = 0 // to the leader
	down = 1
)

// link finds or makes the link to a leader.
func (n *node) link(leader int32) *link {
	l := n.links[leader]
	if l == nil {
		l = &link{n: n, leader: leader}
		l.fetcher = replication.NewFetcher(leader, nil, func() uint64 { return n.epoch }, slog.New(slog.DiscardHandler))
		n.links[leader] = l
	}
	return l
}

// linked lists the links in order.
func (n *node) linked() []int32 { return sortedKeys(n.links) }

// pump plans what the link has to do next.
func (l *link) pump() {
	c := l.conn
	if c == nil {
		if !l.dialing && l.fetcher.Len() > 0 {
			l.dialing = true
			l.n.after(between(l.n.w.rng, time.Millisecond, 120*time.Millisecond), l.dial)
		}
		return
	}
	if !c.sending[up] && l.fetcher.Ready() {
		c.sending[up] = true
		l.n.after(between(c.w.rng, 0, 500*time.Microsecond), func() {
			c.sending[up] = false
			for _, msg := range l.fetcher.Next() {
				c.send(up, msg)
			}
		})
	}
	leader := c.w.node(l.leader)
	if !c.sending[down] && leader.up && !leader.paused && c.feeder.Ready() {
		c.sending[down] = true
		leader.after(between(c.w.rng, 0, 500*time.Microsecond), func() {
			c.sending[down] = false
			for _, msg := range c.feeder.Next() {
				c.send(down, msg)
			}
		})
	}
	if !l.again && l.fetcher.Refused() {
		l.again = true
		l.n.after(replication.RefusedRetry, func() {
			l.again = false
			l.fetcher.Again()
		})
	}
}

// dial opens a connection if the leader can be reached.
func (l *link) dial() {
	l.dialing = false
	w := l.n.w
	leader := w.node(l.leader)
	if l.conn != nil || !leader.up || leader.paused || w.net.cut(l.n.id, l.leader) || w.net.cut(l.leader, l.n.id) {
		return
	}
	w.note("connect", l.n.id, int64(l.leader))
	c := &conn{l: l, w: w, lives: [2]int{leader.life, l.n.life}, open: true}
	c.feeder = replication.NewFeeder(l.n.id, leader)
	l.conn = c
	l.fetcher.Begin()
}

// hangUp ends the connection, if there is one.
func (l *link) hangUp() {
	if c := l.conn; c != nil {
		l.conn = nil
		c.open = false
		c.feeder.Close()
	}
}

// send sends a message on a way of the connection.
func (c *conn) send(way int, msg []byte) {
	from, to := c.l.n, c.w.node(c.l.leader)
	if way == down {
		from, to = to, from
	}
	if c.broken || c.w.net.cut(from.id, to.id) || c.w.chance(c.w.net.loss/10) {
		c.breakUp()
		return
	}
	at := max(c.arrived[way], c.w.now+c.w.net.delay())
	c.arrived[way] = at
	life := c.lives[way]
	c.w.after(at-c.w.now, func() {
		if to.life != life {
			return
		}
		to.receive(func() {
			if c.open && !c.broken {
				c.deliver(way, msg)
			}
		})
	})
}

// breakUp loses what is sent from now on; both ends notice in a while.
func (c *conn) breakUp() {
	if c.broken {
		return
	}
	c.broken = true
	c.w.after(between(c.w.rng, 10*time.Millisecond, time.Second), func() {
		if c.l.conn == c {
			c.w.note("disconnect", c.l.n.id, int64(c.l.leader))
			c.l.hangUp()
		}
	})
}

func (c *conn) deliver(way int, msg []byte) {
	var err error
	if way == up {
		err = c.feeder.Take(msg)
	} else {
		err = c.l.fetcher.Take(context.Background(), msg, func(repair func()) {
			c.l.n.after(between(c.w.rng, 0, 2*time.Millisecond), repair)
		})
	}
	if err != nil {
		c.w.say(c.l.n.id, "connection to %d ends: %v", c.l.leader, err)
		c.breakUp()
	}
}

// nodeGone tells everybody who is connected to a node that it is gone.
func (w *world) nodeGone(gone *node) {
	for _, n := range w.nodes {
		if l := n.links[gone.id]; l != nil && l.conn != nil {
			l.conn.breakUp()
		}
	}
}
