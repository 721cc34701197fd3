package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// kafkaRow is one row of W11's table: the same measure of every server.
type kafkaRow struct {
	phase string
	what  string
	of    string // the row that "…" stands for; may be empty
	unit  string
	scale float64 // of values, to have that unit; 0 is 1
	less  bool    // is better
	goals [2]float64
}

func (r kafkaRow) metric(server string) string {
	return r.phase + ", " + r.of + ", " + r.what + ", " + server
}

// measured adds a round's value; rows stand as they were first noted.
func (b *bench) measured(row kafkaRow, s *kafkaServer, value float64) {
	if !slices.Contains(b.rows, row) {
		at := len(b.rows)
		for i, r := range b.rows { // with its own kind
			if r.phase == row.phase && row.of != "" && (r.what == row.of || r.of == row.of) {
				at = i + 1
			}
		}
		b.rows = slices.Insert(b.rows, at, row)
	}
	b.add(row.metric(s.name), value)
}

// printKafka writes one table per phase.
func (b *bench) printKafka(w io.Writer, took time.Duration) {
	fmt.Fprintf(w, "%s\n\n", machineFacts())
	mode := "full"
	if b.short {
		mode = "short (BENCH_SHORT=1)"
	}
	fmt.Fprintf(w, "Mode %s: %d interleaved rounds of %v, %.0f s in all. Medians; ratios with least to most.\n",
		mode, b.rounds, b.length, took.Seconds())
	fmt.Fprintf(w, "CPU that others used during the rounds: %s.\n", percent(b.foreign))
	phase := ""
	for _, row := range b.rows {
		if row.phase != phase {
			phase = row.phase
			fmt.Fprintf(w, "\n| %s | Chronik | Apache Kafka | ratio | flush=1 | ratio | goals |\n|-|-|-|-|-|-|-|\n", phase)
		}
		b.kafkaRow(w, row)
	}
}

func (b *bench) kafkaRow(w io.Writer, row kafkaRow) {
	fmt.Fprintf(w, "| %s | %s ", row.what, b.kafkaFigure(row, chronikName))
	verdict := ""
	for i, peer := range []string{defaultName, flushName} {
		ratios := b.ratios(goal{over: row.metric(chronikName), under: row.metric(peer)})
		if len(ratios) == 0 {
			fmt.Fprint(w, "| | ")
			continue
		}
		fmt.Fprintf(w, "| %s | **%s** [%s–%s] ", b.kafkaFigure(row, peer), short(median(ratios)),
			short(slices.Min(ratios)), short(slices.Max(ratios)))
		if row.goals[i] == 0 {
			continue
		}
		if verdict != "" {
			verdict += ", "
		}
		met := "met"
		if median(ratios) < row.goals[i] {
			met = "missed"
		}
		verdict += fmt.Sprintf("≥ %s %s", short(row.goals[i]), met)
	}
	if row.less && verdict == "" {
		verdict = "less is better"
	}
	fmt.Fprintf(w, "| %s |\n", verdict)
}

func (b *bench) kafkaFigure(row kafkaRow, server string) string {
	values := b.series[row.metric(server)]
	if len(values) == 0 {
		return ""
	}
	return short(median(values)*or1(row.scale)) + " " + row.unit
}
