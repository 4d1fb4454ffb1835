//go:build unix

package server

import (
	"errors"
	"syscall"
)

// temporary reports whether accept may succeed when tried again: the client
// has gone, or this process or the system is out of descriptors or memory.
func temporary(err error) bool {
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return false
	}
	switch errno {
	case syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EMFILE, syscall.ENFILE,
		syscall.ENOBUFS, syscall.ENOMEM, syscall.EINTR, syscall.EAGAIN, syscall.EPERM:
		return true
	}
	return false
}
