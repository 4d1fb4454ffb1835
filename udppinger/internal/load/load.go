// Package load measures what a line's queues do to its delay: it pings while a TCP
// stream fills the way to the server, then the way back. udppingserver takes part
// if it was started with --load.
//
// The measurement is of the round trip; which way the queue is on follows from
// which way is being filled. The package says what it found in words.
package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"topdown/udppinger/internal/ping"
	"topdown/udppinger/internal/socket"
	"topdown/udppinger/internal/stats"
	"topdown/udppinger/internal/wire"
)

// Test is one measurement.
type Test struct {
	Target  netip.AddrPort
	Options socket.Options
	Phase   time.Duration // how long each of the three phases takes
	Nonce   uint64
	// Print is given what is being done, line by line.
	Print func(format string, args ...any)
	// Emit is told of each ping; nil: nobody is.
	Emit func(ping.Event)
}

// Phase is what was measured in one of the phases.
type Phase struct {
	Name  string
	RTT   *stats.RTT
	Sent  uint64
	Lost  uint64
	Bytes int64 // moved by the stream
	Took  time.Duration
}

// Times of a test.
const (
	interval = 20 * time.Millisecond // from ping to ping
	timeout  = 3 * time.Second       // for a reply: queues may be deep
	warmUp   = time.Second           // in which a queue fills, or empties
)

// Run runs the three phases: idle, the way there filled, the way back filled.
func (t *Test) Run(ctx context.Context) (idle, up, down *Phase, err error) {
	if idle, err = t.phase(ctx, "idle", nil); err != nil {
		return nil, nil, nil, err
	}
	if up, err = t.phase(ctx, "while uploading", t.upload); err != nil {
		return nil, nil, nil, err
	}
	if down, err = t.phase(ctx, "while downloading", t.download); err != nil {
		return nil, nil, nil, err
	}
	if ctx.Err() != nil {
		return nil, nil, nil, errors.New("interrupted before all was measured")
	}
	return idle, up, down, nil
}

// phase pings while stream, if there is one, fills the line.
func (t *Test) phase(ctx context.Context, name string, stream func(net.Conn) (int64, error)) (*Phase, error) {
	p := &Phase{Name: name, RTT: stats.NewRTT()}
	var busy net.Conn
	after := time.Duration(0) // pings before count for nothing
	if stream != nil {
		var err error
		if busy, err = t.connect(ctx, name == "while uploading"); err != nil {
			return nil, err
		}
		defer busy.Close()
		after = min(warmUp, t.Phase/2)
	}
	t.Print("%s, for %v", name, t.Phase)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	start := time.Now()
	if stream != nil {
		stop := context.AfterFunc(ctx, func() { busy.Close() })
		defer stop()
		end := time.AfterFunc(t.Phase, func() { busy.Close() }) // before the last replies are in
		defer end.Stop()
		wg.Go(func() {
			p.Bytes, _ = stream(busy)
			p.Took = time.Since(start)
		})
	}
	err := t.ping(ctx, p, start, after)
	wg.Wait()
	if err != nil {
		return nil, fmt.Errorf("ping %s: %w", name, err)
	}
	if stream != nil && p.Took < t.Phase/2 && ctx.Err() == nil {
		return nil, fmt.Errorf("%s: the server closed the connection after %v", name, p.Took.Round(time.Millisecond))
	}
	return p, nil
}

// ping pings for the time of a phase.
func (t *Test) ping(ctx context.Context, p *Phase, start time.Time, after time.Duration) error {
	conn, err := socket.Dial(t.Target, t.Options)
	if err != nil {
		return err
	}
	defer conn.Close()
	t.Nonce++
	pinger := ping.Pinger{
		Conn: conn, Target: t.Target, Format: wire.Format{Nonce: t.Nonce},
		Schedule: ping.Schedule{Interval: interval, Duration: t.Phase, Timeout: timeout},
		Emit: func(e ping.Event) {
			if t.Emit != nil {
				t.Emit(e)
			}
			if e.Kind != ping.Final || e.Probe.Begun < after {
				return
			}
			switch p.Sent++; {
			case e.Probe.Verdict.Received():
				// From when it was given to the system: its stamp of leaving is
				// taken after the queue of this host's own device.
				p.RTT.Add(e.Probe.Came - e.Probe.Begun)
			default:
				p.Lost++
			}
		},
	}
	return pinger.Run(ctx, start)
}

// errBusy is the server's answer if it serves so many loads already.
var errBusy = errors.New("busy with other loads: try again in half a minute")

