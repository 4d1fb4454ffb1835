//go:build !windows

package listen

import "syscall"

const (
	errInUse   = syscall.EADDRINUSE
	errNotHere = syscall.EADDRNOTAVAIL
	errRefused = syscall.ECONNREFUSED
	errDenied  = syscall.EACCES
)
