package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// process is a server that runs beside us and ends with us.
type process struct {
	name    string
	cmd     *exec.Cmd
	log     *os.File
	address string
	ended   chan struct{}
	mates   []*process // of a cluster, itself included: they share the work
}

// freeAddress is a loopback address whose port was free a moment ago.
func freeAddress() (string, error) { return freeOn("127.0.0.1") }

func freeOn(host string) (string, error) {
	l, err := net.Listen("tcp4", host+":0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// loopback is an address of this machine that nobody else uses, so that a
// server that is started again finds its port free; where there is none, the
// usual one.
func loopback() string {
	host := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
	if _, err := freeOn(host); err != nil {
		return "127.0.0.1"
	}
	return host
}

// start runs a server; it is killed when this process dies.
func start(dir, name, address, binary string, args ...string) (*process, error) {
	log, err := os.OpenFile(filepath.Join(dir, name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(binary, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		log.Close()
		return nil, err
	}
	p := &process{name: name, cmd: cmd, log: log, address: address, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // a killed server ends with an error
		close(p.ended)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// cpu is the CPU seconds of the server, or of all of its cluster.
func (p *process) cpu() float64 {
	if p.mates == nil {
		return processCPU(p.pid())
	}
	total := 0.0
	for _, m := range p.mates {
		total += processCPU(m.pid())
	}
	return total
}

// signal sends sig and waits for the end.
func (p *process) signal(sig os.Signal) {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(sig) // it may have ended
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	p.log.Close()
}

func (p *process) kill() { p.signal(syscall.SIGKILL) }
func (p *process) stop() { p.signal(syscall.SIGTERM) }

// ready waits until check succeeds or the process ends.
func (p *process) ready(ctx context.Context, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended: %s", p.name, tail(p.log.Name()))
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s is not ready", p.name), err)
		case <-time.After(time.Millisecond):
		}
	}
}

func (p *process) readyHTTP(ctx context.Context, path string) error {
	client := http.Client{Timeout: 2 * time.Second}
	defer client.CloseIdleConnections()
	return p.ready(ctx, func() error {
		resp, err := client.Get("http://" + p.address + path)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode >= 300 && path != "/" {
			return fmt.Errorf("%s: %s", path, resp.Status)
		}
		return nil
	})
}

func tail(name string) string {
	text, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	const most = 2000
	return string(text[max(0, len(text)-most):])
}

// child runs this program under another name and decodes what it prints.
func child(ctx context.Context, out any, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("bench %s: %w: %s", args[0], err, said.Bytes())
	}
	return json.Unmarshal(text, out)
}

// directoryBytes is what a directory takes on disk.
func directoryBytes(dir string) int64 {
	var total int64
	_ = filepath.WalkDir(dir, func(_ string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil
		}
		var st syscall.Stat_t
		if info, err := entry.Info(); err == nil {
			if sys, ok := info.Sys().(*syscall.Stat_t); ok {
				st = *sys
			}
		}
		total += st.Blocks * 512
		return nil
	})
	return total
}
