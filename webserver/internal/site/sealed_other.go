//go:build !linux

package site

import (
	"errors"
	"io"
	"os"
)

// newSealed fails: only Linux has such files.
func newSealed(io.Reader, int64) (*os.File, error) { return nil, errors.ErrUnsupported }
