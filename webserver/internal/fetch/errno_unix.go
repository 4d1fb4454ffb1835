//go:build !windows

package fetch

import "syscall"

const errRefused = syscall.ECONNREFUSED
