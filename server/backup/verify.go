package backup

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/chroniklog/chronik/storage/record"
)

// maxBatch bounds a batch in a backup: larger than any that a node takes.
const maxBatch = 64 << 20

// Verify checks a backup without a cluster: every file is there, no other, each
// has its sum, and each log is what the manifest says. Errors: ErrForeign,
// ErrUnfinished, ErrNewer, ErrCorrupt.
func Verify(ctx context.Context, dir string, o Options) (*Manifest, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	m, err := verify(ctx, root, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return m, nil
}

func verify(ctx context.Context, root *os.Root, o Options) (*Manifest, error) {
	sums, err := readSums(root)
	if err != nil {
		return nil, err
	}
	text, err := readSmall(root, manifestFile)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", ErrForeign, err)
	}
	if err != nil {
		return nil, err
	}
	// A newer release may sum up differently: its version comes first.
	m, err := parseManifest(text)
	if errors.Is(err, ErrNewer) || errors.Is(err, ErrForeign) {
		return nil, err
	}
	if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != sums[manifestFile] {
		return nil, fmt.Errorf("%w: %s is not as it was written", ErrCorrupt, manifestFile)
	}
	if err == nil {
		err = complete(root, m, sums)
	}
	if err != nil {
		return nil, err
	}
	meter := newMeter(&o, len(m.Logs))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(o.Parallel)
	for i := range m.Logs {
		g.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return verifyLog(ctx, root, &m.Logs[i], sums, meter)
		})
	}
	return m, g.Wait()
}

// complete holds the files that are there against the manifest and the sums.
func complete(root *os.Root, m *Manifest, sums map[string]string) error {
	want := append(m.files(), manifestFile)
	for _, name := range want {
		if sums[name] == "" {
			return fmt.Errorf("%w: %s does not name %s", ErrCorrupt, sumsFile, name)
		}
	}
	if len(sums) != len(want) {
		return fmt.Errorf("%w: %s names %d files, the backup has %d", ErrCorrupt, sumsFile, len(sums), len(want))
	}
	have, err := present(root)
	if err != nil {
		return err
	}
	want = append(want, sumsFile)
	for _, name := range have { // sums has what is wanted, and nothing else
		if name != sumsFile && sums[name] == "" {
			return fmt.Errorf("%w: %s does not belong to it", ErrCorrupt, name)
		}
	}
	for _, name := range want {
		if _, found := slices.BinarySearch(have, name); !found {
			return fmt.Errorf("%w: %s is missing", ErrCorrupt, name)
		}
	}
	return nil
}

// verifyLog reads a partition's files through.
func verifyLog(ctx context.Context, root *os.Root, l *Log, sums map[string]string, meter *meter) error {
	var seen Log
	seen.First = l.First
	next := l.First
	if l.Bytes > 0 {
		sum := sha256.New()
		err := eachBatch(root, l.file(), sum, func(b []byte, h record.Header) error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			switch {
			case h.BaseOffset < next || h.BaseOffset >= l.End || h.NextOffset() <= h.BaseOffset || h.NextOffset() > l.End:
				return fmt.Errorf("%w: %s: a batch of offsets %d to %d after %d", ErrCorrupt, l.file(),
					h.BaseOffset, h.NextOffset(), next)
			case h.LeaderEpoch > l.LeaderEpoch:
				return fmt.Errorf("%w: %s: a batch of leader epoch %d", ErrCorrupt, l.file(), h.LeaderEpoch)
			}
			next = h.NextOffset()
			seen.Records += int64(h.Count)
			seen.Bytes += int64(len(b))
			meter.add(0, int64(h.Count), int64(len(b)))
			return nil
		})
		if err != nil {
			return err
		}
		if hex.EncodeToString(sum.Sum(nil)) != sums[l.file()] {
			return fmt.Errorf("%w: %s is not as it was written", ErrCorrupt, l.file())
		}
	}
	if seen.Records != l.Records || seen.Bytes != l.Bytes {
		return fmt.Errorf("%w: %s has %d records in %d bytes, not %d in %d", ErrCorrupt, l.file(),
			seen.Records, seen.Bytes, l.Records, l.Bytes)
	}
	if l.StateBytes > 0 {
		state, err := readState(root, l)
		if err != nil {
			return err
		}
		if sum := sha256.Sum256(state); hex.EncodeToString(sum[:]) != sums[l.stateFile()] {
			return fmt.Errorf("%w: %s is not as it was written", ErrCorrupt, l.stateFile())
		}
	}
	meter.add(1, 0, 0)
	return nil
}

// readState reads what a partition's leader remembered, nil if that is nothing.
func readState(root *os.Root, l *Log) ([]byte, error) {
	if l.StateBytes == 0 {
		return nil, nil
	}
	state, err := readSmall(root, l.stateFile())
	if err == nil && int64(len(state)) != l.StateBytes {
		err = fmt.Errorf("%w: %s has %d bytes, not %d", ErrCorrupt, l.stateFile(), len(state), l.StateBytes)
	}
	return state, err
}

// eachBatch reads a log's batches one after the other, checks their CRC, and
// adds all bytes to sum. The batch is read-only and valid until fn returns.
func eachBatch(root *os.Root, name string, sum io.Writer, fn func(batch []byte, h record.Header) error) error {
	f, err := openFile(root, name)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(io.TeeReader(f, sum), 1<<20)
	var buf []byte
	for at := int64(0); ; at += int64(len(buf)) {
		head, err := r.Peek(record.HeaderLen)
		if len(head) == 0 && errors.Is(err, io.EOF) {
			return nil
		}
		corrupt := func(err error) error {
			return fmt.Errorf("%w: %s: the batch at byte %d: %w", ErrCorrupt, name, at, err)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		h, err := record.ParseHeader(head)
		if err == nil && h.Size() > maxBatch {
			err = record.ErrLength
		}
		if err != nil {
			return corrupt(err)
		}
		buf = slices.Grow(buf[:0], h.Size())[:h.Size()]
		if _, err = io.ReadFull(r, buf); err == nil {
			err = record.CheckCRC(buf)
		}
		if err != nil {
			return corrupt(err)
		}
		if err := fn(buf, h); err != nil {
			return err
		}
	}
}
