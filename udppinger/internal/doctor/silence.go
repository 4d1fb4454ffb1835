package doctor

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"syscall"
	"time"

	"topdown/udppinger/internal/ping"
	"topdown/udppinger/internal/socket"
	"topdown/udppinger/internal/wire"
)

// closed looks whether a port that is closed for UDP is open for TCP: somebody
// else's server has the number then.
func (d *Doctor) closed(ctx context.Context) Finding {
	conn, err := d.dialTCP(ctx)
	if err != nil {
		return Closed
	}
	conn.Close()
	d.Print("TCP: connected to the same port in %.3f ms", float64(conn.Connect)/1e6)
	return TCPOnly
}

// dialTCP connects to the same port over TCP.
func (d *Doctor) dialTCP(ctx context.Context) (*socket.TCP, error) {
	return socket.DialTCP(ctx, d.Target, netip.AddrPortFrom(d.Options.Source.Addr(), 0), max(d.Timeout, time.Second))
}

// silent finds out more about a port that says nothing: it asks the TCP side of
// the server what it saw of the first run, and where there is none it looks
// whether other ports of the host are as silent.
func (d *Doctor) silent(ctx context.Context) (Finding, error) {
	conn, err := d.dialTCP(ctx)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		d.Print("TCP: the connection was refused, so the host is up and can be reached; it has nobody to say what became of the UDP requests")
		return d.neighbour(ctx)
	case err != nil:
		d.Print("TCP: no connection to the same port either (%v)", err)
		return Filtered, nil
	}
	defer conn.Close()
	d.Print("TCP: connected to the same port in %.3f ms, so the host is up and can be reached", float64(conn.Connect)/1e6)
	return d.ask(conn), nil
}

// ask asks udppingserver what it saw of the first run.
func (d *Doctor) ask(conn *socket.TCP) Finding {
	format := wire.Format{Verb: "Seen", Nonce: d.Nonce}
	question := format.Append(nil, 1, time.Now())
	patience := max(d.Timeout, time.Second)
	err := conn.Send(1, question)
	var answer socket.Notice
	if err == nil {
		answer, err = conn.Receive(time.Now().Add(patience))
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		d.Print("TCP: the connection was taken, but no line came back within %v", patience)
		return Hanging
	}
	if err != nil {
		d.Print("TCP: what listens there did not echo a line: it is no lab server")
		return Filtered
	}
	quality, report := wire.Judge(question, answer.Data)
	if quality != wire.Intact || report == nil {
		d.Print("TCP: what listens there is not udppingserver, and cannot say what became of the UDP requests")
		return Filtered
	}
	d.Print("TCP: the server says that it received %d of the UDP requests and answered %d", report.Count, report.Answered)
	switch {
	case report.Count == 0:
		return NotArriving
	case report.Answered == 0:
		return Muted
	}
	return RepliesLost
}

// neighbour asks UDP ports of the same host that hardly anybody listens on. If
// they refuse, then ICMP errors do come back from there, and silence is not what
// a closed port says.
func (d *Doctor) neighbour(ctx context.Context) (Finding, error) {
	other := *d
	for _, port := range []uint16{64999, 61007} {
		if port == d.Target.Port() {
			continue
		}
		other.Target = netip.AddrPortFrom(d.Target.Addr(), port)
		refused := false
		_, err := other.run(ctx, wire.Format{Nonce: d.Nonce + 1}, 2, min(d.Timeout, time.Second), func(e ping.Event) {
			icmp := e.Probe.ICMP
			refused = refused || icmp != nil && icmp.PortUnreachable() && icmp.From == d.Target.Addr().WithZone("")
		})
		if err != nil || ctx.Err() != nil {
			return Filtered, err
		}
		if refused {
			d.Print("UDP: port %d of the same host refuses at once (ICMP port unreachable)", port)
			return Silent, nil
		}
	}
	return Filtered, nil
}
