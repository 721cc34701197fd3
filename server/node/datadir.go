package node

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/chroniklog/chronik/storage/vfs"
)

// formatVersion is raised when a release can't read what an older one wrote,
// or the other way round.
const formatVersion = 1

// metaName and lockName are the data directory's own files; logs and raft have
// directories beside them.
const (
	metaName = "meta.json"
	lockName = "lock"
	logsDir  = "logs"
	raftDir  = "raft"
)

// maxMeta bounds the meta file.
const maxMeta = 64 << 10

// ErrDataDir: the data directory belongs to another node, another cluster,
// another release, or to a process that still runs. The text says which.
var ErrDataDir = errors.New("data directory can't be used")

// identity is the content of the meta file: whose directory this is.
type identity struct {
	Format int   `json:"format"`
	NodeID int32 `json:"node_id"`
	// ClusterID is empty until the node has entered a cluster.
	ClusterID string `json:"cluster_id,omitempty"`
	// Incarnation is random, made with the directory: an emptied directory is
	// another incarnation of the node.
	Incarnation string `json:"incarnation"`
}

// dataDir is an open, locked data directory.
type dataDir struct {
	fs   vfs.FS
	path string
	lock io.Closer
	id   identity
}

// openDataDir creates or opens the directory and locks it. A directory that is
// not empty but has no meta file is not ours and is refused untouched.
func openDataDir(files vfs.FS, dir string, node int32) (*dataDir, error) {
	if err := makeDir(files, path.Clean(dir)); err != nil {
		return nil, fmt.Errorf("create data directory: %w", err)
	}
	lock, err := files.Lock(path.Join(dir, lockName))
	if errors.Is(err, vfs.ErrLocked) {
		return nil, fmt.Errorf("%w: %s is in use by another process", ErrDataDir, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	d := &dataDir{fs: files, path: dir, lock: lock}
	if err := d.identify(node); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return d, nil
}

// makeDir creates dir and its parents, durably.
func makeDir(files vfs.FS, dir string) error {
	var parents []string // of what does not exist
	for p := dir; ; p = path.Dir(p) {
		_, err := files.Stat(p)
		if err == nil || p == "." || p == "/" {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		parents = append(parents, path.Dir(p))
	}
	if err := files.MkdirAll(dir); err != nil {
		return err
	}
	for _, p := range parents {
		if err := files.SyncDir(p); err != nil {
			return err
		}
	}
	return nil
}

func (d *dataDir) identify(node int32) error {
	raw, err := readFile(d.fs, path.Join(d.path, metaName))
	if errors.Is(err, fs.ErrNotExist) {
		return d.found(node)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", metaName, err)
	}
	if err := json.Unmarshal(raw, &d.id); err != nil {
		return fmt.Errorf("%w: %s is damaged (%w); restore the file, or start with an empty directory",
			ErrDataDir, path.Join(d.path, metaName), err)
	}
	switch {
	case d.id.Format != formatVersion:
		return fmt.Errorf("%w: %s has format %d and this release reads format %d",
			ErrDataDir, d.path, d.id.Format, formatVersion)
	case d.id.NodeID != node:
		return fmt.Errorf("%w: %s belongs to node %d, but --node-id is %d; "+
			"give this node a directory of its own", ErrDataDir, d.path, d.id.NodeID, node)
	}
	return nil
}

// found makes the meta file of a new directory.
func (d *dataDir) found(node int32) error {
	names, err := d.fs.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("read data directory: %w", err)
	}
	for _, n := range names {
		if n.Name != lockName && n.Name != metaName+".tmp" && n.Name != "lost+found" {
			return fmt.Errorf("%w: %s holds %q and no %s: it is not a data directory; use an empty one",
				ErrDataDir, d.path, n.Name, metaName)
		}
	}
	var incarnation [16]byte
	if _, err := rand.Read(incarnation[:]); err != nil {
		return fmt.Errorf("make incarnation: %w", err)
	}
	d.id = identity{Format: formatVersion, NodeID: node, Incarnation: hex.EncodeToString(incarnation[:])}
	return d.write()
}

// enter binds the directory to a cluster, or refuses another one's.
func (d *dataDir) enter(clusterID string) error {
	if d.id.ClusterID == clusterID {
		return nil
	}
	if d.id.ClusterID != "" {
		return fmt.Errorf("%w: %s belongs to cluster %s, but the cluster here is %s",
			ErrDataDir, d.path, d.id.ClusterID, clusterID)
	}
	d.id.ClusterID = clusterID
	return d.write()
}

// write replaces the meta file: a crash leaves the old or the new one.
func (d *dataDir) write() error {
	raw, err := json.MarshalIndent(d.id, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", metaName, err)
	}
	name := path.Join(d.path, metaName)
	if err := writeFile(d.fs, name+".tmp", append(raw, '\n')); err != nil {
		return fmt.Errorf("write %s: %w", metaName, err)
	}
	if err := d.fs.Rename(name+".tmp", name); err != nil {
		return fmt.Errorf("write %s: %w", metaName, err)
	}
	if err := d.fs.SyncDir(d.path); err != nil {
		return fmt.Errorf("write %s: %w", metaName, err)
	}
	return nil
}

// close releases the lock.
func (d *dataDir) close() error { return d.lock.Close() }

func readFile(files vfs.FS, name string) ([]byte, error) {
	f, err := files.OpenRead(name)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err == nil && size > maxMeta {
		err = fmt.Errorf("%d bytes are too many", size)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	raw := make([]byte, size)
	if _, err := f.ReadAt(raw, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, f.Close())
	}
	return raw, f.Close()
}

func writeFile(files vfs.FS, name string, raw []byte) error {
	if err := files.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := files.Create(name)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(raw, 0); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}
