package chaos

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// memoryBytes is what the container of the test may use: a quarter of what the
// same load takes where there is enough.
const memoryBytes = 512 << 20

// floodTime is how long at least the clients send: several times what it takes
// to fill the memory of a node that does not look at its limit.
const floodTime = 8 * time.Second

// TestRootLittleMemory runs a node in a control group with little memory, as a
// container does, and lets clients of both protocols send more at once than it
// could hold. It must live: refuse or slow them down, but not be killed.
// It makes a control group, so it needs root: "make test-root".
func TestRootLittleMemory(t *testing.T) {
	if os.Getenv("CHRONIK_TEST_ROOT") == "" || os.Getuid() != 0 {
		t.Skip("needs root and CHRONIK_TEST_ROOT=1: make test-root")
	}
	group := memoryGroup(t)
	node := serve(t.Context(), t, inGroup(t, group, built(t)), t.TempDir())
	createTopic(t, node.URL, `{"name":"k","partitions":100}`)
	createTopic(t, node.URL, `{"name":"h","partitions":16}`)

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	var posted, refused, produced atomic.Int64
	wg.Go(func() { flood(ctx, t, node.URL, &posted, &refused) })
	wg.Go(func() { floodKafka(ctx, t, loggedAddress(t, node, "kafka"), &produced) })
	served := func() bool { return posted.Load() > 0 && produced.Load() > 0 }
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for begin := time.Now(); ctx.Err() == nil; {
		select {
		case <-node.Done():
			cancel()
			t.Fatalf("the node died (exit code %d) in %d MiB of memory:\n%s", node.ExitCode(), memoryBytes>>20, node.Log())
		case <-look.C:
			if time.Since(begin) > floodTime && served() {
				cancel()
			}
		case <-ctx.Done():
		}
	}
	wg.Wait()
	t.Logf("%d MiB by HTTP, refused %d times; %d records by Kafka", posted.Load(), refused.Load(), produced.Load())
	if !served() {
		t.Error("the node lived, but did not serve everyone")
	}
	if err := node.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// flood posts records of 1 MB over many connections until ctx ends.
func flood(ctx context.Context, t *testing.T, url string, posted, refused *atomic.Int64) {
	const connections = 150
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: connections, MaxIdleConnsPerHost: connections}}
	defer client.CloseIdleConnections()
	body := noise(1_000_000)
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := range connections {
		to := fmt.Sprintf("%s/v1/topics/h/partitions/%d/records", url, i%16)
		wg.Go(func() {
			for ctx.Err() == nil {
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				resp, err := client.Do(req)
				if err != nil {
					continue // the end, or an answer that came before the whole body was sent
				}
				_ = resp.Body.Close()
				switch resp.StatusCode {
				case http.StatusCreated:
					posted.Add(1)
				case http.StatusTooManyRequests, http.StatusServiceUnavailable:
					refused.Add(1)
				default:
					t.Errorf("a record of 1 MB: %s", resp.Status)
					return
				}
			}
		})
	}
}

// floodKafka keeps a client's buffers full until ctx ends.
func floodKafka(ctx context.Context, t *testing.T, seed string, produced *atomic.Int64) {
	client, err := kgo.NewClient(kgo.SeedBrokers(seed), kgo.DefaultProduceTopic("k"), kgo.DisableClientMetrics(),
		kgo.MaxBufferedRecords(100_000), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Error(err)
		return
	}
	defer client.Close()
	value := noise(1000)
	for ctx.Err() == nil {
		client.Produce(ctx, kgo.SliceRecord(value), func(_ *kgo.Record, err error) {
			if err == nil {
				produced.Add(1)
			}
		})
	}
}

// noise is bytes that nothing can compress.
func noise(n int) []byte {
	b := make([]byte, n)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(b) // never fails
	return b
}

// memoryGroup makes a control group, of either version, that may use
// memoryBytes. It goes with the test.
func memoryGroup(t *testing.T) string {
	t.Helper()
	var why []error
	for _, version := range []struct{ parent, limit string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, {"/sys/fs/cgroup", "memory.max"},
	} {
		group := filepath.Join(version.parent, "chronik-test-"+strconv.Itoa(os.Getpid()))
		if err := os.Mkdir(group, 0o755); err != nil {
			why = append(why, err)
			continue
		}
		t.Cleanup(func() {
			if err := os.Remove(group); err != nil {
				t.Error(err)
			}
		})
		// The file is there already, or the group has no memory to control.
		limit, err := os.OpenFile(filepath.Join(group, version.limit), os.O_WRONLY, 0)
		if err == nil {
			_, err = limit.WriteString(strconv.Itoa(memoryBytes))
			_ = limit.Close()
		}
		if err == nil {
			return group
		}
		why = append(why, err)
	}
	t.Skipf("no control group with memory can be made here: %v", why)
	return ""
}

// inGroup is a command that runs bin in the group.
func inGroup(t *testing.T, group, bin string) string {
	t.Helper()
	script := filepath.Join(t.TempDir(), "chronik")
	text := fmt.Sprintf("#!/bin/sh\necho $$ >'%s/cgroup.procs' && exec '%s' \"$@\"\n", group, bin)
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return script
}

// loggedAddress is where a listener of the node listens, by its line "ready".
func loggedAddress(t *testing.T, node *Process, listener string) string {
	t.Helper()
	for _, line := range node.Logged("ready") {
		if _, rest, ok := strings.Cut(line, `"`+listener+`":"`); ok {
			address, _, _ := strings.Cut(rest, `"`)
			return address
		}
	}
	t.Fatalf("no address of %s in the line \"ready\":\n%s", listener, node.Log())
	return ""
}
