package netio

import (
	"net"
	"syscall"
)

const (
	// maxUnsent is how much the kernel takes for a peer that has no room for it
	// yet. By default it may be megabytes, and a thousand clients that do not
	// read would use up the memory that all connections share.
	maxUnsent = 256 << 10

	notSentLowat = 25 // TCP_NOTSENT_LOWAT
)

// LimitUnsent bounds what the kernel keeps to send on each connection that ln
// accepts.
func LimitUnsent(ln net.Listener) {
	sc, ok := ln.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := sc.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { //nolint:errcheck // without it everything works
			syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, notSentLowat, maxUnsent) //nolint:errcheck // without it everything works
		})
	}
}
