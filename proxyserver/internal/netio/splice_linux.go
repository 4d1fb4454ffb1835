package netio

import (
	"errors"
	"io"
	"sync/atomic"
	"syscall"
)

const (
	spliceMove     = 1
	spliceNonblock = 2
	spliceSize     = 1 << 20
	setPipeSize    = 1031 // F_SETPIPE_SZ
	maxIdlePipes   = 64
)

// pipe is what the kernel moves pages through.
type pipe struct{ r, w int }

// idlePipes are empty pipes to be used again: a tunnel has one only while
// bytes are moving.
var idlePipes = make(chan pipe, maxIdlePipes)

func getPipe() (pipe, error) {
	select {
	case p := <-idlePipes:
		return p, nil
	default:
	}
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		return pipe{}, err
	}
	// A larger pipe is a matter of speed; the kernel may refuse it.
	syscall.Syscall(syscall.SYS_FCNTL, uintptr(fds[0]), setPipeSize, spliceSize) //nolint:errcheck // see above
	return pipe{fds[0], fds[1]}, nil
}

func putPipe(p pipe) {
	select {
	case idlePipes <- p:
	default:
		p.close()
	}
}

func (p pipe) close() {
	syscall.Close(p.r) //nolint:errcheck // nothing is lost
	syscall.Close(p.w) //nolint:errcheck // nothing is lost
}

// splice is relay within the kernel. It returns errors.ErrUnsupported before
// anything has moved if it cannot be used.
func splice(dst, src *Conn, moved *atomic.Int64, renew func()) error {
	if dst.raw == nil || src.raw == nil {
		return errors.ErrUnsupported
	}
	var (
		p     pipe
		have  bool
		n     int64
		fault error
		// A splice of nothing tells an end from a full pipe: the pipe is empty
		// whenever this runs.
		in = func(fd uintptr) bool {
			if !have {
				if p, fault = getPipe(); fault != nil {
					return true
				}
				have = true
			}
			n, fault = spliceOnce(int(fd), p.w, spliceSize)
			if errors.Is(fault, syscall.EAGAIN) {
				putPipe(p)
				have = false
				return false
			}
			return true
		}
		left int64
		out  = func(fd uintptr) bool {
			n, fault = spliceOnce(p.r, int(fd), int(left))
			return !errors.Is(fault, syscall.EAGAIN)
		}
	)
	defer func() {
		if have {
			p.close()
		}
	}()
	for {
		if err := src.raw.Read(in); err != nil {
			return err
		}
		if fault != nil {
			return fault
		}
		if n == 0 {
			putPipe(p)
			have = false
			return nil
		}
		src.Received.Add(n)
		for left = n; left > 0; left -= n {
			if err := dst.raw.Write(out); err != nil {
				return err
			}
			if fault == nil && n == 0 {
				fault = io.ErrShortWrite
			}
			if fault != nil {
				return fault
			}
			dst.Sent.Add(n)
			moved.Add(n)
			renew()
		}
	}
}

func spliceOnce(from, to, size int) (int64, error) {
	for {
		n, err := syscall.Splice(from, nil, to, nil, size, spliceMove|spliceNonblock)
		if err == nil {
			return int64(n), nil //nolint:unconvert // an int on 32-bit systems
		}
		if !errors.Is(err, syscall.EINTR) {
			return 0, err
		}
	}
}
