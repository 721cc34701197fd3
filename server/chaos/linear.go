package chaos

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// What a client of Linear calls. Every answer must be explained by one order
// of all calls in which each takes effect between its begin and its end.
type call struct {
	kind   callKind
	value  string // of an append
	expect int64  // of an append, noExpect: none
}

type callKind string

const (
	callAppend callKind = "append"
	callTail   callKind = "tail" // confirmed by the replicas
	callRead   callKind = "read" // a prefix of the log, maybe an old one
)

const noExpect = -1

// reply is what a call was answered.
type reply struct {
	conflict bool
	// offset is the record's; of a conflict the log's end that was cited; of a
	// tail the log's end; of a read the end of the prefix.
	offset int64
	hash   uint64 // of a read: of the prefix
}

// prefix is a state of the log: each record's hash contains all before it, so
// two states are the same if and only if the whole logs are.
type prefix struct {
	end  int64
	hash uint64
	prev *prefix
}

func (l *prefix) add(value string) *prefix {
	return &prefix{end: l.end + 1, hash: chain(l.hash, value), prev: l}
}

// at is the state that had end records.
func (l *prefix) at(end int64) *prefix {
	for l != nil && l.end > end {
		l = l.prev
	}
	return l
}

// chain is FNV-1a over the hash of what came before and a value.
func chain(hash uint64, value string) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for range 8 {
		h = (h ^ hash&0xff) * prime
		hash >>= 8
	}
	for i := range len(value) {
		h = (h ^ uint64(value[i])) * prime
	}
	return h
}

// logModel is a partition as its clients may see it: a list that grows.
func logModel() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return &prefix{} },
		Step: func(state, input, output any) (bool, any) { return step(state.(*prefix), input.(call), output.(reply)) },
		Equal: func(a, b any) bool {
			x, y := a.(*prefix), b.(*prefix)
			return x.end == y.end && x.hash == y.hash
		},
		Hash: func(state any) uint64 { return state.(*prefix).hash },
		DescribeState: func(state any) string {
			return fmt.Sprintf("end %d, %x", state.(*prefix).end, state.(*prefix).hash)
		},
		DescribeOperation: func(input, output any) string { return describe(input.(call), output.(reply)) },
	}
}

func step(s *prefix, c call, r reply) (bool, *prefix) {
	switch {
	case c.kind == callAppend && r.conflict:
		return s.end == r.offset && c.expect != r.offset, s
	case c.kind == callAppend:
		if s.end != r.offset || c.expect != noExpect && c.expect != r.offset {
			return false, s
		}
		return true, s.add(c.value)
	case c.kind == callTail:
		return s.end == r.offset, s
	default:
		seen := s.at(r.offset)
		return seen != nil && seen.end == r.offset && seen.hash == r.hash, s
	}
}

func describe(c call, r reply) string {
	name := string(c.kind)
	if c.kind == callAppend {
		name = fmt.Sprintf("append %q", c.value)
		if c.expect != noExpect {
			name += fmt.Sprintf(" at %d", c.expect)
		}
	}
	switch {
	case r.conflict:
		return fmt.Sprintf("%s: no, %d", name, r.offset)
	case c.kind == callRead:
		return fmt.Sprintf("%s: %d records, %x", name, r.offset, r.hash)
	}
	return fmt.Sprintf("%s: %d", name, r.offset)
}

// maxCalls bounds the history of one partition: its clients stop there.
const maxCalls = 8000

// ledger is one partition's history.
type ledger struct {
	began time.Time

	mu      sync.Mutex
	calls   []porcupine.Operation
	unknown []porcupine.Operation // appends that nobody answered; no reply yet
	refused []string              // appends that were answered as not applied
	clients int                   // numbers that were given out
}

func newLedger() *ledger { return &ledger{began: time.Now()} }

// now is the time on the ledger's clock, which never goes back.
func (l *ledger) now() int64 { return int64(time.Since(l.began)) }

// client gives out a number: a client whose call was not answered goes on as
// another one, since that call may still be under way.
func (l *ledger) client() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clients++
	return l.clients - 1
}

