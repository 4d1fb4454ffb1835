package origin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"topdown/proxyserver/internal/exchange"
)

// Resolver turns a host name into addresses; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Dialer connects to origins. A name is resolved once, every address it has is
// checked, and the connection goes to a checked address, so that a name server
// that changes its answer between check and use gains nothing.
type Dialer struct {
	Resolver Resolver // nil: the system's
	// Check, if not nil, says why an address must not be connected to. The
	// address is the zero value where only the parent will know it, and then
	// its port alone counts. The error may be an *exchange.Error; any other is
	// answered with 403.
	Check func(host string, addr netip.AddrPort) error
	// Timeout bounds name, connection and TLS together; default 10 s.
	Timeout time.Duration
	// Roots are the certificate authorities trusted for origins; nil: the
	// system's.
	Roots *x509.CertPool
	// Parent, if not nil, is the proxy that everything goes through.
	Parent *Parent
}

func (d *Dialer) timeout() time.Duration {
	if d.Timeout <= 0 {
		return 10 * time.Second
	}
	return d.Timeout
}

// Dial returns a TCP connection to host, "name" or "name:port", checked and
// within the timeout. Its errors are *exchange.Error.
func (d *Dialer) Dial(ctx context.Context, host, defaultPort string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout())
	defer cancel()
	name, port := SplitHost(host, defaultPort)
	return d.dial(ctx, name, port, d.Check)
}

func (d *Dialer) dial(ctx context.Context, name, port string, check func(string, netip.AddrPort) error) (net.Conn, error) {
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return nil, &exchange.Error{Status: 400, Type: "http_request_error", Step: "finding the port", Err: fmt.Errorf("port %q is not one", port)}
	}
	began := time.Now()
	addrs, err := d.lookup(ctx, name)
	if err != nil {
		return nil, err
	}
	exchange.StepDone(ctx, "name", began)
	began = time.Now()
	for _, addr := range addrs {
		if check == nil {
			break
		}
		if err = check(name, netip.AddrPortFrom(addr, uint16(number))); err != nil {
			if known, ok := errors.AsType[*exchange.Error](err); ok {
				return nil, known
			}
			return nil, &exchange.Error{Status: 403, Type: "destination_ip_prohibited", Step: "checking the address of " + name, Err: err}
		}
	}
	for i, addr := range addrs {
		// Each address gets its share of the time that is left.
		limit := d.timeout()
		if deadline, ok := ctx.Deadline(); ok {
			limit = time.Until(deadline)
		}
		limit /= time.Duration(len(addrs) - i)
		dialer := net.Dialer{Timeout: limit, KeepAlive: 60 * time.Second}
		conn, dialErr := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(addr, uint16(number)).String())
		if dialErr == nil {
			exchange.StepDone(ctx, "connect", began)
			return conn, nil
		}
		err = dialErr
	}
	return nil, connectError(net.JoinHostPort(name, port), err)
}

func (d *Dialer) lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{addr.Unmap()}, nil
	}
	var resolver Resolver = net.DefaultResolver
	if d.Resolver != nil {
		resolver = d.Resolver
	}
	addrs, err := resolver.LookupNetIP(ctx, "ip", name)
	if err == nil && len(addrs) == 0 {
		err = &net.DNSError{IsNotFound: true}
	}
	if err != nil {
		return nil, lookupError(name, err)
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, nil
}

// secure makes conn a TLS connection to name, whose certificate is checked.
func (d *Dialer) secure(ctx context.Context, conn net.Conn, name string, sessions tls.ClientSessionCache) (net.Conn, error) {
	secured := tls.Client(conn, &tls.Config{
		ServerName:         name,
		RootCAs:            d.Roots,
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"http/1.1"},
		ClientSessionCache: sessions,
	})
	began := time.Now()
	err := secured.HandshakeContext(ctx)
	if err == nil {
		exchange.StepDone(ctx, "TLS", began)
		return secured, nil
	}
	conn.Close()
	return nil, secureError(name, err)
}

// SplitHost takes "name", "name:port", "[v6]" or "[v6]:port" apart; brackets
// are removed, and the port is defaultPort where there is none.
func SplitHost(host, defaultPort string) (name, port string) {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = host, ""
	}
	if port == "" {
		port = defaultPort
	}
	if len(name) > 1 && name[0] == '[' && name[len(name)-1] == ']' {
		name = name[1 : len(name)-1]
	}
	return name, port
}

// DefaultPort returns the port that a scheme means.
func DefaultPort(scheme string) string {
	switch scheme {
	case "https":
		return "443"
	case "ftp":
		return "21"
	}
	return "80"
}
