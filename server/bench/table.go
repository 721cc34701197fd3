package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// goal is one row of the table: a ratio that should not be below (or, with
// atMost, above) the wanted one.
type goal struct {
	id, what string
	over     string  // metric
	under    string  // metric; empty: over itself is judged
	want     float64 // the goal
	atMost   bool
	scale    float64 // of over, for the row's figure; 0 is 1
	unit     string
	factor   float64 // of the ratio, where the metrics have different units; 0 is 1
}

func goals() []goal {
	const mb, us = 1e-6, 1e-3
	return []goal{
		{"W1", "100 B per POST, 64 connections, over no-op net/http", "W1 chronik /s", "W1 noop /s", 0.6, false, 0,
			"req/s", 0},
		{"W1", "… over NATS sync always", "W1 chronik /s", "W1 nats always /s", 8, false, 0, "req/s", 0},
		{"W1", "… over NATS default (not synced)", "W1 chronik /s", "W1 nats default /s", 0, false, 0, "req/s", 0},
		{"W2", "100 × 1 KB batches, over disk 1 MiB append+fdatasync", "W2 chronik 1 KB /s", "disk 1024K bytes/s",
			0.8, false, batchRecords * largeValue * mb, "MB/s", batchRecords * largeValue},
		{"W2", "… from 16 connections", "W2 chronik 1 KB 16 /s", "disk 1024K bytes/s",
			0, false, batchRecords * largeValue * mb, "MB/s", batchRecords * largeValue},
		{"W2", "… records over NATS sync always, asynchronous", "W2 chronik 1 KB /s", "W2 nats always /s", 0, false,
			batchRecords, "records/s", batchRecords},
		{"W2", "… records over NATS default, asynchronous", "W2 chronik 1 KB /s", "W2 nats default /s", 0, false,
			batchRecords, "records/s", batchRecords},
		{"W2", "100 × 100 B batches, records", "W2 chronik 100 B /s", "", 1.5e6, false,
			batchRecords, "records/s", batchRecords},
		{"W4", "open loop 1k/s, p50 over fdatasync p50", "W4 chronik p50", "disk 4K p50", 2.5, true, us, "µs", 0},
		{"W4", "… p99, ms", "W4 chronik p99", "", 2, true, us, "µs", 1e-6},
		{"W4", "… p50 over NATS sync always", "W4 chronik p50", "W4 nats always p50", 0, true, us, "µs", 0},
		{"W4", "… p50 over NATS default (not synced)", "W4 chronik p50", "W4 nats default p50", 0, true, us, "µs", 0},
		{"W5", "catch-up, hot, as batches of 1 KB records, GB/s", "W5 1 KB bytes/s", "", 1.5, false, mb, "MB/s", 1e-9},
		{"W5", "catch-up, hot, 100 B, M records/s", "W5 100 B records/s", "", 2.6, false, 0, "records/s", 1e-6},
		{"W5", "… over NATS ordered consumer (1 KB)", "W5 1 KB records/s", "W5 nats records/s", 0, false, 0, "records/s", 0},
		{"W6", "W1 over 10,000 partitions, over one of them", "W6 chronik /s", "W6 one /s", 0.7, false, 0, "req/s", 0},
		{"W7", "partitions created by one request, per s", "W7 partitions/s", "", 2000, false, 0, "/s", 0},
		{"W7", "topics of one partition from 16 clients, per s", "W7 topics/s", "", 2000, false, 0, "/s", 0},
		{"W7", "… over NATS streams, default", "W7 topics/s", "W7 nats default /s", 0, false, 0, "/s", 0},
		{"W8", "idle memory per partition, KB", "W8 bytes/partition", "", 10, true, us, "KB", 1e-3},
		{"W8", "… over NATS per stream", "W8 bytes/partition", "W8 nats default bytes", 0, true, us, "KB", 0},
		{"W8", "idle connection, over no-op net/http", "W8 chronik bytes/connection", "W8 noop bytes/connection", 1.3, true,
			us, "KB", 0},
		{"W9", "restart after SIGKILL, 10,000 partitions, s", "W9 wide seconds", "", 2, true, 0, "s", 0},
		{"W9", "restart after SIGKILL, much data, s", "W9 narrow seconds", "", 2, true, 0, "s", 0},
	}
}

