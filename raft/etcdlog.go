package raft

import (
	"context"
	"fmt"
	"log/slog"
)

// etcdLogger passes what etcd raft says on to slog; its information is debug
// output here. Fatal and Panic are panics, which Node turns into a failure.
type etcdLogger struct{ l *slog.Logger }

func (l etcdLogger) Debug(v ...any)            {}
func (l etcdLogger) Debugf(f string, v ...any) {}
func (l etcdLogger) Info(v ...any)             { l.l.Debug("raft: " + fmt.Sprint(v...)) }
func (l etcdLogger) Warning(v ...any)          { l.l.Warn("raft: " + fmt.Sprint(v...)) }
func (l etcdLogger) Error(v ...any)            { l.l.Error("raft: " + fmt.Sprint(v...)) }
func (l etcdLogger) Errorf(f string, v ...any) { l.l.Error("raft: " + fmt.Sprintf(f, v...)) }
func (l etcdLogger) Fatal(v ...any)            { panic("raft: " + fmt.Sprint(v...)) }
func (l etcdLogger) Fatalf(f string, v ...any) { panic("raft: " + fmt.Sprintf(f, v...)) }
func (l etcdLogger) Panic(v ...any)            { panic("raft: " + fmt.Sprint(v...)) }
func (l etcdLogger) Panicf(f string, v ...any) { panic("raft: " + fmt.Sprintf(f, v...)) }
func (l etcdLogger) Infof(f string, v ...any) {
	if l.l.Enabled(context.Background(), slog.LevelDebug) {
		l.l.Debug("raft: " + fmt.Sprintf(f, v...))
	}
}

func (l etcdLogger) Warningf(f string, v ...any) { l.l.Warn("raft: " + fmt.Sprintf(f, v...)) }
