package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// Types of flags whose values the grammar alone does not restrict enough. What
// is not given on the command line is not judged: a default may lie outside.
type (
	count         int64 // of 1 or more; 0: not given
	partitions    int32 // number of partitions, 1 or more; 0: not given
	replicas      int16 // number of replicas, 1 or more; 0: not given
	partitionID   int32 // 0 or more; -1: not given
	topicSettings map[string]string
)

// Validate is called by kong.
func (n count) Validate() error { return atLeast(1, int64(n)) }

// Validate is called by kong.
func (n partitions) Validate() error { return atLeast(1, int64(n)) }

// Validate is called by kong.
func (n replicas) Validate() error { return atLeast(1, int64(n)) }

// Validate is called by kong.
func (n partitionID) Validate() error { return atLeast(0, int64(n)) }

func atLeast(least, n int64) error {
	if n < least {
		return fmt.Errorf("want %d or more, have %d", least, n)
	}
	return nil
}

// Decode is called by kong for every --config.
func (s *topicSettings) Decode(ctx *kong.DecodeContext) error {
	var text string
	if err := ctx.Scan.PopValueInto("NAME=VALUE", &text); err != nil {
		return err
	}
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return fmt.Errorf("%q: write NAME=VALUE, such as retention.ms=3600000", text)
	}
	if *s == nil {
		*s = make(topicSettings)
	}
	(*s)[name] = value
	return nil
}
