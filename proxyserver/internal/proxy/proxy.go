// Package proxy is the server half of the proxy: it accepts clients, reads
// their requests, tells which of the ways in each has taken (absolute form,
// CONNECT, path style, reverse), has the exchange carried out by the transports
// below it, and writes the response. CONNECT and Upgrade become tunnels here.
//
// It refuses every request that another reader might understand differently,
// and it knows neither how responses are stored nor how origins are reached.
//
// Its files in the order in which a request passes through them, and best read:
// proxy, session, target and pathstyle, permit, tunnel, request, forwarded,
// local, explain, respond, fail, page, send, body, accesslog, trace, uri.
//
// RFC 9110 (semantics, intermediaries), RFC 9112 (HTTP/1.1), RFC 9209
// (Proxy-Status), RFC 7239 (Forwarded).
package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/pkg/logging"
	"topdown/proxyserver/internal/access"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/netio"

	"go.uber.org/zap"
)

// Server is the proxy. Its fields are set before Serve and not changed while it
// runs, but for what the methods change.
type Server struct {
	// Transport carries out exchanges; required.
	Transport exchange.Transport
	// Purge, if not nil, handles PURGE from loopback: it removes what is stored
	// under a URI and returns how many responses there were.
	Purge func(uri string) int
	// Tunnel connects to the host of a CONNECT, through a parent with that Via;
	// required.
	Tunnel func(ctx context.Context, host, via string) (net.Conn, error)
	// Clock watches over timeouts; required.
	Clock *netio.Clock

	Name     string    // in Via and Proxy-Status; required
	Upstream *Upstream // reverse mode: the one origin; nil: forward
	// GetContent has reverse mode pass on the content of GET and HEAD, which is
	// refused otherwise.
	GetContent bool
	LocalRoot  *os.Root // files for path-style requests that name no host; nil: none

	// TLS, if not nil, is what clients are spoken to with.
	TLS *tls.Config
	// TrustProxy are the networks of proxies in front of this one, in reverse
	// mode: what they say of the client counts.
	TrustProxy []netip.Prefix
	// PreserveHost sends the Host of the client to the origin of reverse mode,
	// which then is a part of the cache's key.
	PreserveHost bool

	Rules *access.Rules // nil: the zero value's
	Quota *access.Quota // nil: none

	HeadTimeout time.Duration  // for a request's head once it has begun; default 10 s
	BodyTimeout time.Duration  // between two pieces of content, either way; default 60 s
	IdleTimeout time.Duration  // of a client between requests; default 60 s
	TunnelIdle  time.Duration  // of a tunnel in both directions; default 10 min
	Drain       time.Duration  // for exchanges under way at the end; default 3.5 s
	Limits      httpmsg.Limits // of request heads
	MaxBody     int64          // bytes of a request's content; 0: no limit
	MaxConns    int            // clients at a time; default 20,000
	MaxPerAddr  int            // clients at a time from one IPv4 address or IPv6 /64; 0: 256, loopback exempt; <0: no limit

	Log    *zap.Logger        // life cycle and faults; required
	Access *logging.AccessLog // nil: none
	Trace  io.Writer          // both sides' messages and every decision; nil: none
	Notify func(string)       // the lab's lines; nil: none
	Now    func() time.Time   // nil: time.Now
	Stats  Stats

	users atomic.Pointer[access.Users]
	via   [2]string // this proxy in Via, by the minor version of what it received

	mu       sync.Mutex
	sessions map[*session]struct{}
	perAddr  map[netip.Addr]int // by access.Network
	own      netip.AddrPort     // where it listens
	draining atomic.Bool
	traceMu  sync.Mutex
	wg       sync.WaitGroup
}

// Stats are counters since the start, and gauges of what is under way.
type Stats struct {
	Requests, Errors           atomic.Int64 // answered; answered by the proxy itself with an error
	Hits, Misses, Other        atomic.Int64 // from the store; from the origin; with no cache asked
	Clients, Tunnels, Accepted atomic.Int64 // open; open; since the start
	Received, Sent             atomic.Int64 // bytes from and to clients, tunnels included, counted at their end
	Refused                    atomic.Int64 // connections over a limit
}

// SetUsers makes users the ones who may use the proxy; nil means that no
// password is asked for. It may be called while the server runs.
func (s *Server) SetUsers(users *access.Users) { s.users.Store(users) }

func (s *Server) setDefaults() {
	for v, value := range map[*time.Duration]time.Duration{
		&s.HeadTimeout: 10 * time.Second,
		&s.BodyTimeout: 60 * time.Second,
		&s.IdleTimeout: 60 * time.Second,
		&s.TunnelIdle:  10 * time.Minute,
		&s.Drain:       3500 * time.Millisecond,
	} {
		if *v <= 0 {
			*v = value
		}
	}
	s.via = [2]string{"1.0 " + s.Name, "1.1 " + s.Name}
	if s.MaxConns <= 0 {
		s.MaxConns = 20000
	}
	if s.Rules == nil {
		s.Rules = &access.Rules{}
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	s.sessions = make(map[*session]struct{})
	s.perAddr = make(map[netip.Addr]int)
}

// Serve answers clients on ln until ctx is done, then lets exchanges under way
// come to their end for at most Drain, and returns nil. An error is one of
// accepting.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	s.setDefaults()
	s.mu.Lock()
	s.own = addrPort(ln.Addr())
	s.mu.Unlock()
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	netio.LimitUnsent(ln)
	err := s.accept(ctx, work, ln)
	s.drain(cancel)
	return err
}

