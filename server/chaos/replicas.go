package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/chroniklog/chronik/storage/plog"
	"github.com/chroniklog/chronik/storage/record"
)

// CompareReplicas reads the logs of nodes that have been stopped, from their
// disks, and returns how they differ above the highest start of a log. nodes
// are data directories. It returns how many bytes were the same.
func CompareReplicas(ctx context.Context, nodes ...string) (same int64, faults []string, err error) {
	stores := make([]*plog.Store, 0, len(nodes))
	defer func() {
		for _, s := range stores {
			err = errors.Join(err, s.Close(ctx))
		}
	}()
	var ids []plog.ID
	for _, dir := range nodes {
		s, err := plog.Open(ctx, plog.Options{
			Dir: filepath.Join(dir, "logs"), ReserveBytes: -1, MaintenanceInterval: -1,
			Fatal: func(error) {}, // its error is returned, too
		})
		if err != nil {
			return 0, nil, fmt.Errorf("open %s: %w", dir, err)
		}
		stores = append(stores, s)
		for _, id := range s.IDs() {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	for _, id := range ids {
		n, fault, err := compareLog(ctx, stores, id)
		if err != nil {
			return same, faults, err
		}
		if fault != "" {
			faults = append(faults, fmt.Sprintf("log %x/%d: %s", id.Topic, id.Partition, fault))
		}
		same += n
	}
	return same, faults, nil
}

func compareLog(ctx context.Context, stores []*plog.Store, id plog.ID) (size int64, fault string, err error) {
	logs := make([]*plog.Log, len(stores))
	start := int64(0)
	for i, s := range stores {
		l, ok := s.Log(id)
		if !ok {
			return 0, fmt.Sprintf("replica %d has none", i+1), nil
		}
		logs[i] = l
		start = max(start, l.StartOffset())
	}
	var first []byte
	for i, l := range logs {
		content, err := contentOf(ctx, l, start)
		if err != nil {
			return 0, "", fmt.Errorf("read replica %d: %w", i+1, err)
		}
		switch {
		case i == 0:
			first = content
		case !bytes.Equal(first, content):
			return 0, fmt.Sprintf("replica %d ends at %d with %d bytes, replica 1 at %d with %d; first difference at byte %d",
				i+1, l.EndOffset(), len(content), logs[0].EndOffset(), len(first), firstDifference(first, content)), nil
		}
	}
	return int64(len(first)), "", nil
}

func contentOf(ctx context.Context, l *plog.Log, from int64) (content []byte, err error) {
	next := from
	err = l.Scan(ctx, from, func(batch []byte, h record.Header) error {
		if h.BaseOffset > next || h.NextOffset() <= next {
			return fmt.Errorf("batch from %d to %d follows offset %d", h.BaseOffset, h.LastOffset(), next-1)
		}
		if err := record.CheckCRC(batch); err != nil {
			return err
		}
		next = h.NextOffset()
		content = append(content, batch...)
		return nil
	})
	if err == nil && next != l.EndOffset() {
		err = fmt.Errorf("the last batch ends at %d, the log at %d", next, l.EndOffset())
	}
	return content, err
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
