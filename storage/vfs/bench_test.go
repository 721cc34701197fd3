package vfs

import "testing"

// BenchmarkMemLife is what one seed of a simulator does to a disk: a journal
// of 256 appends with syncs, segments, a checkpoint, two crashes.
func BenchmarkMemLife(b *testing.B) {
	frame := make([]byte, 1000)
	for b.Loop() {
		m := NewMem()
		must(b, m.MkdirAll("/data/t"))
		j, _ := m.Create("/data/journal")
		s, _ := m.Create("/data/t/0.log")
		must(b, m.SyncDir("/data"))
		for i := range int64(256) {
			if _, err := j.WriteAt(frame, i*1000); err != nil {
				b.Fatal(err)
			}
			_, _ = s.WriteAt(frame, i*1000)
			if i%4 == 3 {
				must(b, j.Sync())
			}
		}
		must(b, WriteFile(m, "/data/t/checkpoint", frame))
		m.Crash(1).Crash(2)
	}
}
