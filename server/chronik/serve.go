package main

import (
	"context"
	"fmt"
	"os"

	"github.com/chroniklog/chronik/server/config"
	"github.com/chroniklog/chronik/server/node"
	"github.com/chroniklog/chronik/server/telemetry"
)

// ServeCmd runs a node.
type ServeCmd struct {
	config.Config `embed:""`
}

// Help shows examples.
func (ServeCmd) Help() string {
	return `Each flag is also an environment variable and a key of the file that --config
names; the flag wins over the environment, the environment over the file.

SIGTERM or SIGINT ends it in good order: readiness off, streams ended, requests
finished, everything synced. A second signal ends it at once; nothing that was
acknowledged is lost either way.

Examples:

    chronik serve
    chronik serve --data-dir /var/lib/chronik --http 127.0.0.1:9000
    chronik serve --config /etc/chronik.yaml`
}

// Run starts the node and returns when ctx has ended and everything is closed.
// A node that cannot go on ends the process: it must answer nothing more.
func (c ServeCmd) Run(ctx context.Context, streams Streams) error {
	logger, err := telemetry.NewLogger(streams.Err, c.LogLevel, c.LogFormat)
	if err != nil {
		return err
	}
	telemetry.AdoptLog(logger)
	memory, err := limitMemory(c.MemoryLimit)
	if err != nil {
		return err
	}
	cfg := c.Fit(memory)
	logger.Info("memory", "limit", config.Bytes(memory&^(1<<20-1)).String(), "in_flight", cfg.MaxInFlightBytes.String(),
		"tail_cache", cfg.TailCacheBytes.String(), "unwritten", cfg.MaxUnwrittenBytes.String(),
		"compaction", cfg.CompactionBytes.String())
	o := node.Options{Version: buildVersion(), Logger: logger, Fatal: func(error) { os.Exit(exitFailed) }}
	if isTerminal(streams.Err) {
		o.Ready = func(n *node.Node) { greet(streams, n.URL(), c.DataDir) }
	}
	return node.Run(ctx, cfg, o)
}

// greet tells a person where to go on.
func greet(streams Streams, url, dataDir string) {
	fmt.Fprintf(streams.Err, `
Chronik %s is ready, data in %s
  HTTP API      %s/v1/topics
  description   %s/openapi.json
  try           curl -d hello %s/v1/topics/greetings/records

`, buildVersion(), dataDir, url, url, url)
}
