package replica

import (
	"sync"

	"github.com/chroniklog/chronik/server/partition"
)

// NewRelayed makes a Pending that another node answers: resolve gives it its
// answer; the first call counts. Offset and LeaderEpoch are not known before.
func NewRelayed() (p *Pending, resolve func(partition.Appended, error)) {
	done := make(chan struct{})
	p = &Pending{done: done}
	var once sync.Once
	return p, func(a partition.Appended, err error) {
		once.Do(func() {
			p.res, p.err = a, err
			close(done)
		})
	}
}
