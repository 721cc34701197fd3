package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/config"
	"github.com/chroniklog/chronik/server/node"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/telemetry"
)

// mutantEnv has this test's own binary be a node without one of its
// safeguards. The real binary has no way to be one.
const mutantEnv = "CHRONIK_TEST_MUTANT"

// The mutations.
const (
	mutantNoSync       = "no-sync"
	mutantUnconfirmed  = "unconfirmed"
	mutantNoTruncation = "no-truncation"
)

// runMutant is "chronik serve" without a safeguard; it returns the exit code.
func runMutant(name string) int {
	var cli struct {
		Serve struct {
			config.Config `embed:""`
		} `cmd:""`
	}
	kong.Parse(&cli)
	cfg := cli.Serve.Config
	logger, err := telemetry.NewLogger(os.Stderr, cfg.LogLevel, cfg.LogFormat)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err = node.Run(ctx, cfg, node.Options{
		Version: "mutant", Logger: logger, Fatal: func(error) { os.Exit(1) },
		NoSync: name == mutantNoSync,
		Mutation: server.Mutation{
			Unconfirmed: name == mutantUnconfirmed,
			Partition:   partition.Mutation{NoTruncation: name == mutantNoTruncation},
		},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// TestMutants runs scenarios on clusters of mutants: each must find the one
// whose safeguard it is there for, and nothing in real nodes.
func TestMutants(t *testing.T) {
	if os.Getenv("CHAOS_TIME") == "" {
		t.Skip("part of make chaos")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []struct {
		name     string
		scenario func(ctx context.Context, c *Cluster) (faults []string, err error)
		finds    string
		traces   bool
	}{
		{mutantUnconfirmed, deposeLeader, "the deposed leader answered", false},
		{mutantNoTruncation, deposeLeader, "differ", false},
		{mutantNoSync, failLeadersSyncs, "it lives", true},
		{"none", failLeadersSyncs, "", true},
		{"none", deposeLeader, "", false},
	} {
		t.Run(m.name, func(t *testing.T) {
			if err := CanTrace(); err != nil && m.traces {
				t.Skip(err)
			}
			t.Setenv(mutantEnv, m.name)
			c := startClusterOf(t, self, 3, "")
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			createTopic(t, c.Members[0].URL, `{"name":"t","replication_factor":3}`)
			faults, err := m.scenario(ctx, c)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("found: %q", faults)
			if m.finds == "" && len(faults) > 0 {
				t.Error("that was a real node")
			}
			if m.finds != "" && !slices.ContainsFunc(faults, func(f string) bool { return strings.Contains(f, m.finds) }) {
				t.Errorf("a node that is %s was not found out", m.name)
			}
		})
	}
}

// failLeadersSyncs has the syncs of a leader's journal fail, its metadata's
// not; records come meanwhile.
func failLeadersSyncs(ctx context.Context, c *Cluster) (faults []string, err error) {
	leader, err := c.Leader(ctx, "t", 0)
	if err != nil {
		return nil, err
	}
	journals, err := filepath.Glob(filepath.Join(leader.Dir, "logs", "journal", "*"))
	if err != nil || len(journals) == 0 {
		return nil, fmt.Errorf("no journal: %w", err)
	}
	stop, err := failSyncs(leader, journals...)
	if err != nil {
		return nil, err
	}
	defer stop()
	load := NewLoad("t", 1, 1)
	defer load.client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	err = Await(ctx, func() error {
		load.record(leader.URL, "x", 0, "")
		select {
		case <-leader.proc.Done():
			return nil
		default:
			return errors.New("syncs fail, and it lives")
		}
	})
	if err != nil {
		faults = append(faults, err.Error())
	}
	return faults, nil
}
