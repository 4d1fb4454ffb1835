package netio

import (
	"errors"
	"syscall"
)

// writeMore writes b and tells the kernel that more follows at once, so that
// both may share a packet.
func (c *Conn) writeMore(b []byte) error {
	if c.raw == nil {
		_, err := c.Write(b)
		return err
	}
	var fault error
	err := c.raw.Write(func(fd uintptr) bool {
		for len(b) > 0 {
			n, err := syscall.SendmsgN(int(fd), b, nil, nil, syscall.MSG_MORE|syscall.MSG_NOSIGNAL)
			switch {
			case errors.Is(err, syscall.EINTR):
				continue
			case errors.Is(err, syscall.EAGAIN):
				return false
			case err != nil:
				fault = err
				return true
			}
			b = b[n:]
			c.Sent.Add(int64(n))
		}
		return true
	})
	if err == nil {
		err = fault
	}
	return err
}
