package config

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrInvalid marks a configuration that Validate refuses; its text names the
// flag and says what to write instead.
var ErrInvalid = errors.New("invalid configuration")

// Validate judges the whole configuration and reports every fault at once.
func (c *Config) Validate() error {
	return errors.Join(c.validateNode(), c.validateCluster(), c.validateTopics(), c.validateLimits(),
		c.validateStorage())
}

func invalid(flag, format string, args ...any) error {
	return fmt.Errorf("%w: --%s: %s", ErrInvalid, flag, fmt.Sprintf(format, args...))
}

func (c *Config) validateNode() error {
	var faults []error
	if c.NodeID < 1 {
		faults = append(faults, invalid("node-id", "%d is not a node id: use 1 or more", c.NodeID))
	}
	if strings.TrimSpace(c.DataDir) == "" {
		faults = append(faults, invalid("data-dir", "name a directory"))
	}
	listen := []struct{ flag, address string }{{"http", c.HTTP}, {"ops", c.Ops}, {"kafka", c.Kafka}, {"peer", c.Peer}}
	for _, l := range listen {
		if l.address == "" && l.flag == "ops" {
			continue
		}
		faults = append(faults, c.validateListen(l.flag, l.address))
	}
	faults = append(faults,
		validateAdvertise("http-advertise", c.HTTPAdvertise),
		validateAdvertise("kafka-advertise", c.KafkaAdvertise),
		validateAdvertise("peer-advertise", c.PeerAdvertise),
		between("shutdown-timeout", c.ShutdownTimeout, time.Millisecond, time.Hour))
	protection := http.NewCrossOriginProtection()
	for _, o := range c.AllowedOrigins {
		if err := protection.AddTrustedOrigin(o); err != nil {
			faults = append(faults, invalid("allowed-origins", "%q is not SCHEME://HOST[:PORT], such as "+
				"https://console.example.com", o))
		}
	}
	if u, err := url.Parse(c.TraceURL); c.TraceURL != "" && (err != nil || u.Host == "" ||
		u.Scheme != "http" && u.Scheme != "https" || !strings.Contains(c.TraceURL, "{trace_id}")) {
		faults = append(faults, invalid("trace-url", "%q is no http or https address with {trace_id} in it, such as "+
			"http://127.0.0.1:16686/trace/{trace_id}", c.TraceURL))
	}
	return errors.Join(faults...)
}

func (c *Config) validateListen(flag, address string) error {
	host, err := splitAddress(flag, address)
	if err != nil {
		return err
	}
	if !c.Insecure && !Loopback(host) {
		return invalid(flag, "%s can be reached from other machines and no authentication is configured: "+
			"listen on 127.0.0.1, or add --insecure (CHRONIK_INSECURE=true) to accept that", address)
	}
	return nil
}

func validateAdvertise(flag, address string) error {
	if address == "" {
		return nil
	}
	host, err := splitAddress(flag, address)
	if err != nil {
		return err
	}
	if ip, err := netip.ParseAddr(host); host == "" || (err == nil && ip.IsUnspecified()) {
		return invalid(flag, "%q is no address that others can dial: name a host", address)
	}
	return nil
}

// splitAddress returns the host of HOST:PORT.
func splitAddress(flag, address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", invalid(flag, "%q is not HOST:PORT, such as 127.0.0.1:8080", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strings.HasPrefix(port, "+") {
		return "", invalid(flag, "port %q of %q is not a number from 0 to 65535 (%d)", port, address, n)
	}
	return host, nil
}

// Loopback says whether host names this machine only. An empty host listens
// everywhere, so it does not.
func Loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

func (c *Config) validateCluster() error {
	if len(c.Peers) > 0 && c.Join != "" {
		return invalid("join", "--peers starts a cluster and --join enters one: give one of them")
	}
	_, peersErr := c.PeerAddresses()
	var joinErr error
	if c.Join != "" {
		_, joinErr = splitAddress("join", c.Join)
	}
	return errors.Join(peersErr, joinErr)
}

