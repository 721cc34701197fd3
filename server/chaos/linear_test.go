package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// story is a history by hand: each call takes place from one moment to another.
type story struct {
	name    string
	calls   []porcupine.Operation
	unknown []porcupine.Operation
	refused []string
	final   string // one letter a record
	fault   string // "" when the story is right; else part of what must be said
}

func appended(from, to int64, value string, expect, offset int64) porcupine.Operation {
	return porcupine.Operation{
		Call: from, Return: to, Input: call{kind: callAppend, value: value, expect: expect}, Output: reply{offset: offset},
	}
}

func conflicted(from, to, expect, current int64) porcupine.Operation {
	return porcupine.Operation{
		Call: from, Return: to, Input: call{kind: callAppend, value: "-", expect: expect},
		Output: reply{conflict: true, offset: current},
	}
}

func told(from, to, end int64) porcupine.Operation {
	return porcupine.Operation{Call: from, Return: to, Input: call{kind: callTail}, Output: reply{offset: end}}
}

func saw(from, to int64, values string) porcupine.Operation {
	s := textOf(values)
	return porcupine.Operation{
		Call: from, Return: to, Input: call{kind: callRead}, Output: reply{offset: s.end, hash: s.hash},
	}
}

func textOf(values string) *prefix {
	s := &prefix{}
	for _, v := range values {
		s = s.add(string(v))
	}
	return s
}

const noOrder = "have no linear order"

func stories() []story {
	type ops = []porcupine.Operation
	return []story{
		{name: "one after the other", final: "ab", calls: ops{
			appended(1, 2, "a", noExpect, 0), told(3, 4, 1), appended(5, 6, "b", 1, 1), conflicted(7, 8, 1, 2), saw(9, 10, "ab"),
		}},
		{name: "at the same time", final: "ba", calls: ops{
			appended(1, 9, "a", noExpect, 1), appended(2, 8, "b", 0, 0), conflicted(3, 7, 5, 1), told(3, 9, 0),
		}},
		{name: "an old read is no lie", final: "ab", calls: ops{
			appended(1, 2, "a", noExpect, 0), appended(3, 4, "b", noExpect, 1), saw(5, 6, "a"), saw(5, 6, ""),
		}},
		{name: "nobody answered, yet it was done", final: "xa", unknown: ops{appended(1, 0, "x", noExpect, 0)},
			calls: ops{told(2, 3, 0), told(4, 5, 1), appended(6, 7, "a", noExpect, 1)}},
		{name: "nobody answered, and it was not done", final: "a", unknown: ops{appended(1, 0, "x", noExpect, 0)},
			calls: ops{appended(2, 3, "a", noExpect, 0)}},

		{name: "lost", fault: noOrder, final: "a",
			calls: ops{appended(1, 2, "a", noExpect, 0), appended(3, 4, "b", noExpect, 1)}},
		{name: "lost, another in its place", fault: noOrder, final: "ac",
			calls: ops{appended(1, 2, "a", noExpect, 0), appended(3, 4, "b", noExpect, 1), appended(5, 6, "c", noExpect, 1)}},
		{name: "order of time", fault: noOrder, final: "ba",
			calls: ops{appended(1, 2, "a", noExpect, 1), appended(3, 4, "b", noExpect, 0)}},
		{name: "old tail", fault: noOrder, final: "a",
			calls: ops{appended(1, 2, "a", noExpect, 0), told(3, 4, 0)}},
		{name: "old conflict", fault: noOrder, final: "a",
			calls: ops{appended(1, 2, "a", noExpect, 0), conflicted(3, 4, 1, 0)}},
		{name: "conflict without reason", fault: noOrder, final: "a",
			calls: ops{appended(1, 2, "a", noExpect, 0), conflicted(3, 4, 1, 1)}},
		{name: "condition ignored", fault: noOrder, final: "ab",
			calls: ops{appended(1, 2, "a", noExpect, 0), appended(3, 4, "b", 0, 1)}},
		{name: "both won", fault: noOrder, final: "ab",
			calls: ops{appended(1, 4, "a", 0, 0), appended(1, 4, "b", 0, 1)}},
		{name: "read what vanished", fault: noOrder, final: "ab",
			calls: ops{appended(1, 2, "a", noExpect, 0), saw(3, 4, "ax"), appended(5, 6, "b", noExpect, 1)}},
		{name: "read before it was sent", fault: noOrder, final: "a",
			calls: ops{saw(1, 2, "a"), appended(3, 4, "a", noExpect, 0)}},
		{name: "a tail that went back", fault: noOrder, final: "x", unknown: ops{appended(1, 0, "x", noExpect, 0)},
			calls: ops{told(2, 3, 1), told(4, 5, 0)}},
		{name: "refused, but there", fault: "not applied", final: "x", refused: []string{"x"}},
		{name: "twice", fault: "lies at 0 and at 1", final: "aa", calls: ops{appended(1, 2, "a", noExpect, 0)}},
	}
}

// A checker that lets a broken promise pass proves nothing.
func TestJudge(t *testing.T) {
	for _, s := range stories() {
		t.Run(strings.ReplaceAll(s.name, " ", "-"), func(t *testing.T) {
			l := newLedger()
			l.began = l.began.Add(-time.Hour) // the last read comes after the story
			l.calls, l.refused = s.calls, s.refused
			for _, o := range s.unknown {
				l.unknown = append(l.unknown, porcupine.Operation{Call: o.Call, Input: o.Input, Return: 1 << 62})
			}
			history, faults := l.close(strings.Split(s.final, "")[:len(s.final)])
			picture := filepath.Join(t.TempDir(), "picture.html")
			if err := judge(history, 5*time.Second, picture); err != nil {
				faults = append(faults, err.Error())
				if _, err := os.Stat(picture); err != nil {
					t.Error(err)
				}
			}
			switch all := strings.Join(faults, "; "); {
			case s.fault == "" && all != "":
				t.Errorf("a history that is right: %s", all)
			case s.fault != "" && !strings.Contains(all, s.fault):
				t.Errorf("must be %q, is: %q", s.fault, all)
			}
		})
	}
}

// As many calls as a ledger holds are judged in seconds.
func TestJudgeManyCalls(t *testing.T) {
	l, end := newLedger(), &prefix{}
	var values []string
	for i := range maxCalls {
		at, client := int64(10*i), i%linearClients
		value := fmt.Sprint(i)
		o := porcupine.Operation{ClientId: client, Call: at, Return: at + 25}
		switch {
		case i%50 == 0: // nobody answered; every other one was done
			o.Input, o.Return = call{kind: callAppend, value: value, expect: noExpect}, 1<<62
			l.unknown = append(l.unknown, o)
			if i%100 == 0 {
				end, values = end.add(value), append(values, value)
			}
			continue
		case i%4 == 0:
			o.Input, o.Output = call{kind: callRead}, reply{offset: end.end, hash: end.hash}
		case i%4 == 1:
			o.Input, o.Output = call{kind: callAppend, expect: 1 << 30}, reply{conflict: true, offset: end.end}
		default:
			o.Input = call{kind: callAppend, value: value, expect: noExpect}
			o.Output = reply{offset: end.end}
			end, values = end.add(value), append(values, value)
		}
		l.calls = append(l.calls, o)
	}
	l.began = l.began.Add(-time.Hour)
	history, faults := l.close(values)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if err := judge(history, 20*time.Second, filepath.Join(t.TempDir(), "picture.html")); err != nil {
		t.Error(err)
	}
}
