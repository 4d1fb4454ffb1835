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

// lend has the kernel send the very pages that hold what is left, so nothing is
// copied. It leaves it to copy where that cannot be done.
func (t *transfer) lend() error {
	if t.c.wait == nil { // TLS
		return nil
	}
	if t.file.Sealed() {
		return t.lendSealed()
	}
	return t.lendFile()
}

// lendSealed lends all of a copy that cannot change any more. The last piece waits
// until the connection has no more unsent than others may have.
func (t *transfer) lendSealed() error {
	lending := &t.c.s.lending
	p := lending.pipe()
	if p == nil {
		return nil
	}
	defer lending.giveBack(p)
	send := func(fd int, end int64) (int, error) { return p.send(fd, t.file, t.at, end) }
	if t.end-t.at >= lendMin+lastPiece && lending.take() {
		defer lending.give()
		setUnsent(t.c.wait.raw, 0)
		err := t.lendUntil(t.end-lastPiece, send)
		setUnsent(t.c.wait.raw, maxUnsent)
		if err != nil {
			return err
		}
	}
	return t.lendUntil(t.end, send)
}

// lendFile lends the greater part of a file that others may write to. What another
// program writes to it before a page has reached the client reaches the
// client, too. Therefore the last piece is kept back until the client has got all
// that was lent; if the file is then still the one that the head promised, all of
// it was. (A client on this machine shares the pages even in its receive buffer:
// see delivered. One in another network namespace of this machine, such as a
// container, does so as well and cannot be asked; its buffer is the one place
// where a later change can still reach a complete answer.)
func (t *transfer) lendFile() error {
	tcp, ok := t.c.nc.(*net.TCPConn) // not a Unix socket
	if !ok || !t.last || t.end-t.at < lendMin+lastPiece || !t.file.Lendable(time.Now()) {
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
	start, begun := t.at, time.Now()
	file := int(t.file.Fd())
	send := func(fd int, end int64) (int, error) {
		// The offset is given, so the file's own does not matter, and the count is
		// exact: without an end sendfile can stall at the end of the file.
		offset := t.at
		n, err := unix.Sendfile(fd, file, &offset, int(end-t.at))
		return n, os.NewSyscallError("sendfile", err)
	}
	if err := t.lendUntil(t.end-lastPiece, send); err != nil || t.at == start {
		return err
	}
	return t.delivered(raw, local, remote, t.at-start, begun)
}

// lendUntil lends what comes before end with send, which is given the socket and where
// a piece ends. It leaves it undone where the file system, or the socket, cannot do
// that.
func (t *transfer) lendUntil(end int64, send func(fd int, end int64) (int, error)) error {
	c, start := t.c, t.at
	if err := c.flushMore(); err != nil {
		return err
	}
	for turn := int64(0); t.at < end; {
		if turn >= lendPiece {
			turn = 0
			runtime.Gosched() // a fast client must not keep others waiting
		}
		var n int
		c.enter(writing)
		err := c.wait.untilTaken(func(fd int) (err error) {
			n, err = send(fd, min(end, t.at+lendPiece))
			return err
		})
		c.enter(responding)
		switch {
		case t.at == start && (errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EPERM)):
			return nil
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
	return nil
}

// flushMore is flush for what is followed by more at once, with which it leaves: the
// client is not woken for a head alone.
func (c *conn) flushMore() error {
	head := c.work.out
	c.work.out = head[:0]
	c.enter(writing)
	defer c.enter(responding)
	for len(head) > 0 {
		err := c.wait.untilTaken(func(fd int) error {
			n, err := unix.SendmsgN(fd, head, nil, nil, unix.MSG_MORE)
			head = head[max(n, 0):]
			return os.NewSyscallError("sendmsg", err)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// untilTaken calls send until the socket has taken something, or failed.
func (w *waiter) untilTaken(send func(fd int) error) error {
	var sent error
	err := w.raw.Write(func(fd uintptr) bool {
		for {
			if sent = send(int(fd)); !errors.Is(sent, syscall.EINTR) {
				return !errors.Is(sent, syscall.EAGAIN)
			}
		}
	})
	if err != nil {
		return err
	}
	return sent
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
