// Package listen opens the sockets that a server accepts connections on: TCP,
// Unix domain, or handed over by systemd. Its errors tell the user what is in
// the way and how to get round it.
package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// Error says why a server cannot listen on an address.
type Error struct {
	Addr   string // as given
	Reason string // what is wrong
	Hint   string // what to do about it, or ""
	Err    error  // the cause, or nil
}

func (e *Error) Error() string {
	s := "cannot listen on " + e.Addr + ": " + e.Reason
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrAddress is under the error for what is no address at all: the command
// line is wrong, and not the machine.
var ErrAddress = errors.New("not an address")

// Listen opens addr, which is "host:port" or "unix:/path". All its errors are
// of type *Error.
//
// An empty host, and also "[::]", means every address of the machine, IPv6 and
// IPv4; "0.0.0.0" means every IPv4 address. Port 0 is any free port.
//
// Connections accepted have no TCP keep-alive: a server with idle timeouts
// needs none. Multipath TCP is off: it costs every connection, and a sandbox
// cannot restrict it.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return listenUnix(ctx, path)
	}
	network, err := checkAddr(addr)
	if err != nil {
		return nil, err
	}
	config := net.ListenConfig{KeepAlive: -1}
	config.SetMultipathTCP(false)
	ln, err := config.Listen(ctx, network, addr)
	if err != nil {
		return nil, explain(addr, err)
	}
	return ln, nil
}

// checkAddr checks the form of addr and returns the network to open it in.
func checkAddr(addr string) (network string, err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		e := &Error{Addr: addr, Reason: "this is not an address", Err: ErrAddress}
		e.Hint = `write host:port, :port for every address, "[::1]:8080" for IPv6, or unix:/path`
		if _, err := strconv.ParseUint(addr, 10, 16); err == nil {
			e.Reason, e.Hint = "there is no colon before the port", "write :"+addr
		}
		return "", e
	}
	if n, err := strconv.ParseUint(port, 10, 32); err != nil || n > 65535 {
		return "", &Error{
			Addr: addr, Reason: fmt.Sprintf("%q is not a port", port), Err: ErrAddress,
			Hint: "a port is a number from 1 to 65535, or 0 for any that is free",
		}
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is4() {
		// With "tcp", 0.0.0.0 would be every IPv6 address as well.
		return "tcp4", nil
	}
	return "tcp", nil
}

// explain makes of what the system answered an error for the user.
func explain(addr string, err error) error {
	host, portText, _ := net.SplitHostPort(addr)
	port, _ := strconv.Atoi(portText)
	e := &Error{Addr: addr, Err: err}
	var dns *net.DNSError
	other := fmt.Sprintf("choose another, as in 'webserver %d'", otherPort(port))
	switch {
	case errors.Is(err, errInUse):
		e.Reason, e.Hint = "the port is in use by "+holderOf(port), other
	case errors.Is(err, os.ErrPermission) || errors.Is(err, errDenied):
		e.Reason, e.Hint = "ports below 1024 are for root", other+privilegeHint
	case errors.Is(err, errNotHere):
		e.Reason = "this machine has no such address"
	case errors.As(err, &dns):
		e.Reason = fmt.Sprintf("the name %q has no address here", host)
		e.Hint = fmt.Sprintf("use localhost, an address of this machine, or :%d for all of them", port)
	default:
		e.Reason = err.Error()
	}
	return e
}

// nobody stands for a process that cannot be found.
const nobody = "another program"

// otherPort returns a port to try instead of one that cannot be had.
func otherPort(port int) int {
	if port < 1024 || port == 65535 {
		return 8080
	}
	return port + 1
}
