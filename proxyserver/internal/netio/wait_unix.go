//go:build unix

package netio

import (
	"errors"
	"syscall"
)

const canWaitBare = true

// readFirst is called by the poller whenever the socket may be readable. It
// borrows a buffer for as long as one attempt takes and keeps it on success.
func (c *Conn) readFirst(fd uintptr) bool {
	if c.buf == nil {
		c.buf, _ = buffers.Get().(*[bufferSize]byte)
	}
	for {
		c.firstN, c.firstErr = syscall.Read(int(fd), c.buf[:])
		switch {
		case c.firstErr == nil:
			return true
		case errors.Is(c.firstErr, syscall.EINTR):
			continue
		}
		buffers.Put(c.buf)
		c.buf = nil
		return !errors.Is(c.firstErr, syscall.EAGAIN)
	}
}

// peekAlive notes whether the socket is open with nothing to read.
func (c *Conn) peekAlive(fd uintptr) {
	var b [1]byte
	_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	c.alive = errors.Is(err, syscall.EAGAIN)
}
