package echo

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"topdown/udppingserver/internal/wire"

	"go.uber.org/zap"
)

// Limits of TCP.
const (
	maxConns        = 256
	maxConnsPerHost = 32
	tcpIdle         = 60 * time.Second // for a line to come, and to go
)

// serveTCP answers TCP connections: the same upper-casing as over UDP, line by
// line, without any loss, for TCP is there to repair losses.
func (s *Server) serveTCP(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	var mu sync.Mutex
	open := make(map[netip.Addr]int)
	total := 0
	for {
		conn, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil { // no descriptors left, say: it may pass
			s.Log.Warn("accept", zap.Error(err))
			time.Sleep(10 * time.Millisecond)
			continue
		}
		host := hostOf(conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr())
		mu.Lock()
		full := total >= maxConns || open[host] >= maxConnsPerHost
		if !full {
			open[host]++
			total++
		}
		mu.Unlock()
		if full {
			s.tcp.refused.Add(1)
			conn.Close()
			continue
		}
		s.tcp.accepted.Add(1)
		wg.Go(func() {
			s.serveConn(ctx, conn, host)
			mu.Lock()
			defer mu.Unlock()
			total--
			if open[host]--; open[host] == 0 {
				delete(open, host)
			}
		})
	}
}

// hostOf returns what all limits of TCP take for one host: an IPv4 address, or an
// IPv6 /64, whose 2^64 addresses are one host's to choose from.
func hostOf(addr netip.Addr) netip.Addr {
	if addr = addr.Unmap(); addr.Is6() {
		network, _ := addr.Prefix(64) // fails for more bits than there are
		return network.Addr()
	}
	return addr
}

func (s *Server) serveConn(ctx context.Context, conn net.Conn, host netip.Addr) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	in := bufio.NewReaderSize(conn, maxMessage)
	out := bufio.NewWriterSize(conn, 4096)
	var own client // of this connection
	for {
		// Answers to lines that came together leave together; none waits for a
		// line of which only the beginning is here.
		if begun, _ := in.Peek(in.Buffered()); !bytes.Contains(begun, []byte{'\n'}) && out.Flush() != nil {
			return
		}
		_ = conn.SetDeadline(time.Now().Add(tcpIdle))
		line, err := in.ReadSlice('\n')
		now := time.Now()
		if len(line) == 0 || err != nil && !errors.Is(err, io.EOF) {
			return // the end, or a line longer than any UDP message, or too slow
		}
		message := bytes.TrimRight(line, "\r\n")
		req, _ := wire.Parse(message)
		wire.Upper(message)
		if up, ok := asksForLoad(message); ok && s.Load && out.Flush() == nil {
			s.serveLoad(ctx, conn, in, host, up)
			return
		}
		switch {
		case seen(req):
			if !s.questions.wait(ctx, host) {
				return
			}
			about := s.run(req.Nonce)
			wire.Fill(message, req, about.report(now, time.Since(now)))
		case req.Extended && req.Verb == wire.Ping:
			own.run.receive(req)
			own.run.answer(req)
			wire.Fill(message, req, own.run.report(now, time.Since(now)))
		}
		s.tcp.lines.Add(1)
		if _, failed := out.Write(line); failed != nil {
			return
		}
		if err != nil { // the last line had no end
			_ = out.Flush()
			return
		}
	}
}
