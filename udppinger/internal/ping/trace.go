package ping

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"topdown/udppinger/internal/socket"
	"topdown/udppinger/internal/tracefile"
)

// Trace writes to a file what one run sends, receives and decides. It stands
// between the pinger and its connection, and gets the pinger's events. A nil
// *Trace does nothing.
type Trace struct {
	file    *tracefile.File
	run     string
	target  netip.AddrPort
	tcp     bool
	timeout time.Duration

	mu      sync.Mutex
	opened  bool
	arrival *tracefile.Event // came, and the tracker has not judged it yet
	came    time.Time
}

// NewTrace returns a trace of a run by name, with the timeout of its probes.
func NewTrace(file *tracefile.File, run string, target netip.AddrPort, tcp bool, timeout time.Duration) *Trace {
	if file == nil {
		return nil
	}
	return &Trace{file: file, run: run, target: target, tcp: tcp, timeout: timeout}
}

// TraceHelpers are the functions that only tell the trace what others do.
var TraceHelpers = []string{"Send", "Receive", "Event", "write", "flush", "open"}

// tracedConn is a connection whose messages go to a trace too.
type tracedConn struct {
	Conn
	trace *Trace
}

// Conn returns the connection with the trace in front of it.
func (t *Trace) Conn(conn Conn) Conn {
	if t == nil {
		return conn
	}
	return tracedConn{conn, t}
}

func (c tracedConn) Send(tag uint64, message []byte) error {
	t := c.trace
	t.mu.Lock() // the reply may be here before Send returns, and is told after it
	defer t.mu.Unlock()
	at := time.Now()
	err := c.Conn.Send(tag, message)
	t.open(c.Conn, at)
	if err == nil { // else the event about it tells
		e := t.message("client", "server", message)
		e.ID, e.Step = strconv.FormatUint(tag, 10), "send"
		t.write(at, e)
	}
	return err
}

func (c tracedConn) Receive(until time.Time) (socket.Notice, error) {
	n, err := c.Conn.Receive(until)
	if err == nil && n.Kind == socket.Message {
		t := c.trace
		t.mu.Lock()
		defer t.mu.Unlock()
		t.flush()
		e := t.message("server", "client", n.Data)
		e.Step = "receive"
		t.arrival, t.came = &e, n.Stamp
		if n.Stamp.IsZero() {
			t.came = n.Read
		}
	}
	return n, err
}

func (t *Trace) message(from, to string, data []byte) tracefile.Event {
	e := tracefile.Event{From: from, To: to, What: tracefile.Datagram, Text: tracefile.Escape(data)}
	if t.tcp {
		e.What = tracefile.Line
	}
	return e
}

// open tells which addresses talk, as soon as ours is known.
func (t *Trace) open(conn Conn, at time.Time) {
	if t.opened {
		return
	}
	t.opened = true
	e := tracefile.Event{From: "client", To: "server", What: tracefile.State, Text: "open", Transport: "udp", Step: "create the socket"}
	if t.tcp {
		e.Transport = "tcp"
	}
	local, known := conn.(interface{ LocalPort() int })
	// A socket that connects to a UDP address sends nothing, and learns which of
	// our addresses is the one to send from.
	if probe, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(t.target)); err == nil && known {
		ip := probe.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
		_ = probe.Close()
		e.Source, e.Destination = netip.AddrPortFrom(ip, uint16(local.LocalPort())).String(), t.target.String()
	}
	t.write(at, e)
}

func (t *Trace) write(at time.Time, e tracefile.Event) {
	e.Conversation = t.run
	t.file.Write(at, e)
}

// flush writes a message that nobody has judged.
func (t *Trace) flush() {
	if t.arrival != nil {
		t.write(t.came, *t.arrival)
		t.arrival = nil
	}
}

// judged are the verdicts that a message which came can have, beside being on time.
var judged = map[Verdict]string{Reordered: "reordered", Late: "late", Corrupt: "corrupt", Truncated: "truncated"}

// Event takes in what the pinger decided.
func (t *Trace) Event(event Event) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &event.Probe
	e := tracefile.Event{From: "client", What: tracefile.Decision, ID: strconv.FormatUint(p.Seq, 10)}
	answered := p.Verdict.Received() || judged[p.Verdict] != ""
	switch {
	case event.Kind == TimedOut:
		e.What, e.Fate, e.Step = tracefile.Timer, "lost", "wait"
		e.Text = fmt.Sprintf("%d: no reply within %v", p.Seq, t.timeout)
	case event.Kind == Stray && t.arrival != nil:
		t.arrival.Fate, t.arrival.Why = "stray", event.Note
		t.flush()
		return
	case (event.Kind == Duplicate || event.Kind == Decided && answered) && t.arrival != nil:
		a := t.arrival
		a.ID, a.Fate, a.Why = e.ID, judged[p.Verdict], event.Note
		switch {
		case event.Kind == Duplicate:
			a.Fate, a.Why = "duplicate", "a reply to this probe came before"
		case p.Verdict == Late:
			a.Why = fmt.Sprintf("its round trip took %v, %v more than the timeout", p.RTT, p.RTT-t.timeout)
		case p.Verdict == Reordered:
			a.Why = "a later probe was answered earlier"
		case a.Why == "":
			a.Why = fmt.Sprintf("its round trip took %v", p.RTT)
		}
		t.flush()
		return
	case event.Kind == Decided && p.Verdict == Dropped:
		e.Fate, e.Text = "lost", fmt.Sprintf("%d was dropped on this host: %v", p.Seq, p.Reason)
	case event.Kind == Decided && p.Verdict == Refused:
		e.Fate, e.Text = "refused", fmt.Sprintf("%d was refused: %v", p.Seq, p.Reason)
	case event.Kind == Final && p.Verdict == Lost && p.Where != Unknown:
		e.Text = fmt.Sprintf("%d was lost %v, says the server", p.Seq, p.Where)
	default:
		return
	}
	t.write(time.Now(), e)
}
