package netio

import (
	"errors"
	"io"
	"os"
	"syscall"
)

const canSendFile = true

// sendFile sends up to n bytes of f from off on, which are not copied through
// this process, and moves no offset of f: others may send it at the same time.
// Fewer bytes than that mean an error, which is errors.ErrUnsupported where the
// kernel cannot do it, and io.EOF at the end of the file.
func (c *Conn) sendFile(f *os.File, off, n int64) (sent int64, err error) {
	if c.raw == nil {
		return 0, errors.ErrUnsupported
	}
	file, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var fault error
	held := file.Control(func(from uintptr) { // it stays open meanwhile
		err = c.raw.Write(func(to uintptr) bool {
			for sent < n {
				var k int
				k, fault = syscall.Sendfile(int(to), int(from), &off, int(n-sent))
				switch {
				case errors.Is(fault, syscall.EINTR):
				case errors.Is(fault, syscall.EAGAIN):
					return false
				case errors.Is(fault, syscall.EINVAL), errors.Is(fault, syscall.ENOSYS):
					fault = errors.ErrUnsupported
					return true
				case fault != nil:
					return true
				case k == 0:
					fault = io.EOF
					return true
				}
				sent += int64(max(k, 0))
			}
			fault = nil
			return true
		})
	})
	c.Sent.Add(sent)
	switch {
	case held != nil:
		return sent, held
	case err != nil:
		return sent, err
	}
	return sent, fault
}
