package server

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxUnsent is how much the kernel takes of a response before the client has
// made room for it. By default it may be megabytes, and a thousand clients that
// do not read would use up the memory that all connections share.
const maxUnsent = 128 << 10

// acceptSilent is how many seconds a client may be connected without a word before
// its connection is accepted all the same. Usually its request follows at once; then
// one wake-up does for both, and the first read finds it: a new connection took 1.1 of
// nginx's CPU time and not 1.35. Until it is accepted, the kernel counts it among the
// half-open ones, of which it bounds the number (SYN cookies).
const acceptSilent = 1

// tune sets what the connections of a listener have in common.
func tune(ln net.Listener) {
	if sc, ok := ln.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) {
				// On what is not TCP it fails, and does not matter.
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent)
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, acceptSilent)
			})
		}
	}
}

// setUnsent changes that for one connection; 0 is the system's own limit.
func setUnsent(raw syscall.RawConn, n int) {
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, n)
	})
}

// taken returns how many bytes the client's side of the connection has
// acknowledged: what a slow reader leaves in the socket's buffer does not count
// as progress. On what is not TCP it does not know, and says there is progress.
func (c *conn) taken() int64 {
	sc, ok := c.socket.(syscall.Conn)
	if !ok {
		return unknown()
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return unknown()
	}
	acked := int64(-1)
	err = raw.Control(func(fd uintptr) {
		if info, infoErr := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); infoErr == nil {
			acked = int64(info.Bytes_acked)
		}
	})
	if err != nil || acked < 0 {
		return unknown()
	}
	return acked
}
