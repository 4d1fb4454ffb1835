package redistest

import "syscall"

// Windows has no such signals, and no redis-server to send them to.
const (
	sigStop     = syscall.Signal(0)
	sigContinue = syscall.Signal(0)
)
