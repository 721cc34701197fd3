package vfs

import "errors"

// faultFile is an open file of a Fault.
type faultFile struct {
	f     *Fault
	inner File
	name  string
}

func (f *faultFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.f.err(OpRead, f.name); err != nil {
		return 0, err
	}
	return f.inner.ReadAt(p, off)
}

func (f *faultFile) WriteAt(p []byte, off int64) (int, error) {
	r := f.f.enter(OpWrite, f.name)
	if r == nil {
		return f.inner.WriteAt(p, off)
	}
	n, err := f.inner.WriteAt(p[:min(len(p), max(0, r.Short))], off)
	if err != nil {
		return n, err
	}
	return n, r.Err
}

func (f *faultFile) Truncate(size int64) error {
	if err := f.f.err(OpTruncate, f.name); err != nil {
		return err
	}
	return f.inner.Truncate(size)
}

func (f *faultFile) Sync() error {
	if err := f.f.err(OpSync, f.name); err != nil {
		return err
	}
	return f.inner.Sync()
}

func (f *faultFile) Size() (int64, error) {
	if err := f.f.err(OpSize, f.name); err != nil {
		return 0, err
	}
	return f.inner.Size()
}

func (f *faultFile) Preallocate(size int64) error {
	if err := f.f.err(OpPreallocate, f.name); err != nil {
		return err
	}
	return f.inner.Preallocate(size)
}

func (f *faultFile) Close() error {
	err := f.f.err(OpClose, f.name)
	return errors.Join(err, f.inner.Close())
}
