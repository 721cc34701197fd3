package plog

import "sort"

// epochStart says at which offset the batches of a leader epoch begin.
type epochStart struct {
	epoch int32
	start int64
}

// epochs is the history of leader epochs of a log, oldest first; epochs and
// starts both ascend (KIP-101). Guarded by the log's lock.
type epochs []epochStart

// maxEpochs bounds the history. Beyond it the oldest epochs count as one.
const maxEpochs = 1 << 16

// add notes a batch of an epoch at start.
func (e *epochs) add(epoch int32, start int64) {
	if n := len(*e); n > 0 && (*e)[n-1].epoch >= epoch {
		return
	}
	if len(*e) == maxEpochs {
		*e = append((*e)[:1], (*e)[2:]...)
	}
	*e = append(*e, epochStart{epoch, start})
}

// cut forgets what began at or after end.
func (e *epochs) cut(end int64) {
	n := sort.Search(len(*e), func(i int) bool { return (*e)[i].start >= end })
	*e = (*e)[:n]
}

// trim forgets the epochs that ended at or below start.
func (e *epochs) trim(start int64) {
	n := 0
	for n+1 < len(*e) && (*e)[n+1].start <= start {
		n++
	}
	*e = (*e)[n:]
	if len(*e) > 0 {
		(*e)[0].start = max((*e)[0].start, start)
	}
}

// at is the epoch of the batch that holds an offset of the log, -1 if there is
// none.
func (e epochs) at(offset int64) int32 {
	i := sort.Search(len(e), func(i int) bool { return e[i].start > offset })
	if i == 0 {
		return -1
	}
	return e[i-1].epoch
}

// end finds the last epoch that is not above the one asked for, and where it
// ended; see Log.EpochEnd.
func (e epochs) end(epoch int32, start, logEnd int64) (int32, int64) {
	n := len(e)
	switch {
	case n == 0 || epoch > e[n-1].epoch || epoch < 0:
		return -1, -1
	case epoch == e[n-1].epoch:
		return epoch, logEnd
	case epoch < e[0].epoch:
		return epoch, max(e[0].start, start)
	}
	i := sort.Search(n, func(i int) bool { return e[i].epoch > epoch })
	return e[i-1].epoch, e[i].start
}
