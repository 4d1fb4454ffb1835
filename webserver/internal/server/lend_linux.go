package server

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"topdown/webserver/internal/site"
)

const (
	// lendMin is the least that is lent: what is less is copied sooner.
	lendMin = 512 << 10
	// lastPiece is how much at the end is copied, so that the response can still be
	// broken off.
	lastPiece = 64 << 10
	// lendPiece is how much is lent at once.
	lendPiece = 2 << 20
)

var errClosed = errors.New("the client has gone or is too slow")

// lend sends the greater part of what is left with sendfile(2): the kernel sends
// the very pages that hold the file, and nothing is copied. So what another
// program writes to the file before a page has reached the client reaches the
// client, too. Therefore the last piece is kept back until the client has got all
// that was lent; if the file is then still the one that the head promised, all of
// it was. (A client on this machine shares the pages even in its receive buffer:
// see delivered. One in another network namespace of this machine, such as a
// container, does so as well and cannot be asked; its buffer is the one place
// where a later change can still reach a complete answer.)
func (t *transfer) lend() error {
	tcp, ok := t.c.nc.(*net.TCPConn) // not TLS, not a Unix socket
	if !ok || t.c.wait == nil || !t.last || t.end-t.at < lendMin+lastPiece || !t.file.Lendable(time.Now()) {
		return nil
	}
	local, remote := tcp.LocalAddr().(*net.TCPAddr).AddrPort(), tcp.RemoteAddr().(*net.TCPAddr).AddrPort()
	lending := &t.c.s.lending
	if here(local, remote) && !lending.canAsk(local, remote) {
		return nil
	}
	raw := t.c.wait.raw
	if lending.take() {
		setUnsent(raw, 0)
		defer lending.give()
		defer setUnsent(raw, maxUnsent)
	}
	from, end := int(t.file.Fd()), t.end-lastPiece
	start, begun := t.at, time.Now()
	for turn := int64(0); t.at < end; {
		if turn >= lendPiece {
			turn = 0
			runtime.Gosched() // a fast client must not keep others waiting
		}
		var n int
		var sendErr error
		t.c.enter(writing)
		err := raw.Write(func(fd uintptr) bool {
			for {
				// The offset is given, so the file's own does not matter, and the count is
				// exact: without an end sendfile can stall at the end of the file.
				offset := t.at
				n, sendErr = unix.Sendfile(int(fd), from, &offset, int(min(end-t.at, lendPiece)))
				if !errors.Is(sendErr, syscall.EINTR) {
					return !errors.Is(sendErr, syscall.EAGAIN)
				}
			}
		})
		if err == nil && sendErr != nil {
			err = os.NewSyscallError("sendfile", sendErr)
		}
		t.c.enter(responding)
		switch {
		case errors.Is(err, syscall.EINVAL) && t.at == start:
			return nil // a file system that cannot lend
		case err != nil:
			return err
		case n <= 0:
			return site.ErrShrunk
		}
		t.file.Lent()
		t.lent = true
		t.at += int64(n)
		t.x.sent += int64(n)
		turn += int64(n)
		if err := t.file.Check(false); err != nil {
			return err
		}
	}
	return t.delivered(raw, local, remote, t.at-start, begun)
}

// delivered waits until the client has got all that was lent: nothing of it is
// unsent or unacknowledged here and, if the client is on this machine, nothing of
// it is unread there. The pace so far tells how long that will take.
func (t *transfer) delivered(raw syscall.RawConn, local, remote netip.AddrPort, lent int64, begun time.Time) error {
	c := t.c
	c.delivered.Store(0)
	c.enter(delivering)
	defer c.enter(responding)
	for {
		var queued int
		var state uint8
		var infoErr error
		err := raw.Control(func(fd uintptr) {
			var info *unix.TCPInfo
			if info, infoErr = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); infoErr != nil {
				return
			}
			state = info.State
			queued, infoErr = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
		})
		if err = errors.Join(err, infoErr); err != nil {
			return err
		}
		if state == tcpClose || c.expired.Load() {
			return errClosed
		}
		asked := true
		if queued == 0 {
			left, found, err := unread(remote, local)
			asked = err == nil || !here(local, remote)
			if asked && (!found || left == 0) {
				return nil
			}
			queued = left
		}
		taken := max(lent-int64(queued), 1)
		if asked {
			c.delivered.Store(taken)
		}
		wait := time.Duration(float64(time.Since(begun)) * float64(queued) / float64(taken))
		time.Sleep(min(max(wait, leastLook), mostLook))
	}
}

// How long delivered waits between two looks at what the client has taken.
const (
	leastLook = 200 * time.Microsecond
	mostLook  = 250 * time.Millisecond // thousands of slow readers are looked at all the time
)

const tcpClose = 7 // TCP_CLOSE of the kernel's <net/tcp_states.h>
