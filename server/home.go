package server

// homes lists the partitions that an Idempotency-Key would have had while its
// topic grew from one partition to n, the present one last. They are the
// values that jump consistent hashing (Lamping and Veach, 2014) passes on its
// way: a key moves only to partitions that are new, so there are about ln n of
// them, and no history has to be kept. The slice is appended to dst.
func homes(dst []int32, key string, n int32) []int32 {
	x := uint64(14695981039346656037) // FNV-1a, 64 bits
	for i := 0; i < len(key); i++ {
		x = (x ^ uint64(key[i])) * 1099511628211
	}
	for next := int64(0); next < int64(n); {
		home := next
		dst = append(dst, int32(home))
		x = x*2862933555777941757 + 1
		next = int64(float64(home+1) * (float64(1<<31) / float64(x>>33+1)))
	}
	return dst
}

// homeOf is the partition that an Idempotency-Key belongs to: the one where
// its first use is remembered, even if partitions were added since, else the
// present one. Former homes that other nodes lead are not asked.
func (b *Broker) homeOf(t Topic, key string) int32 {
	var room [16]int32
	list := homes(room[:0], key, t.Partitions)
	last := len(list) - 1
	e := b.dir.id(t.ID)
	if e == nil {
		return list[last]
	}
	for i := last; i >= 0; i-- {
		if int(list[i]) >= len(e.parts) {
			continue
		}
		p := e.parts[list[i]]
		r := p.replica.Load()
		if r == nil {
			if _, used := b.store.Log(logID(t.ID, p.number)); !used {
				continue
			}
			var err error
			if r, err = b.replicaOf(e, p); err != nil {
				continue // the append will say so if it goes there
			}
		}
		if r.Remembers(key) {
			return list[i]
		}
	}
	return list[last]
}
