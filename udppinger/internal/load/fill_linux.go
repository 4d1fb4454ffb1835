package load

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// fill has a connection fill the queues on its way within a second, as a sender
// with Reno's congestion control does. Where BBR is the system's choice it would
// look for the rate at which they stay empty, and CUBIC takes half a minute.
func fill(raw syscall.RawConn) {
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "reno")
	})
}
