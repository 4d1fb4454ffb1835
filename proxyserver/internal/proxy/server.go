package proxy

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/pkg/logging"
	"topdown/proxyserver/internal/access"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/history"
	"topdown/proxyserver/internal/netio"
	"topdown/proxyserver/internal/tracefile"

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
	// TraceFile gets the same as Trace, as events; nil: none.
	TraceFile *tracefile.File
	History   *history.History // keeps the last exchanges; nil: none
	Notify    func(string)     // the lab's lines; nil: none
	Now       func() time.Time // nil: time.Now
	Stats     Stats

	users    atomic.Pointer[access.Users]
	defaults sync.Once
	via      [2]string // this proxy in Via, by the minor version of what it received

	mu       sync.Mutex
	open     map[*netio.Conn]*atomic.Bool // the clients; true: an exchange is under way
	perAddr  map[netip.Addr]int           // by access.Network
	own      netip.AddrPort               // where it listens
	others   []netip.AddrPort             // where else this process does
	reload   map[string]bool              // keys to revalidate at their next request
	draining atomic.Bool
	reloads  atomic.Int32 // len(reload), for those who would ask in vain
	tracer   tracer
	wg       sync.WaitGroup
}

// Stats are counters since the start, and gauges of what is under way.
type Stats struct {
	Requests, Errors           atomic.Int64 // answered; answered by the proxy itself with an error
	Hits, Misses, Other        atomic.Int64 // from the store; from the origin; with no cache asked
	Clients, Tunnels, Accepted atomic.Int64 // open; open; since the start
	Received, Sent             atomic.Int64 // bytes from and to clients, tunnels included, counted at their end
	Refused                    atomic.Int64 // connections over a limit
	Saved                      atomic.Int64 // bytes of content that no origin had to send; counted where there is a history
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
	s.tracer.w, s.tracer.file = s.Trace, s.TraceFile
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
	s.open = make(map[*netio.Conn]*atomic.Bool)
	s.perAddr = make(map[netip.Addr]int)
}

// Shield makes addr, where another server of this process listens, one that the
// proxy connects to for nobody.
func (s *Server) Shield(addr net.Addr) {
	s.mu.Lock()
	s.others = append(s.others, addrPort(addr))
	s.mu.Unlock()
}

// IsSelf reports whether a connection to addr would come back to this process.
func (s *Server) IsSelf(addr netip.AddrPort) bool {
	s.mu.Lock()
	own, others := s.own, s.others
	s.mu.Unlock()
	return sameListener(own, addr) || slices.ContainsFunc(others, func(other netip.AddrPort) bool { return sameListener(other, addr) })
}

func sameListener(own, addr netip.AddrPort) bool {
	ip := addr.Addr().Unmap().WithZone("")
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
