package api

import "context"

// linearizable is the parameter of reads that must see whatever was
// acknowledged before they were sent: the leader makes sure that it still is
// one before it answers.
const linearizable = "linearizable"

// confirm has a partition's leader make sure that it is one, where a read wants
// that, and returns the high watermark that its answer must know of.
func (s *Server) confirm(ctx context.Context, wanted bool, topic string, p int32) (atLeast int64, err error) {
	if !wanted {
		return 0, nil
	}
	o, err := s.broker.Confirmed(ctx, topic, p)
	return o.HighWatermark, err
}

// confirmSpan does that for one partition of a read.
func (f *feed) confirmSpan(ctx context.Context, p *readParams, sp *span) (err error) {
	sp.atLeast, err = f.s.confirm(ctx, p.linearizable, f.topic.Name, sp.partition)
	return err
}

// keyGet is the parameters of a read of a key.
type keyGet struct{ linearizable bool }

func (*keyGet) names() []string { return []string{linearizable} }

func (p *keyGet) set(name, v string) (err error) {
	p.linearizable, err = parseBool(name, v)
	return err
}
