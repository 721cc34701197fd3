package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/chroniklog/chronik/storage/record"
)

// CorruptBytes flips a bit of a stored record while its node is down, and
// makes the node lead and read the whole partition: the damage must be found
// before anybody is shown it, and the copy be made anew.
func CorruptBytes() Nemesis {
	return Nemesis{Name: "corrupt bytes", Strike: func(ctx context.Context, s *Scene) error {
		parts, err := s.Partitions(ctx, s.Members[0], s.Topic)
		if err != nil {
			return err
		}
		p := parts[s.Random.IntN(len(parts))]
		victim := s.Members[p.Replicas[0]-1] // it will lead again, being the first
		var topic struct{ ID string }
		if err := s.Get(ctx, victim, "/v1/topics/"+s.Topic, &topic); err != nil {
			return err
		}
		if err := s.StopNode(ctx, victim); err != nil {
			return err
		}
		name := fmt.Sprintf("%s-%d-*.seg", strings.ReplaceAll(topic.ID, "-", ""), p.Number)
		if err := flipRecordBit(filepath.Join(victim.Dir, "logs", "logs", "*", name), s.Random); err != nil {
			return err
		}
		if err := s.StartNode(ctx, victim); err != nil {
			return err
		}
		l := NewLoad(s.Topic, 0, 0)
		defer l.client.CloseIdleConnections()
		return Await(ctx, func() error {
			if len(victim.proc.Logged("a corrupt replica is copied anew")) > 0 {
				return nil
			}
			_, err := l.values(victim.URL, p.Number)
			return errors.Join(fmt.Errorf("node %d has not found the damage", victim.ID), err)
		})
	}}
}

// flipRecordBit flips a bit of a random batch in one of the files, but the last
// of several: a part that the batch's checksum covers.
func flipRecordBit(glob string, random *rand.Rand) error {
	files, err := filepath.Glob(glob)
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no segment %s: %w", glob, err)
	}
	slices.Sort(files)
	name := files[random.IntN(max(1, len(files)-1))]
	raw, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	const (
		header  = 64 // of the file
		covered = 21 // what comes before is the length and what a broker may change
	)
	var starts []int
	for at := header; at < len(raw); {
		h, err := record.ParseHeader(raw[at:])
		if err != nil || at+h.Size() > len(raw) {
			break // the end
		}
		starts = append(starts, at)
		at += h.Size()
	}
	if len(starts) == 0 {
		return fmt.Errorf("%s holds no batch", name)
	}
	at := starts[random.IntN(len(starts)/2+1)] // what lies near the end may have been cut off
	h, err := record.ParseHeader(raw[at:])
	if err != nil {
		return err
	}
	raw[at+covered+random.IntN(h.Size()-covered)] ^= 1 << random.IntN(8)
	return os.WriteFile(name, raw, 0o600)
}

// FullDisk fills the file system of the one node that has one of its own, to
// the last byte, and makes room again. The node lives through it, unless its
// metadata log had something to write just then (package raft, "Disk full"): it
// must say so and end in order, and be whole once there is room.
func FullDisk() Nemesis {
	return Nemesis{Name: "full disk", Strike: func(ctx context.Context, s *Scene) error {
		i := slices.IndexFunc(s.Members, func(m *Member) bool { return m.Disk != "" })
		if i < 0 {
			return errors.New("no node has a disk of its own")
		}
		ballast := filepath.Join(s.Members[i].Disk, "ballast")
		err := fillUp(ballast)
		err = errors.Join(err, s.wait(ctx, 500*time.Millisecond, 4*time.Second))
		if err := errors.Join(err, os.Remove(ballast)); err != nil {
			return err
		}
		return s.revive(ctx, s.Members[i])
	}}
}

// revive starts a node again if it has ended by itself, for want of disk.
func (s *Scene) revive(ctx context.Context, m *Member) error {
	select {
	case <-m.proc.Done():
	case <-time.After(500 * time.Millisecond): // it would have ended when it wrote
		return nil
	}
	if m.proc.ExitCode() != 1 || !strings.Contains(m.proc.Log(), "disk is too full for the metadata log") {
		return fmt.Errorf("node %d ended on a full disk, exit code %d:\n%s", m.ID, m.proc.ExitCode(), m.proc.Log())
	}
	s.Kill(m) // it has gone; so does its gate
	return s.StartNode(ctx, m)
}

// fillUp leaves no byte free where name is.
func fillUp(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	for _, size := range []int{1 << 20, 4 << 10, 512, 1} {
		block := bytes.Repeat([]byte{'b'}, size)
		for err == nil {
			_, err = f.Write(block)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			return errors.Join(err, f.Close())
		}
		err = nil
	}
	return f.Close()
}

// FailingSyncs has every sync of a node fail, by strace, until it ends: it must
// end by itself, and acknowledge nothing meanwhile. Then its disk is well again.
func FailingSyncs() Nemesis {
	return Nemesis{Name: "failing syncs", Strike: func(ctx context.Context, s *Scene) error {
		m, err := s.pick(ctx, LeaderOf)
		if err != nil {
			return err
		}
		stop, err := failSyncs(m)
		if err != nil {
			return err
		}
		defer stop()
		select {
		case <-m.proc.Done():
		case <-ctx.Done():
			return fmt.Errorf("node %d: syncs fail, and it lives: %w", m.ID, ctx.Err())
		}
		if code := m.proc.ExitCode(); code != 1 {
			return fmt.Errorf("node %d: exit code %d after a failed sync:\n%s", m.ID, code, m.proc.Log())
		}
		s.Kill(m) // it has gone; so does its gate
		return s.StartNode(ctx, m)
	}}
}

// failSyncs has a node's syncs answered EIO until stop: those of some files, or
// of all.
func failSyncs(m *Member, files ...string) (stop func(), err error) {
	args := []string{
		"-f", "-q", "-o", "/dev/null", "-p", fmt.Sprint(m.proc.PID()),
		"-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync,fsync:error=EIO",
	}
	for _, file := range files {
		args = append(args, "-P", file)
	}
	tracer := exec.Command("strace", args...)
	if err := tracer.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = tracer.Process.Kill() // it ends with the process that it traces
		_ = tracer.Wait()
	}, nil
}

// CanTrace is nil where strace may be used.
func CanTrace() error {
	if out, err := exec.Command("strace", "-o", "/dev/null", "true").CombinedOutput(); err != nil {
		return fmt.Errorf("strace may not trace here: %w %s", err, out)
	}
	return nil
}