func (l *ledger) full() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.calls)+len(l.unknown) >= maxCalls
}

// note adds a call that was answered now.
func (l *ledger) note(client int, began int64, c call, r reply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, porcupine.Operation{
		ClientId: client, Input: c, Call: began, Output: r, Return: l.now(),
	})
}

// lost adds an append of unknown outcome.
func (l *ledger) lost(client int, began int64, c call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unknown = append(l.unknown, porcupine.Operation{ClientId: client, Input: c, Call: began, Return: math.MaxInt64})
}

func (l *ledger) refuse(value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused = append(l.refused, value)
}

// close ends the history with what the log holds in the end, once all clients
// have ended: values is all of it. Where an append of unknown outcome took
// effect is known then; one that is not there has had no effect before the
// last read, which is the last call, and is left out.
func (l *ledger) close(values []string) (history []porcupine.Operation, faults []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	places, end := map[string]int64{}, &prefix{}
	for i, v := range values {
		if before, ok := places[v]; ok {
			faults = append(faults, fmt.Sprintf("%q lies at %d and at %d", v, before, i))
		}
		places[v] = int64(i)
		end = end.add(v)
	}
	for _, v := range l.refused {
		if at, ok := places[v]; ok {
			faults = append(faults, fmt.Sprintf("%q was answered as not applied and lies at %d", v, at))
		}
	}
	history = slices.Clone(l.calls)
	for _, o := range l.unknown {
		if at, ok := places[o.Input.(call).value]; ok {
			o.Output = reply{offset: at}
			history = append(history, o)
		}
	}
	now := l.now()
	for _, last := range []struct {
		c call
		r reply
	}{
		{call{kind: callRead}, reply{offset: end.end, hash: end.hash}},
		{call{kind: callTail}, reply{offset: end.end}},
	} {
		history = append(history, porcupine.Operation{
			ClientId: l.clients, Input: last.c, Call: now, Output: last.r, Return: now,
		})
	}
	return history, faults
}

// judge tells whether the history can be explained. A check that takes longer
// than limit has failed: nobody knows. The file picture then shows how far an
// explanation goes.
func judge(history []porcupine.Operation, limit time.Duration, picture string) error {
	model := logModel()
	result := porcupine.CheckOperationsTimeout(model, history, limit)
	if result == porcupine.Ok {
		return nil
	}
	_, info := porcupine.CheckOperationsVerbose(model, history, limit)
	err := fmt.Errorf("%d calls have no linear order (%s); picture: %s%s",
		len(history), result, picture, stuck(history, &info))
	if drawn := porcupine.VisualizePath(model, info, picture); drawn != nil {
		return fmt.Errorf("%w: %w", err, drawn)
	}
	return err
}

// stuck tells in words where the longest order that was found ends: its last
// calls, and those that had to come next.
func stuck(history []porcupine.Operation, info *porcupine.LinearizationInfo) string {
	var longest []porcupine.Operation
	for _, partition := range info.PartialLinearizationsOperations() {
		for _, order := range partition {
			if len(order) > len(longest) {
				longest = order
			}
		}
	}
	type place struct {
		c    call
		from int64
	}
	placed := map[place]bool{}
	for _, o := range longest {
		placed[place{o.Input.(call), o.Call}] = true
	}
	left := slices.DeleteFunc(slices.Clone(history), func(o porcupine.Operation) bool {
		return placed[place{o.Input.(call), o.Call}]
	})
	slices.SortFunc(left, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
	var b strings.Builder
	tell := func(title string, calls []porcupine.Operation) {
		for _, o := range calls {
			fmt.Fprintf(&b, "\n  %-9s %12.6f s to %12.6f s, client %d: %s", title, time.Duration(o.Call).Seconds(),
				time.Duration(min(o.Return, int64(time.Hour))).Seconds(), o.ClientId,
				describe(o.Input.(call), o.Output.(reply)))
		}
	}
	tell("in order", longest[max(0, len(longest)-5):])
	tell("no place", left[:min(len(left), 5)])
	return b.String()
}
