package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
)

// ReadFile reads a whole file of at most limit bytes.
func ReadFile(fsys FS, name string, limit int64) (data []byte, err error) {
	f, err := fsys.OpenRead(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fmt.Errorf("read %s: %d bytes, the limit is %d", name, size, limit)
	}
	data = make([]byte, size)
	n, err := f.ReadAt(data, 0)
	if err != nil && (!errors.Is(err, io.EOF) || int64(n) < size) {
		return nil, err
	}
	return data[:n], nil
}

// tempSuffix marks files that WriteFile had not finished when the process
// ended; whoever lists a directory ignores or removes them.
const tempSuffix = ".tmp"

// IsTemp tells whether name is a leftover of an unfinished WriteFile.
func IsTemp(name string) bool { return path.Ext(name) == tempSuffix }

// WriteFile replaces name by a file that holds data, atomically and durably:
// after a crash at any moment, name is the old file or the new one, and after
// WriteFile has returned nil it is the new one. Calls for one name must not
// overlap.
func WriteFile(fsys FS, name string, data []byte) error {
	temp := name + tempSuffix
	f, err := fsys.Create(temp)
	if errors.Is(err, fs.ErrExist) {
		if err = fsys.Remove(temp); err == nil {
			f, err = fsys.Create(temp)
		}
	}
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(temp, name); err != nil {
		return err
	}
	return fsys.SyncDir(path.Dir(name))
}
