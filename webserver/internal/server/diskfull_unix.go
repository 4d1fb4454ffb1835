//go:build unix

package server

import (
	"errors"
	"syscall"
)

// diskFull reports whether an error means that there is no room left to write, on
// the disk or for this user.
func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