// connect asks the server for a stream, for two seconds or so where it is busy: it
// may be so with the one before this one, of whose end it has not heard yet.
func (t *Test) connect(ctx context.Context, up bool) (net.Conn, error) {
	for try := 1; ; try++ {
		conn, err := t.ask(ctx, up)
		if !errors.Is(err, errBusy) || try == 10 || ctx.Err() != nil {
			return conn, err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// ask asks once.
func (t *Test) ask(ctx context.Context, up bool) (net.Conn, error) {
	dialer := socket.Dialer(netip.AddrPortFrom(t.Options.Source.Addr(), 0), 5*time.Second)
	conn, err := dialer.DialContext(ctx, "tcp", t.Target.String())
	if err != nil {
		return nil, fmt.Errorf("connect to %s over TCP: the server takes part over TCP, with --load: %w", t.Target, socket.Cause(err))
	}
	line := "Load down"
	if up {
		line = "Load up"
	}
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprintf(conn, "%s\n", line)
	// One byte at a time: what follows the line belongs to the stream.
	answer, err := bufio.NewReaderSize(io.LimitReader(conn, int64(len("LOAD READY\n"))), 16).ReadString('\n')
	switch {
	case err == nil && answer == "LOAD READY\n":
		_ = conn.SetDeadline(time.Time{})
		// What is not sent when the phase ends must not fill the line in the next.
		tcp := conn.(*net.TCPConn)
		_ = tcp.SetLinger(0)
		if raw, failed := tcp.SyscallConn(); failed == nil {
			fill(raw)
		}
		return conn, nil
	case answer == "LOAD BUSY\n":
		err = fmt.Errorf("%s is %w", t.Target, errBusy)
	default:
		err = fmt.Errorf("%s does not take part: it needs to be udppingserver, started with --load", t.Target)
	}
	conn.Close()
	return nil, err
}

// upload writes until the connection is closed.
func (t *Test) upload(conn net.Conn) (n int64, err error) {
	chunk := make([]byte, 32<<10)
	for {
		written, failed := conn.Write(chunk)
		n += int64(written)
		if failed != nil {
			return n, failed
		}
	}
}

// download reads until the connection is closed.
func (t *Test) download(conn net.Conn) (int64, error) { return io.Copy(io.Discard, conn) }

// Verdict says in words what a queue does.
func Verdict(idle, busy *Phase) string {
	if idle.RTT.N == 0 || busy.RTT.N == 0 {
		return fmt.Sprintf("%s: no ping was replied to", busy.Name)
	}
	way := "there"
	if busy.Name == "while downloading" {
		way = "back"
	}
	rest, full := idle.RTT.Percentile(50), busy.RTT.Percentile(50)
	added := max(full-rest, 0)
	text := fmt.Sprintf("idle %s, %s %s: ", milliseconds(rest), busy.Name, milliseconds(full))
	switch {
	case added < 10*time.Millisecond:
		return text + fmt.Sprintf("hardly any queue on the way %s; calls do not notice", way)
	case added < 50*time.Millisecond:
		return text + fmt.Sprintf("the queue on the way %s holds %s; calls hardly notice", way, milliseconds(added))
	case added < 150*time.Millisecond:
		return text + fmt.Sprintf("the queue on the way %s holds %s; calls and games will notice", way, milliseconds(added))
	}
	what := "uploads"
	if way == "back" {
		what = "downloads"
	}
	return text + fmt.Sprintf("the queue on the way %s holds %s; calls will suffer while something %s", way, milliseconds(added), what)
}

// milliseconds writes a time with about three digits.
func milliseconds(d time.Duration) string {
	switch ms := float64(d) / 1e6; {
	case ms < 10:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 100:
		return fmt.Sprintf("%.1f ms", ms)
	default:
		return fmt.Sprintf("%.0f ms", ms)
	}
}

// Line sums a phase up.
func (p *Phase) Line() string {
	if p.RTT.N == 0 {
		return fmt.Sprintf("%-18s %d pings, all lost", p.Name, p.Sent)
	}
	line := fmt.Sprintf("%-18s RTT p50/p90/max %s/%s/%s, %d of %d pings lost", p.Name,
		milliseconds(p.RTT.Percentile(50)), milliseconds(p.RTT.Percentile(90)), milliseconds(p.RTT.Max), p.Lost, p.Sent)
	if p.Took > 0 {
		line += fmt.Sprintf(", %.1f Mbit/s", float64(p.Bytes)*8/1e6/p.Took.Seconds())
	}
	return line
}
