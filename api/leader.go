package api

import (
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/chroniklog/chronik/server"
)

const (
	logLeader = "Log-Leader"
	logHop    = "Log-Hop"
	prefer    = "Prefer"
	// preferRedirect asks for the leader's address instead of a forwarded
	// request (RFC 7240).
	preferRedirect = "redirect"
)

// hints are the values of Log-Leader by node: net/http reads header values
// only, so all answers share them.
type hints struct {
	mu    sync.RWMutex
	known map[server.NodeID]hint
}

type hint struct {
	addr  string
	value []string
}

// of is Log-Leader's value for a leader: its node id, with its address as a
// parameter where that is known (a structured field of RFC 9651).
func (h *hints) of(l *server.Leader) []string {
	h.mu.RLock()
	known, ok := h.known[l.Node]
	h.mu.RUnlock()
	if ok && known.addr == l.HTTP {
		return known.value
	}
	text := strconv.FormatInt(int64(l.Node), 10)
	if l.HTTP != "" {
		text += `;url="http://` + l.HTTP + `"`
	}
	made := hint{addr: l.HTTP, value: []string{text}}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known == nil {
		h.known = map[server.NodeID]hint{}
	}
	h.known[l.Node] = made
	return made.value
}

// hint names the partition's leader in the answer, so that a client may ask it
// itself the next time.
func (s *Server) hint(w http.ResponseWriter, topic string, p int32) (l server.Leader, known bool) {
	l, err := s.broker.Leader(topic, p)
	if err != nil || l.Node == 0 {
		delete(w.Header(), logLeader) // of an earlier look
		return l, false
	}
	w.Header()[logLeader] = s.hints.of(&l)
	return l, true
}

// directed tells whether a request says how it wants to reach the leader.
func directed(r *http.Request) bool { return r.Header[prefer] != nil || r.Header[logHop] != nil }

// direct names the partition's leader in the answer, and carries out what the
// request says of the way there: with Prefer: redirect it is answered with the
// leader's address, and with Log-Hop, which was set by whoever forwarded it,
// it is not handed on again. answered is true when nothing is left to do.
func (s *Server) direct(w http.ResponseWriter, r *http.Request, topic string, p int32) (answered bool, err error) {
	l, known := s.hint(w, topic, p)
	switch {
	case !directed(r) || l.Here:
	case r.Header[logHop] != nil:
		return false, notHere(&l)
	case known && l.HTTP != "" && prefersRedirect(r):
		redirect(w, r, l.HTTP)
		return true, nil
	}
	return false, nil
}

// directTopic is direct for all partitions of a topic. They may have several
// leaders, so there is none to name or to redirect to.
func (s *Server) directTopic(r *http.Request, t server.Topic) error {
	if r.Header[logHop] == nil {
		return nil
	}
	for p := range t.Partitions {
		if l, err := s.broker.Leader(t.Name, p); err != nil || !l.Here {
			return notHere(&l)
		}
	}
	return nil
}

// notHere refuses what was forwarded to a node that does not lead.
func notHere(l *server.Leader) error {
	if l.Node == 0 {
		return server.ErrNoLeader
	}
	return &server.NotLeaderError{Leader: l.Node, Addr: l.HTTP}
}

// prefersRedirect looks for the preference among those of the request.
func prefersRedirect(r *http.Request) bool {
	for _, line := range r.Header[prefer] {
		for part := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(name), preferRedirect) {
				return true
			}
		}
	}
	return false
}

// redirect sends the client to the same path and query at another node.
func redirect(w http.ResponseWriter, r *http.Request, addr string) {
	h := w.Header()
	h["Location"] = []string{"http://" + addr + r.URL.RequestURI()}
	h["Preference-Applied"] = []string{preferRedirect}
	h["Cache-Control"] = []string{cacheNever}
	h["Content-Length"] = []string{"0"}
	w.WriteHeader(http.StatusTemporaryRedirect)
}
