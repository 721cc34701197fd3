package plog

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/chroniklog/chronik/storage/journal"
	"github.com/chroniklog/chronik/storage/record"
	"github.com/chroniklog/chronik/storage/vfs"
)

func TestDebugSeed(t *testing.T) {
	v := os.Getenv("SEED")
	if v == "" {
		t.Skip()
	}
	n, _ := strconv.ParseUint(v, 10, 64)
	debugf = func(f string, a ...any) { fmt.Printf(f+"\n", a...) }
	runCrasher(t, n, 0)
}

func dump(fs *vfs.Mem, o Options) {
	o.FS = fs.CrashKeepingAll()
	o.setDefaults()
	s := &Store{opts: o}
	if err := s.format(); err != nil {
		fmt.Println(err)
		return
	}
	c, _, err := s.loadCheckpoint()
	fmt.Println("checkpoint", c.Seq, c.LSN, c.Start, err)
	for _, e := range c.Logs {
		e.log = nil
		fmt.Printf("  %+v\n", e)
	}
	_, rec, err := journal.Open(context.Background(), journal.Options{FS: o.FS, Dir: "data/journal", Store: s.id, FileBytes: o.JournalFileBytes}, c.Start, func(f *journal.Frame) error {
		d := ""
		if f.Kind == journal.Data {
			h, _ := record.ParseHeader(f.Payload)
			d = fmt.Sprint(h.BaseOffset, h.NextOffset())
		} else if f.Kind == journal.Extent {
			x, i, _ := decodeExtent(f.Payload)
			d = fmt.Sprintf("%+v %d", x, i)
		} else {
			d = fmt.Sprint(f.Payload)
		}
		fmt.Printf("  lsn %d cycle %d kind %d log %x inc %d: %s\n", f.LSN, f.Cycle, f.Kind, f.Topic[0], f.Incarnation, d)
		return nil
	})
	fmt.Println(rec, err)
}
