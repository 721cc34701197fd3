package partition

// Remembers tells whether the Idempotency-Key was used here and is still
// remembered at now (Unix milliseconds), be its record committed or not.
func (s *State) Remembers(now int64, key string) bool { return s.idem.get(now, key) != nil }
