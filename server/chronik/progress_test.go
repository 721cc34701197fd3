package main

import (
	"testing"
	"time"
)

func TestSummary(t *testing.T) {
	for want, got := range map[string]string{
		"1000000 records, 5.9 MB in 2.0 s (500k/s, 2.9 MB/s)": summary(1e6, "records", 5_888_896, 2*time.Second),
		"50 records, 91 B in 10 ms (5000/s, 9.1 kB/s)":        summary(50, "records", 91, 10*time.Millisecond),
		"1 record, 11.4 kB in 4 ms":                           summary(1, "records", 11357, 4*time.Millisecond),
		"0 records, 0 B in 1 ms":                              summary(0, "records", 0, time.Millisecond),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
