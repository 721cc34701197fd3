package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// loadPlan is what one run of the generator does. It is the generator's command
// line.
type loadPlan struct {
	Address     string
	Connections int
	Rate        float64 // requests per second, open loop; 0 is closed loop
	Warmup      time.Duration
	Duration    time.Duration
	Path        string // "{}" stands for the request's number modulo Modulo
	Modulo      int
	Type        string
	BodyFile    string
	Idle        bool // after the load, keep the connections until killed
}

func (p loadPlan) args() []string {
	return []string{"load", "-address", p.Address, "-connections", strconv.Itoa(p.Connections),
		"-rate", fmt.Sprint(p.Rate), "-warmup", p.Warmup.String(), "-duration", p.Duration.String(), "-path", p.Path,
		"-modulo", strconv.Itoa(p.Modulo), "-type", p.Type, "-body", p.BodyFile}
}

// loadResult is what the generator prints; times are nanoseconds.
type loadResult struct {
	Requests int64
	Errors   int64
	First    string
	Seconds  float64
	P50, P99 int64
	P999     int64
	CPU      float64 // seconds that the generator itself took
}

func (r loadResult) rate() float64 { return float64(r.Requests) / r.Seconds }

func loadMain(args []string) error {
	var p loadPlan
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.StringVar(&p.Address, "address", "", "HOST:PORT")
	flags.IntVar(&p.Connections, "connections", 64, "")
	flags.Float64Var(&p.Rate, "rate", 0, "")
	flags.DurationVar(&p.Warmup, "warmup", 0, "")
	flags.DurationVar(&p.Duration, "duration", time.Second, "")
	flags.StringVar(&p.Path, "path", "/", "")
	flags.IntVar(&p.Modulo, "modulo", 1, "")
	flags.StringVar(&p.Type, "type", "application/octet-stream", "")
	flags.StringVar(&p.BodyFile, "body", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	body, err := os.ReadFile(p.BodyFile)
	if err != nil {
		return err
	}
	result, err := applyLoad(p, requestMaker(p, body))
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// requestMaker returns a function that appends request i. Everything that does
// not change is prepared.
func requestMaker(p loadPlan, body []byte) func(dst []byte, i int64) []byte {
	before, after, numbered := strings.Cut(p.Path, "{}")
	head := "POST " + before
	tail := fmt.Sprintf("%s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		after, p.Address, p.Type, len(body), body)
	if !numbered {
		whole := head + tail
		return func(dst []byte, _ int64) []byte { return append(dst, whole...) }
	}
	modulo := int64(max(p.Modulo, 1))
	return func(dst []byte, i int64) []byte {
		dst = append(dst, head...)
		dst = strconv.AppendInt(dst, i%modulo, 10)
		return append(dst, tail...)
	}
}
