package server

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// taken returns how many octets the client's side of the connection has
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
