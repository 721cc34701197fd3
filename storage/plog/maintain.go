package plog

import "context"

func (s *Store) maintain(ctx context.Context) {
	defer s.wg.Done()
	<-ctx.Done()
}
