//go:build unix

package main

import "syscall"

// descriptors returns how many files and sockets this process may have open.
// Go has raised the soft limit to the hard one already.
func descriptors() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 1 << 30
	}
	return int(min(limit.Cur, 1<<30))
}
