package node

import (
	"errors"
	"strings"
	"testing"

	"github.com/chroniklog/chronik/storage/vfs"
)

func TestDataDir(t *testing.T) {
	files, dir := vfs.OS(), t.TempDir()+"/data"
	d, err := openDataDir(files, dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	first := d.id.Incarnation
	if len(first) != 32 {
		t.Fatalf("incarnation %q", first)
	}
	if _, err := openDataDir(files, dir, 1); !errors.Is(err, ErrDataDir) || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("second opener: %v", err)
	}
	if err := d.enter("cluster-a"); err != nil {
		t.Fatal(err)
	}
	if err := d.close(); err != nil {
		t.Fatal(err)
	}

	d, err = openDataDir(files, dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	if d.id.Incarnation != first || d.id.ClusterID != "cluster-a" {
		t.Errorf("after reopening: %+v", d.id)
	}
	if err := d.enter("cluster-a"); err != nil {
		t.Error(err)
	}
	if err := d.enter("cluster-b"); !errors.Is(err, ErrDataDir) || !strings.Contains(err.Error(), "cluster-a") {
		t.Errorf("another cluster: %v", err)
	}
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := openDataDir(files, dir, 2); !errors.Is(err, ErrDataDir) || !strings.Contains(err.Error(), "belongs to node 1") {
		t.Errorf("another node: %v", err)
	}
}

func TestDataDirRefuses(t *testing.T) {
	tests := []struct {
		name, file, content, want string
	}{
		{"somebody else's directory", "photos", "x", `holds "photos"`},
		{"damaged", metaName, "{", "damaged"},
		{"newer format", metaName, `{"format":2,"node_id":1}`, "format 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := vfs.NewMem()
			if err := files.MkdirAll("a/d"); err != nil {
				t.Fatal(err)
			}
			if err := writeFile(files, "a/d/"+tt.file, []byte(tt.content)); err != nil {
				t.Fatal(err)
			}
			_, err := openDataDir(files, "a/d", 1)
			if !errors.Is(err, ErrDataDir) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q", err, tt.want)
			}
			raw, err := readFile(files, "a/d/"+tt.file)
			if err != nil || string(raw) != tt.content {
				t.Errorf("the refused directory was changed: %q %v", raw, err)
			}
			if _, err := openDataDir(files, "a/d", 1); errors.Is(err, vfs.ErrLocked) || strings.Contains(err.Error(), "in use") {
				t.Errorf("the lock was kept: %v", err)
			}
		})
	}
}

// A crash while the meta file is replaced leaves the old or the new one.
func TestDataDirCrash(t *testing.T) {
	for seed := range uint64(64) {
		files := vfs.NewMem()
		d, err := openDataDir(files, "a/d", 1)
		if err != nil {
			t.Fatal(err)
		}
		incarnation := d.id.Incarnation
		if seed%2 == 0 {
			if err := d.enter("c"); err != nil {
				t.Fatal(err)
			}
		}
		crashed := files.Crash(seed)
		again, err := openDataDir(crashed, "a/d", 1)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if again.id.Incarnation != incarnation || (seed%2 == 0) != (again.id.ClusterID == "c") {
			t.Fatalf("seed %d: %+v", seed, again.id)
		}
	}
}
