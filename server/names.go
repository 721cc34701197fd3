package server

import (
	"fmt"
	"strings"
)

// MaxTopicName bounds a topic name, as Kafka does: with the partition number
// it still fits a file name.
const MaxTopicName = 249

// reservedPrefix marks names that only the broker creates.
const reservedPrefix = "__"

// CheckTopicName judges a name by Kafka's rule: 1 to 249 of [a-zA-Z0-9._-],
// not "." or "..". Reserved names pass; see ReservedTopic.
func CheckTopicName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", ErrInvalidTopic)
	case len(name) > MaxTopicName:
		return fmt.Errorf("%w: %d characters, at most %d are allowed", ErrInvalidTopic, len(name), MaxTopicName)
	case name == "." || name == "..":
		return fmt.Errorf("%w: %q", ErrInvalidTopic, name)
	}
	for i := 0; i < len(name); i++ {
		if !topicChar(name[i]) {
			return fmt.Errorf("%w: %q has %q; use letters, digits, '.', '_' and '-'", ErrInvalidTopic, name, name[i])
		}
	}
	return nil
}

// ReservedTopic tells whether only the broker may create the name.
func ReservedTopic(name string) bool { return strings.HasPrefix(name, reservedPrefix) }

// checkClientName is CheckTopicName for names that a client wants to create.
func checkClientName(name string) error {
	if err := CheckTopicName(name); err != nil {
		return err
	}
	if ReservedTopic(name) {
		return fmt.Errorf("%w: %q: names that begin with %q belong to the broker",
			ErrReservedTopic, name, reservedPrefix)
	}
	return nil
}

func topicChar(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-'
}
