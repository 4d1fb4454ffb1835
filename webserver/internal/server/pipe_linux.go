package server

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"topdown/webserver/internal/site"
)

// pipe is what lent memory passes on its way to a socket: vmsplice(2), then splice(2).
type pipe struct {
	r, w int // descriptors
	held int // bytes that are in it
}

// send sends what comes from at, and before end, of a sealed copy, as far as the
// socket takes it at once. What is in the pipe already is the beginning of that.
func (p *pipe) send(fd int, f *site.LargeFile, at, end int64) (n int, err error) {
	if p.held == 0 {
		if p.held, err = f.Lend(p.w, at, end); err != nil {
			return 0, os.NewSyscallError("vmsplice", err)
		}
	}
	flags := unix.SPLICE_F_NONBLOCK
	if at+int64(p.held) < end {
		flags |= unix.SPLICE_F_MORE
	}
	sent, err := unix.Splice(p.r, nil, fd, nil, p.held, flags)
	n = int(max(sent, 0))
	p.held -= n
	return n, os.NewSyscallError("splice", err)
}

// pipeSize is how much a pipe may hold, 64 KiB by default: fewer calls. The kernel
// grants a user without privileges 64 MiB in all.
const pipeSize = 512 << 10

const (
	// mostPipes is how many there are at once; sparePipes, how many are kept for the
	// next transfers.
	mostPipes  = 100
	sparePipes = 16
)

// pipes are what all transfers have in common.
type pipes struct {
	mu    sync.Mutex
	used  int
	spare []*pipe
}

// pipe returns an empty pipe, nil if too many are in use: a thousand clients that do
// not read must not take all descriptors.
func (s *pipes) pipe() *pipe {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used >= mostPipes {
		return nil
	}
	if last := len(s.spare) - 1; last >= 0 {
		p := s.spare[last]
		s.spare = s.spare[:last]
		s.used++
		return p
	}
	var fds [2]int
	if unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK) != nil {
		return nil
	}
	_, _ = unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, pipeSize) // a smaller one does it, too
	s.used++
	return &pipe{r: fds[0], w: fds[1]}
}

// giveBack keeps a pipe for others. One that holds what a client has not taken would
// send that to the next: it is closed.
func (s *pipes) giveBack(p *pipe) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used--
	if p.held == 0 && len(s.spare) < sparePipes {
		s.spare = append(s.spare, p)
		return
	}
	_, _ = unix.Close(p.r), unix.Close(p.w)
}
