package server

import (
	"errors"
	"slices"
	"testing"
)

func TestCheckAssignment(t *testing.T) {
	brokers := []NodeID{1, 2, 3}
	for _, bad := range [][][]NodeID{{{}}, {{1}, {1, 2}}, {{1, 1}}, {{1}, {4}}} {
		if err := checkAssignment(bad, brokers); !errors.Is(err, ErrInvalidReplication) {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if err := checkAssignment([][]NodeID{{1, 2}, {3, 1}}, brokers); err != nil {
		t.Error(err)
	}
}

func TestCheckTopicName(t *testing.T) {
	long := make([]byte, MaxTopicName)
	for i := range long {
		long[i] = 'a'
	}
	good := []string{"t", "A.b_c-9", string(long), "...", "_x"}
	bad := []string{"", ".", "..", string(long) + "a", "a b", "a/b", "ä", "a\x00"}
	for _, name := range good {
		if err := checkClientName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range bad {
		if err := checkClientName(name); !errors.Is(err, ErrInvalidTopic) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := checkClientName("__x"); !errors.Is(err, ErrReservedTopic) {
		t.Errorf("__x: %v", err)
	}
	if !slices.Equal([]bool{ReservedTopic("__x"), ReservedTopic("_x")}, []bool{true, false}) {
		t.Error("ReservedTopic")
	}
}
