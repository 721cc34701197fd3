package config

import "testing"

func TestFit(t *testing.T) {
	const mib = 1 << 20
	for name, c := range map[string]struct {
		memory int64
		given  func(*Config)
		want   [4]Bytes // in flight, tail, unwritten, keys of compaction
	}{
		"a large machine":   {Unlimited, nil, [4]Bytes{256 * mib, 128 * mib, 256 * mib, 64 * mib}},
		"just enough":       {4096 * mib, nil, [4]Bytes{256 * mib, 128 * mib, 256 * mib, 64 * mib}},
		"a small container": {461 * mib, nil, [4]Bytes{28 * mib, 28 * mib, 57 * mib, 28 * mib}},
		"less than a batch": {64 * mib, nil, [4]Bytes{10 * mib, 4 * mib, 10 * mib, 4 * mib}},
		"given sizes stay": {461 * mib, func(c *Config) { c.TailCacheBytes, c.MaxUnwrittenBytes = 300*mib, 11*mib },
			[4]Bytes{28 * mib, 300 * mib, 11 * mib, 28 * mib}},
		"large batches": {461 * mib, func(c *Config) { c.MaxBatchBytes = 512 * mib },
			[4]Bytes{512 * mib, 28 * mib, 512 * mib, 28 * mib}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Default()
			if c.given != nil {
				c.given(&cfg)
			}
			fitted := cfg.Fit(c.memory)
			got := [4]Bytes{fitted.MaxInFlightBytes, fitted.TailCacheBytes, fitted.MaxUnwrittenBytes,
				fitted.CompactionBytes}
			if got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if err := fitted.Validate(); err != nil {
				t.Error(err)
			}
			if again := fitted.Fit(1); again.TailCacheBytes != fitted.TailCacheBytes {
				t.Error("a size that was chosen was chosen anew")
			}
		})
	}
}
