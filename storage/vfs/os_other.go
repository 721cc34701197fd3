//go:build !linux && !darwin && !freebsd

package vfs

import (
	"errors"
	"os"
)

func lockOSFile(*os.File) error { return errors.ErrUnsupported }

func freeOS(string) (free, total int64, err error) { return 0, 0, errors.ErrUnsupported }

// syncOSDir does nothing: these systems have no such call, or order metadata
// on their own.
func syncOSDir(*os.File) error { return nil }
