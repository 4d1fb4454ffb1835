package origin

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/netio"
)

// Parent is a proxy that stands between this one and all origins.
type Parent struct {
	Host string // "name:port"
	// Authorization is the value of Proxy-Authorization, "" for none.
	Authorization string
}

// ParseParent reads http://[user:password@]host[:port], port 3128 by default.
func ParseParent(s string) (*Parent, error) {
	u, err := url.Parse(s)
	if err != nil {
		// The error of url.Parse repeats its argument, password and all.
		return nil, errors.New("not a URL: use http://host:port")
	}
	if u.Scheme != "http" || u.Hostname() == "" || u.Path != "" && u.Path != "/" {
		return nil, errors.New("use http://host:port")
	}
	name, port := SplitHost(u.Host, "3128")
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, fmt.Errorf("port %q is not one", port)
	}
	parent := &Parent{Host: net.JoinHostPort(name, port)}
	if u.User != nil {
		password, _ := u.User.Password()
		parent.Authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password))
	}
	return parent, nil
}

// Tunnel returns a connection to host for CONNECT: a direct one, or one through
// the parent.
func (d *Dialer) Tunnel(ctx context.Context, host, via string) (net.Conn, error) {
	if d.Parent == nil {
		return d.Dial(ctx, host, "443")
	}
	if err := d.checkLiteral(host, "443"); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout())
	defer cancel()
	conn, err := d.dialParent(ctx)
	if err != nil {
		return nil, err
	}
	name, port := SplitHost(host, "443")
	if err = d.connectThrough(ctx, conn, net.JoinHostPort(name, port), via); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// dialParent connects to the parent, which the operator has named and the rules
// for targets therefore do not touch.
func (d *Dialer) dialParent(ctx context.Context) (net.Conn, error) {
	name, port := SplitHost(d.Parent.Host, "3128")
	return d.dial(ctx, name, port, nil)
}

// checkLiteral applies the address rules to what can be known of a target
// whose name the parent will look up: its port, and its address where the name
// is one in disguise.
func (d *Dialer) checkLiteral(host, defaultPort string) error {
	if d.Check == nil {
		return nil
	}
	name, port := SplitHost(host, defaultPort)
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return &exchange.Error{Status: 400, Type: "http_request_error", Step: "finding the port", Err: fmt.Errorf("port %q is not one", port)}
	}
	if strings.Contains(name, "%") {
		return &exchange.Error{Status: 400, Type: "http_request_error", Step: "reading the host", Err: errors.New("a name with percent-encodings")}
	}
	if err = d.Check(name, netip.AddrPortFrom(literal(name), uint16(number))); err != nil {
		if known, ok := errors.AsType[*exchange.Error](err); ok {
			return known
		}
		return &exchange.Error{Status: 403, Type: "destination_ip_prohibited", Step: "checking the address of " + name, Err: err}
	}
	return nil
}

// literal returns the address that a host stands for without being looked up,
// also in the forms that only old resolvers understand (127.1, 0x7f000001,
// 0177.0.0.1); the zero value for a name.
func literal(host string) netip.Addr {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap()
	}
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return netip.Addr{}
	}
	var value uint64
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 0, 32)
		if err != nil || strings.Contains(part, "_") {
			return netip.Addr{}
		}
		// The last part fills all the bytes that are left.
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (5 - len(parts))
		}
		if n >= 1<<bits {
			return netip.Addr{}
		}
		value = value<<bits | n
	}
	return netip.AddrFrom4([4]byte{byte(value >> 24), byte(value >> 16), byte(value >> 8), byte(value)})
}

// connectThrough asks the parent on conn for a tunnel to target.
func (d *Dialer) connectThrough(ctx context.Context, conn net.Conn, target, via string) error {
	fail := func(err error) error {
		return &exchange.Error{Status: 502, Type: "proxy_internal_error", Step: "asking the parent proxy for a tunnel", Err: err}
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return fail(err)
		}
	}
	req := httpmsg.Request{Method: "CONNECT", Target: target, Minor: 1, Fields: httpmsg.Fields{{Name: "Host", Value: target}}}
	if via != "" {
		req.Fields.Add("Via", via)
	}
	if d.Parent.Authorization != "" {
		req.Fields.Add("Proxy-Authorization", d.Parent.Authorization)
	}
	head, err := httpmsg.AppendRequest(nil, &req)
	if err != nil {
		return fail(err)
	}
	if _, err = conn.Write(head); err != nil {
		return fail(err)
	}
	// Byte by byte: what follows the head belongs to the tunnel, and the
	// connection must stay bare so that the kernel can splice it.
	src := bufio.NewReader(oneByte{conn})
	var resp httpmsg.Response
	for n := 0; resp.Status < 200; n++ { // interim responses come first
		err = resp.Read(src, "CONNECT", httpmsg.Limits{Fields: 8 << 10})
		switch {
		case netio.IsTimeout(err):
			return &exchange.Error{Status: 504, Type: "connection_timeout", Step: "asking the parent proxy for a tunnel", Err: errors.New("no answer within the time limit")}
		case err == nil && n == maxInterim:
			err = errors.New("too many interim responses")
		}
		if err != nil {
			return fail(err)
		}
	}
	if resp.Status < 200 || resp.Status > 299 {
		return fail(fmt.Errorf("it answered %d %s", resp.Status, resp.Reason))
	}
	return conn.SetDeadline(time.Time{})
}

// oneByte reads a byte at a time, and so nothing ahead.
type oneByte struct{ io.Reader }

func (r oneByte) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(1, len(p))]) }
