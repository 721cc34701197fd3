package backup

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// sumWriter writes a file of the backup and sums it up. Files may hold secrets:
// only their owner reads them.
type sumWriter struct {
	f   *os.File
	w   *bufio.Writer
	sum hash.Hash
	n   int64
}

func createFile(dir, name string) (*sumWriter, error) {
	f, err := os.OpenFile(filepath.Join(dir, filepath.FromSlash(name)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &sumWriter{f: f, w: bufio.NewWriterSize(f, 1<<20), sum: sha256.New()}, nil
}

func (s *sumWriter) Write(b []byte) (int, error) {
	s.sum.Write(b)
	s.n += int64(len(b))
	return s.w.Write(b)
}

// restart empties the file.
func (s *sumWriter) restart() error {
	s.w.Reset(s.f)
	s.sum.Reset()
	s.n = 0
	if err := s.f.Truncate(0); err != nil {
		return err
	}
	_, err := s.f.Seek(0, io.SeekStart)
	return err
}

// finish makes the file durable and closes it.
func (s *sumWriter) finish() (sum string, err error) {
	err = s.w.Flush()
	if err == nil {
		err = s.f.Sync()
	}
	return hex.EncodeToString(s.sum.Sum(nil)), errors.Join(err, s.f.Close())
}

// writeFile writes a small file.
func writeFile(dir, name string, content []byte) (sum string, err error) {
	w, err := createFile(dir, name)
	if err != nil {
		return "", err
	}
	_, werr := w.Write(content)
	sum, err = w.finish()
	return sum, errors.Join(werr, err)
}

// prepareDir makes the directories, which must be empty.
func prepareDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(list) > 0 {
		return fmt.Errorf("%s: %w: it has %q; a backup gets a directory of its own", dir, ErrNotEmpty, list[0].Name())
	}
	return os.Mkdir(filepath.Join(dir, logsDir), 0o700)
}

// removeFile removes a file that may not be there.
func removeFile(dir, name string) error {
	err := os.Remove(filepath.Join(dir, filepath.FromSlash(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// writeSums ends a backup: what it names is on disk already.
func writeSums(dir string, sums map[string]string) error {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		fmt.Fprintf(&b, "%s  %s\n", sums[name], name)
	}
	const unfinished = sumsFile + ".tmp"
	if _, err := writeFile(dir, unfinished, b.Bytes()); err != nil {
		return err
	}
	if err := syncDir(filepath.Join(dir, logsDir)); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(dir, unfinished), filepath.Join(dir, sumsFile)); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" { // it has no such thing
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readSums reads the sums of a finished backup.
func readSums(root *os.Root) (map[string]string, error) {
	text, err := readSmall(root, sumsFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, merr := root.Stat(manifestFile); merr != nil {
			if _, lerr := root.Stat(logsDir); lerr != nil {
				return nil, fmt.Errorf("%w: it has neither %s nor %s", ErrForeign, sumsFile, manifestFile)
			}
		}
		return nil, fmt.Errorf("%w: %s, which is written last, is missing", ErrUnfinished, sumsFile)
	case err != nil:
		return nil, err
	}
	sums := map[string]string{}
	for line := range strings.Lines(string(text)) {
		sum, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if _, twice := sums[name]; !ok || len(sum) != 2*sha256.Size || twice || !strings.HasSuffix(line, "\n") {
			return nil, fmt.Errorf("%w: %s has the line %.100q", ErrCorrupt, sumsFile, line)
		}
		sums[name] = sum
	}
	return sums, nil
}

// openFile opens a file of the backup. What is no regular file is refused: a
// pipe would be waited for, a device never ends.
func openFile(root *os.Root, name string) (*os.File, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is no regular file", ErrCorrupt, name)
	}
	return root.Open(name)
}

// readSmall reads a whole file, bounded.
func readSmall(root *os.Root, name string) ([]byte, error) {
	f, err := openFile(root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err == nil && len(text) > maxManifest {
		err = fmt.Errorf("%w: %s has more than %d bytes", ErrCorrupt, name, maxManifest)
	}
	return text, err
}

// present lists the files that there are, below the root, in order.
func present(root *os.Root) (names []string, err error) {
	for _, dir := range []string{".", logsDir} {
		list, err := fs.ReadDir(root.FS(), dir)
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: %s is missing", ErrCorrupt, dir)
		}
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			if name := path.Join(dir, e.Name()); name != logsDir || !e.IsDir() {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names, nil
}
