package main

import (
	"fmt"

	"github.com/chroniklog/chronik/server/config"
)

// ConfigCmd looks at configurations without starting a node.
type ConfigCmd struct {
	Print ConfigPrintCmd `cmd:"" help:"Print the configuration that \"serve\" would run with."`
	Check ConfigCheckCmd `cmd:"" help:"Check a configuration; print nothing but faults."`
}

// ConfigPrintCmd prints the effective configuration.
type ConfigPrintCmd struct {
	config.Config `embed:""`
	Output        string `name:"output" short:"o" enum:"yaml,json" default:"yaml" help:"Form of the output: ${enum}."`
}

// Help shows examples.
func (ConfigPrintCmd) Help() string {
	return `The output is a file that --config accepts. A flag wins over the environment,
the environment over the file, the file over the default.

Examples:

    chronik config print > chronik.yaml
    CHRONIK_NODE_ID=2 chronik config print --config chronik.yaml`
}

// Run prints every setting.
func (c ConfigPrintCmd) Run(streams Streams) error {
	settings := c.Settings()
	if c.Output == "json" {
		return writeJSON(streams.Out, settings)
	}
	text, err := settings.YAML()
	if err != nil {
		return err
	}
	_, err = streams.Out.Write(text)
	return err
}

// ConfigCheckCmd only parses and validates.
type ConfigCheckCmd struct {
	config.Config `embed:""`
}

// Help shows examples.
func (ConfigCheckCmd) Help() string {
	return `Exit code 0: "chronik serve" would accept the same flags, environment and file.

Examples:

    chronik config check --config chronik.yaml`
}

// Run has nothing left to do: what is wrong was found on the way here.
func (c ConfigCheckCmd) Run(streams Streams) error {
	_, err := fmt.Fprintln(streams.Err, "the configuration is valid")
	return err
}
