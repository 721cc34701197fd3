// Package systemd tells the service manager how the process is, by the protocol
// of sd_notify(3): datagrams to the socket that NOTIFY_SOCKET names. Where there
// is none, nothing is told.
//
//	n := systemd.FromEnv(os.Getenv)
//	n.Ready()
//	go n.Watchdog(ctx, alive)
//	n.Stopping()
package systemd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// Notifier tells one service manager. The zero value tells nobody.
type Notifier struct {
	socket   string
	watchdog time.Duration // within which a sign of life is wanted; 0: never
}

// FromEnv makes a Notifier from the environment that the service manager gave
// to the process; getenv is os.Getenv's kind.
func FromEnv(getenv func(string) string) Notifier {
	n := Notifier{socket: getenv("NOTIFY_SOCKET")}
	if usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64); err == nil && usec > 0 {
		n.watchdog = time.Duration(usec) * time.Microsecond
	}
	return n
}

// Ready tells that the process serves, with a line for people.
func (n Notifier) Ready(status string) error { return n.send("READY=1\nSTATUS=" + oneLine(status)) }

// Stopping tells that it has begun to end.
func (n Notifier) Stopping() error { return n.send("STOPPING=1\nSTATUS=shutting down") }

// Watchdog gives a sign of life twice as often as the service manager wants
// one, for as long as alive says so, until ctx ends. Without a watchdog it
// returns at once.
func (n Notifier) Watchdog(ctx context.Context, alive func() bool) {
	if n.socket == "" || n.watchdog == 0 {
		return
	}
	t := time.NewTicker(n.watchdog / 2)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			if alive() {
				_ = n.send("WATCHDOG=1") // the service manager notices what does not arrive
			}
		case <-ctx.Done():
			return
		}
	}
}

func oneLine(s string) string { return strings.ReplaceAll(s, "\n", " ") }

func (n Notifier) send(state string) error {
	if n.socket == "" {
		return nil
	}
	// A name that begins with @ is an abstract one, to Go as to systemd.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	_, err = conn.Write([]byte(state))
	return errors.Join(err, conn.Close())
}
