package main

import (
	"debug/elf"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The image's root directory, made by hand, is enough for a node: one static
// binary, no shell, no libraries, no root, a root directory that can't be
// written but for /data. It is healthy, and ends in good order.
func TestImage(t *testing.T) {
	if os.Getenv("CHRONIK_TEST_ROOT") == "" {
		t.Skip("changes its root directory: make test-root")
	}
	root, err := os.MkdirTemp("", "image")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	const user = 65532
	bin := filepath.Join(root, "chronik")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if f, err := elf.Open(bin); err != nil {
		t.Fatal(err)
	} else if libraries, err := f.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Fatalf("the binary is not static: %v %v", libraries, err)
	}
	for _, dir := range []string{root, root + "/data"} {
		_ = os.Mkdir(dir, 0o755)
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(root+"/data", user, user); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	inside := func(args ...string) *exec.Cmd {
		cmd := &exec.Cmd{Path: "/chronik", Args: append([]string{"/chronik"}, args...), Dir: "/"}
		cmd.Env = []string{
			"CHRONIK_DATA_DIR=/data", "CHRONIK_HTTP=" + address, "CHRONIK_KAFKA=127.0.0.1:0", "CHRONIK_PEER=127.0.0.1:0",
			"CHRONIK_SERVER=http://" + address,
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Chroot: root, Credential: &syscall.Credential{Uid: user, Gid: user}, Pdeathsig: syscall.SIGKILL,
		}
		return cmd
	}
	node := inside("serve", "--insecure")
	var log lockedBuffer
	node.Stderr = &log
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	var out []byte
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if out, err = inside("health").CombinedOutput(); err == nil {
			break
		}
		if time.Now().After(deadline) {
			_ = node.Process.Kill()
			_ = node.Wait()
			t.Fatalf("never healthy: %s\n%s", out, log.String())
		}
	}
	if string(out) != "ready\n" {
		t.Errorf("health says %q", out)
	}
	if err := node.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := node.Wait(); err != nil || !strings.Contains(log.String(), "stopped") {
		t.Errorf("it ended with %v:\n%s", err, log.String())
	}
	if out, err := inside("health").CombinedOutput(); err == nil {
		t.Errorf("a node that has gone is healthy: %s", out)
	}
}
