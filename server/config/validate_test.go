package config

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestValidateRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"node id":             {func(c *Config) { c.NodeID = 0 }, "--node-id: 0 is not a node id"},
		"origin":              {func(c *Config) { c.AllowedOrigins = []string{"console"} }, "--allowed-origins"},
		"trace script":        {func(c *Config) { c.TraceURL = "javascript:alert({trace_id})" }, "--trace-url"},
		"trace without id":    {func(c *Config) { c.TraceURL = "http://jaeger/trace/" }, "--trace-url"},
		"no data dir":         {func(c *Config) { c.DataDir = " " }, "--data-dir"},
		"no port":             {func(c *Config) { c.HTTP = "127.0.0.1" }, "not HOST:PORT"},
		"bad port":            {func(c *Config) { c.HTTP = "127.0.0.1:65536" }, "port \"65536\""},
		"named port":          {func(c *Config) { c.HTTP = "127.0.0.1:http" }, "port \"http\""},
		"everywhere":          {func(c *Config) { c.HTTP = ":8080" }, "--insecure"},
		"any address":         {func(c *Config) { c.HTTP = "0.0.0.0:8080" }, "--insecure"},
		"ops beyond loopback": {func(c *Config) { c.Ops = "10.0.0.1:1" }, "--ops"},
		"advertise wildcard":  {func(c *Config) { c.HTTPAdvertise = "0.0.0.0:1" }, "name a host"},
		"advertise no host":   {func(c *Config) { c.PeerAdvertise = ":1" }, "name a host"},
		"peers and join":      {func(c *Config) { c.Peers, c.Join = []string{"1@a:1"}, "b:1" }, "give one of them"},
		"peer syntax":         {func(c *Config) { c.Peers = []string{"a:1"} }, "not ID@HOST:PORT"},
		"peer twice":          {func(c *Config) { c.Peers = []string{"1@a:1", "1@b:1"} }, "twice"},
		"peers without self":  {func(c *Config) { c.Peers = []string{"2@a:1"} }, "this node too"},
		"join syntax":         {func(c *Config) { c.Join = "a" }, "--join"},
		"no partitions":       {func(c *Config) { c.DefaultPartitions = 0 }, "use 1 to"},
		"negative factor":     {func(c *Config) { c.DefaultReplicationFactor = -1 }, "out of range"},
		"record over batch":   {func(c *Config) { c.MaxRecordBytes = 20 << 20 }, "less than one record"},
		"batch over memory":   {func(c *Config) { c.MaxInFlightBytes = 1 << 20 }, "less than one batch"},
		"batch over journal":  {func(c *Config) { c.MaxUnwrittenBytes = 1 << 20 }, "--max-unwritten-bytes"},
		"no time":             {func(c *Config) { c.RetentionCheckInterval = 0 }, "--retention-check-interval"},
		"no shutdown":         {func(c *Config) { c.ShutdownTimeout = -time.Second }, "--shutdown-timeout"},
		"log level":           {func(c *Config) { c.LogLevel = "loud" }, "not one of debug"},
		"log format":          {func(c *Config) { c.LogFormat = "" }, "not one of text"},
	} {
		t.Run(name, func(t *testing.T) {
			c := Default()
			tc.change(&c)
			err := c.Validate()
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestValidateAccepts(t *testing.T) {
	c := Default()
	c.HTTP, c.Ops, c.Insecure = "0.0.0.0:8080", "[::1]:0", true
	c.HTTPAdvertise = "logs.example.com:80"
	c.AllowedOrigins = []string{"https://console.example.com:8443"}
	c.Peers = []string{"1@127.0.0.1:7071", "2@127.0.0.1:7072"}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	peers, err := c.PeerAddresses()
	if err != nil || peers[2] != "127.0.0.1:7072" || len(peers) != 2 {
		t.Errorf("%v, %v", peers, err)
	}
}

func TestValidateReportsEveryFault(t *testing.T) {
	c := Default()
	c.NodeID, c.LogLevel = -1, "x"
	if err := c.Validate(); strings.Count(err.Error(), ErrInvalid.Error()) != 2 {
		t.Errorf("got %v", err)
	}
}

func TestLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1": true, "::1": true, "localhost": true, "LOCALHOST": true, "127.8.8.8": true,
		"": false, "0.0.0.0": false, "::": false, "example.com": false,
	} {
		if Loopback(host) != want {
			t.Errorf("Loopback(%q) = %v", host, !want)
		}
	}
}
