package raft

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/raft/wire"
)

// A request's first byte is its method. Requests are answered by whoever gets
// them, in one hop: a node that isn't the controller says so.
const (
	methodHello   = 'h' // JSON greeting → JSON greeted
	methodPropose = 'p' // encoded command → outcome, meta.Result
	methodAdmin   = 'a' // JSON adminRequest → outcome
	methodQuorum  = 'q' // nothing → outcome, JSON Quorum
)

// The first byte of the answer to a proposal or an administrative request.
const (
	outcomeOK byte = iota
	outcomeNotLeader
	outcomeDropped
	outcomeUncertain
	outcomeBusy
	outcomeDiskFull
	outcomeUnknownNode
	outcomeLastVoter
	outcomeFailed
	outcomeNodeIDTaken
)

var outcomes = map[byte]error{
	outcomeNotLeader:   errNotLeader,
	outcomeDropped:     errDropped,
	outcomeUncertain:   errUncertain,
	outcomeBusy:        ErrBusy,
	outcomeDiskFull:    ErrDiskFull,
	outcomeUnknownNode: ErrUnknownNode,
	outcomeLastVoter:   ErrLastVoter,
	outcomeNodeIDTaken: ErrNodeIDTaken,
}

// errRefused: the controller failed at the request in a way of its own.
var errRefused = errors.New("controller refused")

// answerOf encodes an outcome; payload is of success.
func answerOf(payload []byte, err error) []byte {
	if err == nil {
		return append([]byte{outcomeOK}, payload...)
	}
	for code, sentinel := range outcomes {
		if errors.Is(err, sentinel) {
			return append([]byte{code}, err.Error()...)
		}
	}
	if errors.Is(err, ErrClosed) {
		return []byte{outcomeNotLeader}
	}
	return append([]byte{outcomeFailed}, err.Error()...)
}

// readAnswer is the reverse, for the caller.
func readAnswer(b []byte, err error) ([]byte, error) {
	switch {
	case errors.Is(err, wire.ErrUnreachable):
		return nil, fmt.Errorf("%w: %w", errNotLeader, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errUncertain, err)
	case len(b) == 0:
		return nil, fmt.Errorf("%w: empty answer", errUncertain)
	case b[0] == outcomeOK:
		return b[1:], nil
	}
	if sentinel := outcomes[b[0]]; sentinel != nil {
		detail, _ := strings.CutPrefix(string(b[1:]), sentinel.Error())
		if !strings.HasPrefix(detail, ": ") {
			detail = ""
		}
		return nil, fmt.Errorf("at the controller: %w%s", sentinel, detail)
	}
	return nil, fmt.Errorf("%w: %s", errRefused, b[1:])
}

// Answer implements Handler.
func (n *Node) Answer(ctx context.Context, request []byte) ([]byte, error) {
	if len(request) == 0 {
		return nil, errors.New("empty request")
	}
	body := request[1:]
	switch request[0] {
	case methodHello:
		var g greeting
		if err := json.Unmarshal(body, &g); err != nil {
			return nil, err
		}
		return json.Marshal(n.greet(g))
	case methodPropose:
		r, err := n.proposeFor(ctx, body)
		return answerOf(meta.AppendResult(nil, r), err), nil
	case methodAdmin:
		var a adminRequest
		if err := json.Unmarshal(body, &a); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, adminStep)
		defer cancel()
		return answerOf(nil, n.administer(ctx, a)), nil
	case methodQuorum:
		q, err := n.quorum()
		if err != nil {
			return answerOf(nil, err), nil
		}
		b, err := json.Marshal(q)
		return answerOf(b, err), nil
	}
	return nil, fmt.Errorf("unknown method %q; upgrade this node", request[0])
}

// proposeFor proposes another node's command, if this one is the controller.
func (n *Node) proposeFor(ctx context.Context, raw []byte) (meta.Result, error) {
	if _, _, err := meta.Decode(raw); err != nil {
		return meta.Result{}, err
	}
	if !n.Status().Controller() {
		return meta.Result{}, errNotLeader
	}
	ctx, cancel := context.WithTimeout(ctx, n.opts.ProposeTimeout)
	defer cancel()
	return n.local(ctx, meta.RequestID(raw), raw)
}

// forward has the controller propose.
func (n *Node) forward(ctx context.Context, leader uint64, raw []byte) (meta.Result, error) {
	addr := n.addr(leader)
	if addr == "" {
		return meta.Result{}, errNotLeader
	}
	b, err := readAnswer(n.opts.Transport.Call(ctx, addr, append([]byte{methodPropose}, raw...)))
	if err != nil {
		return meta.Result{}, err
	}
	r, err := meta.ParseResult(b)
	if err != nil {
		return r, fmt.Errorf("%w: %w", errUncertain, err)
	}
	return r, nil
}

func (n *Node) addr(raftID uint64) string {
	var addr string
	n.View(func(m *meta.Image) {
		p, _ := m.Member(raftID)
		addr = p.Addr
	})
	return addr
}