// print writes the table, the CPU cost of requests and where it was measured.
func (b *bench) print(w io.Writer, took time.Duration) {
	fmt.Fprintf(w, "%s\n\n", machineFacts())
	mode := "full"
	if b.short {
		mode = "short (BENCH_SHORT=1)"
	}
	fmt.Fprintf(w, "Mode %s: %d interleaved rounds of %v, %.0f s in all. Median and, in brackets, least to most.\n",
		mode, b.rounds, b.length, took.Seconds())
	fmt.Fprintf(w, "CPU that others used during the rounds: %s.\n\n", percent(b.foreign))
	fmt.Fprintln(w, "| # | workload | Chronik | ratio | goal | |\n|-|-|-|-|-|-|")
	for _, g := range b.goals {
		b.row(w, g)
	}
	fmt.Fprintf(w, "\nLimits and peers\n\n| metric | median | least to most |\n|-|-|-|\n")
	for _, name := range sortedKeys(b.series) {
		values := b.series[name]
		fmt.Fprintf(w, "| %s | %s | %s to %s |\n", name, b.figure(name, median(values)),
			b.figure(name, slices.Min(values)), b.figure(name, slices.Max(values)))
	}
}

func (b *bench) row(w io.Writer, g goal) {
	over, ratios := b.series[g.over], b.ratios(g)
	if len(over) == 0 || len(ratios) == 0 {
		return
	}
	wanted, verdict := "", ""
	if g.want > 0 {
		sign, met := "≥", median(ratios) >= g.want
		if g.atMost {
			sign, met = "≤", median(ratios) <= g.want
		}
		wanted, verdict = fmt.Sprintf("%s %s", sign, short(g.want)), "missed"
		if met {
			verdict = "met"
		}
	}
	fmt.Fprintf(w, "| %s | %s | %s %s | **%s** [%s–%s] | %s | %s |\n", g.id, g.what,
		short(median(over)*or1(g.scale)), g.unit, short(median(ratios)), short(slices.Min(ratios)),
		short(slices.Max(ratios)), wanted, verdict)
}

// ratios are taken round by round, since the machine changes between rounds.
func (b *bench) ratios(g goal) []float64 {
	over, under := b.series[g.over], b.series[g.under]
	var ratios []float64
	for i, value := range over {
		switch {
		case g.under == "":
			ratios = append(ratios, value*or1(g.factor))
		case i < len(under) && under[i] > 0:
			ratios = append(ratios, value*or1(g.factor)/under[i])
		}
	}
	return ratios
}

// figure writes a metric with the unit that its name implies.
func (b *bench) figure(name string, value float64) string {
	switch {
	case strings.HasSuffix(name, "p50"), strings.HasSuffix(name, "p99"):
		return fmt.Sprintf("%.0f µs", value/1e3)
	case strings.HasSuffix(name, " cpu"):
		return fmt.Sprintf("%.1f µs CPU per request", value*1e6)
	case strings.HasSuffix(name, "bytes/s"):
		return fmt.Sprintf("%.0f MB/s", value/1e6)
	case strings.Contains(name, "bytes/"), strings.HasSuffix(name, " bytes"), strings.HasPrefix(name, "rss"):
		return fmt.Sprintf("%.1f KB", value/1e3)
	default:
		return short(value)
	}
}

func or1(x float64) float64 {
	if x == 0 {
		return 1
	}
	return x
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

func percent(shares []float64) string {
	parts := make([]string, len(shares))
	for i, s := range shares {
		parts[i] = fmt.Sprintf("%.0f %%", s*100)
	}
	return strings.Join(parts, ", ")
}

// short writes a number with three significant digits.
func short(x float64) string {
	switch {
	case x >= 1e6:
		return fmt.Sprintf("%.3gM", x/1e6)
	case x >= 1e4:
		return fmt.Sprintf("%.0fk", x/1e3)
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	default:
		return fmt.Sprintf("%.3g", x)
	}
}

func sortedKeys(m map[string][]float64) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
