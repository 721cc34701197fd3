package main

import (
	"fmt"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/chroniklog/chronik/server/config"
)

// collectorShare of the memory that there is, is what Go's collector keeps
// below: a heap may pass its soft limit for a moment, and the process has more
// than a heap.
const collectorShare = 0.9

// limitMemory tells Go's collector what the process may use, and returns that:
// what was configured, else GOMEMLIMIT, else a share of what the container and
// the machine have.
func limitMemory(configured config.Bytes) (int64, error) {
	if configured > 0 {
		debug.SetMemoryLimit(int64(configured))
		return int64(configured), nil
	}
	limit, err := memlimit.Set(memlimit.WithProvider(availableMemory), memlimit.WithRatio(collectorShare))
	if err != nil {
		return 0, fmt.Errorf("find out how much memory there is (--memory-limit says it, too): %w", err)
	}
	return limit, nil
}

// availableMemory is the least of what the control group allows and what the
// machine has, bytes.
func availableMemory() (uint64, error) {
	group, err := memlimit.FromCgroup()
	machine, machineErr := memlimit.FromSystem()
	switch {
	case err != nil: // none, or it sets no limit
		return machine, machineErr
	case machineErr != nil:
		return group, nil
	}
	return min(group, machine), nil
}
