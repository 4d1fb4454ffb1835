package socket

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"
)

// TCP is a TCP connection to a line echo server, used like a UDP socket: each
// message is one line.
type TCP struct {
	// Connect is how long it took to connect.
	Connect time.Duration

	conn   net.Conn
	in     *bufio.Reader
	peer   netip.AddrPort
	closed atomic.Bool
	line   []byte // that was sent last
	part   []byte // of a line that has come
}

// DialTCP connects to target within timeout.
func DialTCP(ctx context.Context, target netip.AddrPort, source netip.AddrPort, timeout time.Duration) (*TCP, error) {
	start := time.Now()
	conn, err := Dialer(source, timeout).DialContext(ctx, "tcp", target.String())
	if err != nil {
		return nil, fmt.Errorf("connect to %s over TCP: %w", target, Cause(err))
	}
	return &TCP{Connect: time.Since(start), conn: conn, in: bufio.NewReaderSize(conn, bufferSize), peer: target}, nil
}

// Dialer returns a dialer from source, if that is valid.
func Dialer(source netip.AddrPort, timeout time.Duration) *net.Dialer {
	d := &net.Dialer{Timeout: timeout}
	if source.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(source)
	}
	return d
}

// Cause returns what is behind the dialer's error, without the address and the
// call that the caller tells of.
func Cause(err error) error {
	failed, ok := errors.AsType[*net.OpError](err)
	if !ok {
		return err
	}
	if failed.Timeout() {
		return errors.New("no answer in time")
	}
	if call, ok := errors.AsType[*os.SyscallError](failed.Err); ok {
		return call.Err
	}
	return failed.Err
}

// Send sends one line.
func (t *TCP) Send(_ uint64, message []byte) error {
	_ = t.conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	t.line = append(append(t.line[:0], message...), '\n')
	_, err := t.conn.Write(t.line)
	return err
}

// Receive waits for a line, no longer than until then (os.ErrDeadlineExceeded);
// the zero time is no limit. After Interrupt it returns net.ErrClosed; when the
// server has closed the connection, io.EOF.
func (t *TCP) Receive(until time.Time) (Notice, error) {
	_ = t.conn.SetReadDeadline(deadline(until))
	if t.closed.Load() { // Interrupt, which sets a deadline too, says so first
		return Notice{}, net.ErrClosed
	}
	part, err := t.in.ReadSlice('\n')
	if t.part = append(t.part, part...); err == nil && len(t.part) <= bufferSize {
		line := t.part[:len(t.part)-1]
		t.part = t.part[:0]
		return Notice{Kind: Message, Data: line, From: t.peer, Read: Now()}, nil
	}
	switch {
	case t.closed.Load():
		return Notice{}, net.ErrClosed
	case err == nil || errors.Is(err, bufio.ErrBufferFull):
		return Notice{}, errors.New("the server sent a line without an end")
	case errors.Is(err, io.EOF) && len(t.part) > 0:
		return Notice{}, io.ErrUnexpectedEOF
	}
	return Notice{}, err
}

// Drops returns 0: TCP repeats what it has no room for.
func (t *TCP) Drops() uint64 { return 0 }

// LocalPort returns the port that the connection is from.
func (t *TCP) LocalPort() int { return t.conn.LocalAddr().(*net.TCPAddr).Port }

// Interrupt makes Receive return net.ErrClosed, now and ever after.
func (t *TCP) Interrupt() {
	t.closed.Store(true)
	_ = t.conn.SetReadDeadline(time.Now())
}

// Close closes the connection.
func (t *TCP) Close() { t.conn.Close() }
