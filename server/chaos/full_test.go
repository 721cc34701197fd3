package chaos

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// diskBytes is the size of the disk that is filled.
const diskBytes = 512 << 20

// TestRootFullDisk fills a real file system, logs and metadata on it: with
// records first, until the node refuses them, then from outside, to the last
// byte. The node must live, answer reads, say why it refuses, take records
// again once there is room, and keep what it acknowledged through all that.
// It mounts, so it needs root: "make test-root".
func TestRootFullDisk(t *testing.T) {
	if os.Getenv("CHRONIK_TEST_ROOT") == "" || os.Getuid() != 0 {
		t.Skip("needs root and CHRONIK_TEST_ROOT=1: make test-root")
	}
	bin := built(t)
	for _, kind := range []string{"tmpfs", "ext4"} {
		t.Run(kind, func(t *testing.T) {
			disk := mount(t, kind)
			fillDisk(t, bin, disk)
		})
	}
}

func fillDisk(t *testing.T, bin, disk string) {
	dir := filepath.Join(disk, "data")
	args := []string{"--journal-bytes", "16MiB", "--max-unwritten-bytes", "32MiB"}
	ctx := t.Context()
	node := serve(ctx, t, bin, dir, args...)
	createTopic(t, node.URL, `{"name":"t","configs":{"segment.bytes":"4194304"}}`)
	load := NewLoad("t", 1, 1)
	load.Target(node.URL)
	t.Cleanup(load.client.CloseIdleConnections)

	acked := produceUntilRefused(t, load)
	t.Logf("%d records of 256 KiB were acknowledged before the node refused", acked)
	if acked < 20 {
		t.Fatalf("refused after %d records: the reserve takes the whole disk", acked)
	}
	expectReads(t, load, acked)

	ballast := filepath.Join(disk, "ballast")
	if err := fillUp(ballast); err != nil {
		t.Fatal(err)
	}
	if status := post(t, load, "x"); status != http.StatusInsufficientStorage {
		t.Errorf("a record on a full disk: %d", status)
	}
	expectReads(t, load, acked)
	if status := get(t, load, "/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz on a full disk: %d", status)
	}
	select {
	case <-node.Done():
		t.Fatalf("the node died (exit code %d):\n%s", node.ExitCode(), node.Log())
	default:
	}

	// It can't write its last snapshots, and may say so, but must end in order.
	stopCtx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := node.Stop(stopCtx); err != nil && (node.ExitCode() != 1 || !strings.Contains(node.Log(), "no space left")) {
		t.Errorf("stop on a full disk: %v\n%s", err, node.Log())
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	node = serve(ctx, t, bin, dir, args...)
	load.Target(node.URL)
	expectReads(t, load, acked)

	// Room is made through the API; the records that stay are intact.
	trimTo(t, load, int64(acked-4))
	deadline := time.Now().Add(20 * time.Second)
	for post(t, load, "again") != http.StatusCreated {
		if time.Now().After(deadline) {
			t.Fatalf("records are still refused after room was made:\n%s", node.Log())
		}
		time.Sleep(50 * time.Millisecond) // space is looked at from time to time
	}
	page, err := load.page(node.URL, 0, int64(acked), "")
	if err != nil || len(page.Records) != 1 || page.Records[0].Value != "again" {
		t.Errorf("the record after the flood: %+v %v", page, err)
	}
	if err := node.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// produceUntilRefused appends until the answer is 507 and returns how many
// records were acknowledged.
func produceUntilRefused(t *testing.T, l *Load) (acked int) {
	t.Helper()
	for range 4 * diskBytes / (256 << 10) {
		switch status := post(t, l, bigValue(acked)); status {
		case http.StatusCreated:
			acked++
		case http.StatusInsufficientStorage:
			return acked
		case http.StatusTooManyRequests:
			time.Sleep(10 * time.Millisecond) // as the answer asks
		default:
			t.Fatalf("record %d: status %d", acked, status)
		}
	}
	t.Fatal("the node never refused")
	return 0
}

// bigValue is a record of 256 KiB that tells its number.
func bigValue(i int) string { return fmt.Sprintf("%08d", i) + strings.Repeat("x", 256<<10-8) }

func expectReads(t *testing.T, l *Load, acked int) {
	t.Helper()
	for _, offset := range []int{0, acked / 2, acked - 1} {
		page, err := l.page(l.node(0), 0, int64(offset), "&max_bytes=1")
		if err != nil || len(page.Records) == 0 {
			t.Fatalf("read at %d: %v, %d records", offset, err, len(page.Records))
		}
		if r := page.Records[0]; r.Offset != int64(offset) || r.Value != bigValue(offset) {
			t.Fatalf("read at %d: offset %d, %d bytes", offset, r.Offset, len(r.Value))
		}
	}
}

func post(t *testing.T, l *Load, value string) int {
	t.Helper()
	resp, err := l.client.Post(l.node(0)+"/v1/topics/t/records", "text/plain", strings.NewReader(value))
	if err != nil {
		t.Fatalf("produce: %v", err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func get(t *testing.T, l *Load, path string) int {
	t.Helper()
	resp, err := l.client.Get(l.node(0) + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func trimTo(t *testing.T, l *Load, before int64) {
	t.Helper()
	req, err := http.NewRequest(http.MethodDelete,
		fmt.Sprintf("%s/v1/topics/t/partitions/0/records?before=%d", l.node(0), before), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := l.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		t.Fatalf("trim: %s", resp.Status)
	}
}

// mount makes a small file system of its own for the test.
func mount(t *testing.T, kind string) string {
	t.Helper()
	dir, err := tryMount(t, kind)
	if err != nil {
		t.Skip(err)
	}
	return dir
}

func tryMount(t *testing.T, kind string) (string, error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	args := []string{"-t", "tmpfs", "-o", fmt.Sprintf("size=%d", diskBytes), "tmpfs", dir}
	if kind == "ext4" {
		mkfs, err := exec.LookPath("mkfs.ext4")
		if err != nil {
			return "", err
		}
		image := filepath.Join(t.TempDir(), "image")
		if err := os.WriteFile(image, nil, 0o600); err != nil {
			return "", err
		}
		if err := os.Truncate(image, diskBytes); err != nil {
			return "", err
		}
		if out, err := exec.Command(mkfs, "-q", "-F", "-m", "0", image).CombinedOutput(); err != nil {
			return "", fmt.Errorf("mkfs: %w %s", err, out)
		}
		args = []string{"-o", "loop", image, dir}
	}
	if out, err := exec.Command("mount", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("mount is not permitted here: %w %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	})
	return dir, nil
}