// PeerAddresses parses --peers: peer addresses by node id, empty without it.
func (c *Config) PeerAddresses() (map[int32]string, error) {
	peers := make(map[int32]string, len(c.Peers))
	for _, p := range c.Peers {
		text, address, found := strings.Cut(p, "@")
		id, err := strconv.ParseInt(text, 10, 32)
		if !found || err != nil || id < 1 {
			return nil, invalid("peers", "%q is not ID@HOST:PORT, such as 1@127.0.0.1:7071", p)
		}
		if _, err := splitAddress("peers", address); err != nil {
			return nil, err
		}
		if _, twice := peers[int32(id)]; twice {
			return nil, invalid("peers", "node id %d appears twice", id)
		}
		peers[int32(id)] = address
	}
	if _, self := peers[c.NodeID]; len(peers) > 0 && !self {
		return nil, invalid("peers", "the list must hold this node too (--node-id %d)", c.NodeID)
	}
	return peers, nil
}

func (c *Config) validateTopics() error {
	return errors.Join(
		between("default-partitions", int(c.DefaultPartitions), 1, c.MaxPartitions),
		between("default-replication-factor", c.DefaultReplicationFactor, 0, 16),
		between("min-insync-replicas", c.MinInsyncReplicas, 0, 16))
}

func (c *Config) validateLimits() error {
	faults := []error{
		between("max-record-bytes", c.MaxRecordBytes, 1, 512<<20),
		between("max-batch-bytes", c.MaxBatchBytes, 1<<10, 1<<30),
		between("max-batch-records", c.MaxBatchRecords, 1, 1_000_000),
		orOpen("memory-limit", c.MemoryLimit, 64<<20, 1<<50),
		orOpen("max-in-flight-bytes", c.MaxInFlightBytes, leastSize, 1<<40),
		between("max-connections", c.MaxConnections, 1, 1_000_000),
		between("max-partitions", c.MaxPartitions, 1, 1_000_000),
	}
	if c.MaxBatchBytes < c.MaxRecordBytes {
		faults = append(faults, invalid("max-batch-bytes", "%s is less than one record may have (--max-record-bytes %s)",
			c.MaxBatchBytes, c.MaxRecordBytes))
	}
	if c.MaxInFlightBytes != 0 && c.MaxInFlightBytes < c.MaxBatchBytes {
		faults = append(faults, invalid("max-in-flight-bytes", "%s is less than one batch may have (--max-batch-bytes %s)",
			c.MaxInFlightBytes, c.MaxBatchBytes))
	}
	return errors.Join(faults...)
}

func (c *Config) validateStorage() error {
	faults := []error{
		orOpen("tail-cache-bytes", c.TailCacheBytes, leastSize, 1<<40),
		between("journal-bytes", c.JournalBytes, 1<<20, 4<<30),
		orOpen("max-unwritten-bytes", c.MaxUnwrittenBytes, leastSize, 1<<40),
		orOpen("compaction-bytes", c.CompactionBytes, leastSize, 1<<40),
		between("max-open-files", c.MaxOpenFiles, 16, 1_000_000),
		between("retention-check-interval", c.RetentionCheckInterval, 10*time.Millisecond, 24*time.Hour),
	}
	if c.MaxUnwrittenBytes != 0 && c.MaxUnwrittenBytes < c.MaxBatchBytes {
		faults = append(faults, invalid("max-unwritten-bytes", "%s is less than one batch may have (--max-batch-bytes %s)",
			c.MaxUnwrittenBytes, c.MaxBatchBytes))
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.LogLevel) {
		faults = append(faults, invalid("log-level", "%q is not one of debug, info, warn, error", c.LogLevel))
	}
	if !slices.Contains([]string{"text", "json"}, c.LogFormat) {
		faults = append(faults, invalid("log-format", "%q is not one of text, json", c.LogFormat))
	}
	return errors.Join(faults...)
}

// orOpen is between for a size that Fit chooses when it is 0.
func orOpen(flag string, value, low, high Bytes) error {
	if value == 0 {
		return nil
	}
	return between(flag, value, low, high)
}

// between checks low ≤ value ≤ high; both bounds are part of the message.
func between[T interface {
	~int | ~int16 | ~int32 | ~int64
}](flag string, value, low, high T) error {
	if value < low || value > high {
		return invalid(flag, "%v is out of range: use %v to %v", value, low, high)
	}
	return nil
}
