package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/chroniklog/chronik/server/client"
	"github.com/chroniklog/chronik/server/config"
)

// Exit codes. They are part of the interface.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// CLI is the grammar of the command line.
type CLI struct {
	Serve      ServeCmd      `cmd:"" help:"Run a node."`
	Topic      TopicCmd      `cmd:"" help:"Create, list, describe, alter and delete topics."`
	Produce    ProduceCmd    `cmd:"" help:"Append records: each line of stdin, or whole files."`
	Consume    ConsumeCmd    `cmd:"" help:"Read records to stdout."`
	Group      GroupCmd      `cmd:"" help:"List, describe, reset and delete consumer groups."`
	Cluster    ClusterCmd    `cmd:"" help:"Show and change the cluster: status, drain, remove, transfer, backup, restore."`
	Health     HealthCmd     `cmd:"" help:"Ask a node whether it is well."`
	Bench      BenchCmd      `cmd:"" help:"Measure a node: open loop, percentiles from intended start times."`
	Config     ConfigCmd     `cmd:"" help:"Print or check the configuration of a node."`
	Completion CompletionCmd `cmd:"" help:"Write a completion script for a shell."`
	Version    VersionCmd    `cmd:"" help:"Print the version."`
}

// Help is the end of "chronik --help".
func (CLI) Help() string {
	return `Start a node, write to it and read it back:

    chronik serve
    echo hello | chronik produce greetings
    chronik consume greetings

Or with curl:

    curl -d hello localhost:8080/v1/topics/greetings/records
    curl "localhost:8080/v1/topics/greetings/records?from=earliest"`
}

// Remote are the flags of every command that talks to a node.
type Remote struct {
	Server string `name:"server" env:"CHRONIK_SERVER" default:"http://127.0.0.1:8080" help:"Address of any node."`
	Output string `name:"output" short:"o" enum:"text,json" default:"text" help:"Form of the output: ${enum}."`
}

func (r Remote) client() (*client.Client, error) {
	c, err := client.New(r.Server)
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

// JSON says whether the output is for programs.
func (r Remote) JSON() bool { return r.Output == "json" }

// usageError is a mistake in how the command was called that the grammar could
// not see.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// exitCode carries kong's wish to end (after --help) out of the parser, which
// expects its exit function not to return.
type exitCode int

// run parses and runs one command line and returns the exit code.
func run(ctx context.Context, args []string, streams Streams) (code int) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case exitCode:
			code = exitStatus(int(r))
		default:
			panic(r)
		}
	}()
	var cli CLI
	parser := newParser(&cli, streams)
	kctx, err := parser.Parse(canonical(args))
	if err != nil {
		return complain(streams, parseFailure(err))
	}
	kctx.BindTo(ctx, (*context.Context)(nil))
	kctx.Bind(streams, parser)
	return complain(streams, kctx.Run())
}

// canonical gives other spellings that people try, "help topic create" and
// "--version", the form that the grammar has.
func canonical(args []string) []string {
	switch {
	case len(args) == 0:
		return []string{"--help"}
	case args[0] == "help":
		return append(slices.Clone(args[1:]), "--help")
	case args[0] == "--version":
		return append([]string{"version"}, args[1:]...)
	default:
		return args
	}
}

func newParser(cli *CLI, streams Streams) *kong.Kong {
	return kong.Must(cli,
		kong.Name("chronik"),
		kong.Description("A log service that you can curl."),
		kong.Writers(streams.Out, streams.Err),
		kong.Exit(func(code int) { panic(exitCode(code)) }),
		kong.WithHyphenPrefixedParameters(true), // --from -10
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 100}),
	)
}

// parseFailure makes a parser's error one of usage, with a pointer to help. A
// configuration file that cannot be read is no usage error.
func parseFailure(err error) error {
	var parse *kong.ParseError
	if !errors.As(err, &parse) || errors.Is(err, config.ErrFile) {
		return err
	}
	command := ""
	if parse.Context != nil && parse.Context.Selected() != nil {
		command = " " + plainPath(parse.Context.Selected())
	}
	return usagef("%w\nTry \"chronik%s --help\".", err, command)
}

// plainPath is a command's path without aliases and arguments.
func plainPath(n *kong.Node) string {
	if n.Parent == nil || n.Parent.Type == kong.ApplicationNode {
		return n.Name
	}
	return plainPath(n.Parent) + " " + n.Name
}

func exitStatus(code int) int {
	if code == 0 {
		return exitOK
	}
	return exitUsage
}

// complain writes err for a person and returns the exit code that it means.
func complain(streams Streams, err error) int {
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(streams.Err, "chronik: %v\n", err)
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

// buildVersion is the version that was linked in, else what the module knows.
func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && version == "dev" && strings.HasPrefix(info.Main.Version, "v") {
		return info.Main.Version
	}
	return version
}
