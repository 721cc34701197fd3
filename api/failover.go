package api

import (
	"context"
	"errors"
	"fmt"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/replica"
)

// An append that meets a partition between two leaders is repeated here, so
// that its client need not know of it: while nothing was applied, and where
// the partition knows a repeat when it sees one (safe: an Idempotency-Key or a
// producer's sequence number) also when nobody knows what was. Whatever else
// is in doubt goes to the client, as an unknown outcome.

// errTimeUp: the answer did not come within Limits.AppendTimeout.
var errTimeUp = fmt.Errorf("%w: the answer did not come in time", server.ErrOutcomeUnknown)

// repeatable tells whether an append that ended with err may be sent again.
func repeatable(err error, safe bool) bool {
	return server.LeaderMoved(err) || safe && unknown(err)
}

func unknown(err error) bool {
	return errors.Is(err, partition.ErrOutcomeUnknown) && !errors.Is(err, errTimeUp)
}

// doubtful is the error of an append that was sent more than once: what a
// later attempt says does not tell what became of one that is in doubt.
func doubtful(doubt, err error) error {
	if err == nil || doubt == nil || errors.Is(err, partition.ErrOutcomeUnknown) {
		return err
	}
	return fmt.Errorf("%w: a repeat ended with: %v", doubt, err) //nolint:errorlint // not what happened
}

// repeat sends an append again that ended with err, until it is answered or
// the time that an election takes is over.
func (s *Server) repeat(ctx context.Context, safe bool, err error, begin func() (*replica.Pending, error)) (
	appended partition.Appended, last error,
) {
	wait, cancel := context.WithTimeout(ctx, server.FailoverTime)
	defer cancel()
	var doubt error
	for repeatable(err, safe) && s.broker.AwaitLeader(wait) {
		if unknown(err) {
			doubt = err
		}
		var pending *replica.Pending
		if pending, err = begin(); err == nil {
			appended, err = s.await(ctx, pending)
		}
	}
	return appended, doubtful(doubt, err)
}
