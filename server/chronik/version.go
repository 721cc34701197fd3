package main

import (
	"fmt"
	"runtime"
)

// VersionCmd prints what was built, and from what.
type VersionCmd struct {
	Output string `name:"output" short:"o" enum:"text,json" default:"text" help:"Form of the output: ${enum}."`
	JSON   bool   `name:"json" help:"The same as --output json."`
}

// Help shows examples.
func (VersionCmd) Help() string {
	return `Examples:

    chronik version
    chronik version --json`
}

// Run prints the version.
func (c VersionCmd) Run(streams Streams) error {
	platform := runtime.GOOS + "/" + runtime.GOARCH
	if c.JSON || c.Output == "json" {
		return writeJSON(streams.Out, struct {
			Version  string `json:"version"`
			Commit   string `json:"commit"`
			Go       string `json:"go"`
			Platform string `json:"platform"`
		}{buildVersion(), commit, runtime.Version(), platform})
	}
	_, err := fmt.Fprintf(streams.Out, "chronik %s (%s, %s, %s)\n", buildVersion(), commit, runtime.Version(), platform)
	return err
}