func (s *Server) accept(ctx, work context.Context, ln net.Listener) error {
	for pause := time.Duration(0); ; {
		// Step 3: accept a client.
		conn, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			s.handleConn(work, conn)
			continue
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return nil
		}
		// Out of descriptors, most likely: those who are served will leave.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		s.Log.Warn("cannot accept a client", zap.Error(err), zap.Duration("pause", pause))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

// handleConn starts a session for conn unless a limit stands against it.
func (s *Server) handleConn(ctx context.Context, conn net.Conn) {
	s.Stats.Accepted.Add(1)
	client := addrPort(conn.RemoteAddr())
	if s.TLS != nil {
		conn = tls.Server(conn, s.TLS)
	}
	c := &session{server: s, ctx: ctx, conn: netio.NewConn(conn, s.Clock), client: client}
	addr := access.Network(c.client.Addr())
	limit := s.MaxPerAddr
	if limit == 0 && !addr.IsLoopback() {
		limit = 256
	}
	s.mu.Lock()
	switch {
	case len(s.sessions) >= s.MaxConns:
		c.refusal = &exchange.Error{Status: 503, Type: "connection_limit_reached", Step: "accepting the connection", Err: errors.New("too many clients at the moment")}
	case limit > 0 && s.perAddr[addr] >= limit:
		c.refusal = &exchange.Error{Status: 429, Type: "connection_limit_reached", Step: "accepting the connection", Err: errors.New("too many connections from one address")}
	}
	// A few over the limit are told why, before they are sent away.
	if c.refusal != nil && (len(s.sessions) >= s.MaxConns+max(s.MaxConns/8, 1) ||
		limit > 0 && s.perAddr[addr] >= limit+max(limit/8, 1)) {
		s.mu.Unlock()
		s.Stats.Refused.Add(1)
		c.conn.Abort()
		return
	}
	s.sessions[c] = struct{}{}
	s.perAddr[addr]++
	s.mu.Unlock()
	s.Stats.Clients.Add(1)
	if s.Notify != nil {
		s.Notify("Received a connection from " + c.client.String())
	}
	s.wg.Go(func() {
		defer s.removeSession(c)
		defer s.recoverPanic()
		c.serve()
	})
}

// recoverPanic makes a fault of ours cost one client its connection and nobody
// else anything.
func (s *Server) recoverPanic() {
	if fault := recover(); fault != nil {
		s.Log.Error("fault while serving a client", zap.Any("fault", fault), zap.ByteString("stack", debug.Stack()))
	}
}

func (s *Server) removeSession(c *session) {
	// Step 7: close the connection.
	c.conn.Shut()
	c.conn.Release()
	s.mu.Lock()
	delete(s.sessions, c)
	addr := access.Network(c.client.Addr())
	if s.perAddr[addr]--; s.perAddr[addr] <= 0 {
		delete(s.perAddr, addr)
	}
	s.mu.Unlock()
	s.Stats.Clients.Add(-1)
	s.Stats.Received.Add(c.conn.Received.Load())
	s.Stats.Sent.Add(c.conn.Sent.Load())
}

// drain closes idle clients at once and the others when they are done or the
// time is over; then everything that is still open is closed.
func (s *Server) drain(cancel context.CancelFunc) {
	s.draining.Store(true)
	s.mu.Lock()
	for c := range s.sessions {
		if !c.busy.Load() {
			c.conn.Shut()
		}
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(s.Drain):
		s.Log.Warn("exchanges under way are broken off: the time for them is over")
	}
	cancel()
	s.Clock.CloseAll()
	select {
	case <-done:
	case <-time.After(time.Second / 4):
	}
}

// IsSelf reports whether a connection to addr would come back to this server.
func (s *Server) IsSelf(addr netip.AddrPort) bool {
	s.mu.Lock()
	own := s.own
	s.mu.Unlock()
	ip := addr.Addr().Unmap()
	if !own.IsValid() || addr.Port() != own.Port() {
		return false
	}
	if ip.IsUnspecified() {
		return true // the system takes it for this machine
	}
	if !own.Addr().IsUnspecified() {
		return ip == own.Addr()
	}
	if ip.IsLoopback() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Unmap() == ip {
			return true
		}
	}
	return false
}

func addrPort(addr net.Addr) netip.AddrPort {
	if tcp, ok := addr.(*net.TCPAddr); ok {
		ap := tcp.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
	}
	return netip.AddrPort{}
}
