package main

import (
	"context"
	"fmt"
	"time"

	"github.com/chroniklog/chronik/server/client"
)

// HealthCmd asks a node whether it is well.
type HealthCmd struct {
	Server  string        `name:"server" env:"CHRONIK_SERVER" default:"http://127.0.0.1:8080" help:"Address of the node's API, or of its --ops."`
	Live    bool          `name:"live" help:"Ask only whether the process lives, not whether it can serve."`
	Timeout time.Duration `name:"timeout" default:"3s" help:"How long it may take to answer."`
}

// Help shows examples.
func (HealthCmd) Help() string {
	return `The exit code is 0 if the node can serve (GET /readyz), else 1: for containers, which
may have nothing else that speaks HTTP.

Examples:

    chronik health
    chronik health --live --server http://127.0.0.1:9100`
}

// Run asks the node.
func (c HealthCmd) Run(ctx context.Context, streams Streams) error {
	api, err := client.New(c.Server)
	if err != nil {
		return usageError{err}
	}
	defer api.Close()
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	path, word := "/readyz", "ready"
	if c.Live {
		path, word = "/livez", "alive"
	}
	if err := api.Health(ctx, path); err != nil {
		return err
	}
	_, err = fmt.Fprintln(streams.Out, word)
	return err
}
