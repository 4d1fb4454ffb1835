package echo

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Load is the server's part in measuring the delay of a line under load, where
// Server.Load is set: a client that has connected over TCP, and nobody else, may
// send "Load up" and fill the way there with bytes, which are thrown away, or
// "Load down" and have the way back filled. The answer to either line is "LOAD
// READY"; a server that does not take part upper-cases the line as any other.

// Limits of a load.
const (
	maxLoads    = 4                // clients at a time, one a host
	maxLoadTime = 30 * time.Second // then the connection is closed
	maxLoadRate = 125_000_000      // bytes a second, each client: 1 Gbit/s
	loadChunk   = 32 << 10         // bytes written or read at a time
)

// loadReady is what a server that takes part answers.
const loadReady = "LOAD READY\n"

// loads are the clients that are being served a load.
type loads struct {
	mu    sync.Mutex
	hosts map[netip.Addr]bool
}

// enter reports whether one more client may have a load.
func (l *loads) enter(host netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hosts == nil {
		l.hosts = make(map[netip.Addr]bool)
	}
	if len(l.hosts) >= maxLoads || l.hosts[host] {
		return false
	}
	l.hosts[host] = true
	return true
}

func (l *loads) leave(host netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.hosts, host)
}

// asksForLoad reports whether a line, upper-cased, asks for a load, and which.
func asksForLoad(line []byte) (up, ok bool) {
	up = bytes.Equal(line, []byte("LOAD UP"))
	return up, up || bytes.Equal(line, []byte("LOAD DOWN"))
}

// serveLoad fills or empties a connection until the client closes it, the time is
// up, or ctx is done.
func (s *Server) serveLoad(ctx context.Context, conn net.Conn, in *bufio.Reader, host netip.Addr, up bool) {
	if !s.loads.enter(host) {
		_, _ = io.WriteString(conn, "LOAD BUSY\n")
		return
	}
	defer s.loads.leave(host)
	if raw, err := conn.(*net.TCPConn).SyscallConn(); err == nil {
		fill(raw)
	}
	start := time.Now()
	_ = conn.SetDeadline(start.Add(maxLoadTime))
	if _, err := io.WriteString(conn, loadReady); err != nil {
		return
	}
	chunk := make([]byte, loadChunk)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for moved := int64(0); ; {
		var n int
		var err error
		if up {
			n, err = in.Read(chunk)
		} else {
			n, err = conn.Write(chunk)
		}
		if err != nil {
			return // the client is done, or the time is up
		}
		moved += int64(n)
		ahead := time.Duration(float64(moved)/maxLoadRate*float64(time.Second)) - time.Since(start)
		if ahead <= time.Millisecond {
			continue
		}
		timer.Reset(ahead)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
	}
}
