//go:build unix

package server

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// waiter waits for the first bytes of a request and takes a buffer only once
// they are there. It does as the net package's Read does (read first, wait when
// the kernel has nothing), so that no wake-up is lost.
type waiter struct {
	raw  syscall.RawConn
	try  func(fd uintptr) bool
	n    int
	err  error
	into *conn

	piece *transfer // of writePiece
	put   func(fd uintptr) bool
}

func newWaiter(c *conn) *waiter {
	sc, ok := c.nc.(syscall.Conn)
	if !ok {
		return nil // TLS
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	w := &waiter{raw: raw, into: c}
	w.try, w.put = w.read, w.write
	return w
}

// wait returns once the connection has its buffer with something in it.
func (w *waiter) wait() error {
	err := w.raw.Read(w.try)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// A request may have come with the last second: it is not left unread.
		arrived := false
		err = w.raw.Control(func(fd uintptr) { arrived = w.try(fd) })
		if err == nil && !arrived {
			err = os.ErrDeadlineExceeded
		}
	}
	if err != nil {
		return err
	}
	switch {
	case w.err != nil:
		return os.NewSyscallError("read", w.err)
	case w.n == 0:
		return io.EOF
	}
	w.into.in.w = w.n
	return nil
}

// gone reports whether the client has closed its side, as far as can be told
// without reading: over TLS that is not so far.
func (c *conn) gone() bool {
	sc, ok := c.socket.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	closed := false
	err = raw.Control(func(fd uintptr) {
		var one [1]byte
		n, _, readErr := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		closed = n == 0 && readErr == nil || errors.Is(readErr, syscall.ECONNRESET)
	})
	return err != nil || closed
}

// read tries to read; it reports whether there was an answer.
func (w *waiter) read(fd uintptr) bool {
	c := w.into
	c.acquire()
	for {
		w.n, w.err = syscall.Read(int(fd), c.in.buf)
		switch {
		case errors.Is(w.err, syscall.EINTR):
			continue
		case errors.Is(w.err, syscall.EAGAIN):
			c.release()
			return false
		}
		return true
	}
}

// writePiece writes the next piece of a file, as far as the socket takes it at
// once, and returns how much that was. The piece is read into memory that is lent
// to it only while the socket can take something: a thousand clients that do not
// read hold none. So it may be read again after each wait.
func (c *conn) writePiece(t *transfer) (int, error) {
	w := c.wait
	if w == nil {
		return c.writeHeld(t)
	}
	w.piece, w.n, w.err = t, 0, nil
	err := w.raw.Write(w.put)
	w.piece = nil
	if w.err != nil {
		err = w.err
	}
	return w.n, err
}

// write tries to write a piece; it reports whether there was an answer.
func (w *waiter) write(fd uintptr) bool {
	p := pieces.Get().(*[128 << 10]byte)
	defer pieces.Put(p)
	text, err := w.piece.next(p[:])
	if err != nil {
		w.err = err
		return true
	}
	for {
		n, err := syscall.Write(int(fd), text)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			return false
		case err != nil:
			w.err = os.NewSyscallError("write", err)
		default:
			w.n = n
			w.piece.sent(text[:n])
		}
		return true
	}
}
