package kv

import (
	"fmt"
	"log/slog"
	"strings"
)

// logger passes what Badger has to say on to slog. Badger's own levels are
// shifted: its information is only of use when debugging it.
type logger struct{ l *slog.Logger }

func text(format string, args []any) string {
	return "badger: " + strings.TrimSpace(fmt.Sprintf(format, args...))
}

// Errorf is badger.Logger's.
func (l logger) Errorf(format string, args ...any) { l.l.Error(text(format, args)) }

// Warningf is badger.Logger's.
func (l logger) Warningf(format string, args ...any) { l.l.Warn(text(format, args)) }

// Infof is badger.Logger's.
func (l logger) Infof(string, ...any) {}

// Debugf is badger.Logger's.
func (l logger) Debugf(string, ...any) {}
