//go:build !linux

package store

import (
	"errors"
	"os"
	"sync/atomic"
)

// mapping needs a stamp by which a file is known again.
type mapping struct {
	body  []byte
	inode uint64
}

func mapBody(*os.File, uint64, int64, int64, *atomic.Int32) (*mapping, error) {
	return nil, errors.ErrUnsupported
}

func (*mapping) acquire() bool { return false }
func (*mapping) release()      {}
