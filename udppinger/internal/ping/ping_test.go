package ping

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"topdown/udppinger/internal/freeport"
	"topdown/udppinger/internal/socket"
	"topdown/udppinger/internal/wire"

	"github.com/google/go-cmp/cmp"
)

// peer is a UDP server that does with each request what its script says: script
// is called with the number of the request, from 1, and may send what it likes.
type peer struct {
	conn *net.UDPConn
	addr netip.AddrPort
}

func newPeer(t *testing.T, script func(p *peer, n int, request []byte, from netip.AddrPort)) *peer {
	t.Helper()
	// A port that refuses once it is closed: nobody else gets it.
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: freeport.Take(t)})
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{conn, conn.LocalAddr().(*net.UDPAddr).AddrPort()}
	var wg sync.WaitGroup
	wg.Go(func() {
		buffer := make([]byte, 65536)
		for n := 1; ; n++ {
			size, from, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			script(p, n, bytes.Clone(buffer[:size]), from)
		}
	})
	t.Cleanup(func() {
		conn.Close()
		wg.Wait()
	})
	return p
}

func (p *peer) send(message []byte, to netip.AddrPort) { _, _ = p.conn.WriteToUDPAddrPort(message, to) }

func capitals(request []byte) []byte { return bytes.ToUpper(request) }

// play pings target and returns the counts and the verdict of each probe.
func play(t *testing.T, target netip.AddrPort, schedule Schedule) (Counts, []Probe) {
	t.Helper()
	conn, err := socket.Dial(target, socket.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var probes []Probe
	p := Pinger{
		Conn: conn, Target: target, Format: wire.Format{Nonce: 0xABCDEF}, Schedule: schedule,
		Emit: func(e Event) {
			if e.Kind == Final {
				probes = append(probes, e.Probe)
			}
		},
	}
	if err := p.Run(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	return p.Counts(), probes
}

func verdicts(probes []Probe) (v []string) {
	for _, p := range probes {
		v = append(v, p.Verdict.String())
	}
	return v
}

// One peer does all there is to do, and each probe gets the verdict that the
// script has in mind.
func TestScriptedPeer(t *testing.T) {
	t.Parallel()
	const timeout = 2 * time.Second
	other, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var held []byte
	p := newPeer(t, func(p *peer, n int, request []byte, from netip.AddrPort) {
		reply := capitals(request)
		switch n {
		case 2: // drop
		case 3: // delay past the timeout
			time.AfterFunc(timeout+100*time.Millisecond, func() { p.send(reply, from) })
		case 4: // duplicate
			p.send(reply, from)
			p.send(reply, from)
		case 5: // reorder, with 6
			held = reply
		case 6:
			p.send(reply, from)
			p.send(held, from)
		case 7: // corrupt
			reply[9] ^= 8
			p.send(reply, from)
		case 8: // truncate
			p.send(reply[:50], from)
		case 9: // answer from another port
			_, _ = other.WriteToUDPAddrPort(reply, from)
		default:
			p.send(reply, from)
		}
	})
	counts, probes := play(t, p.addr, Schedule{Count: 15, Timeout: timeout, Interval: 150 * time.Millisecond})
	want := []string{
		"on time", "lost", "late", "on time", "reordered", "on time", "corrupt", "truncated", "lost",
		"on time", "on time", "on time", "on time", "on time", "on time",
	}
	if diff := cmp.Diff(want, verdicts(probes)); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	wantCounts := Counts{
		Sent: 15, OnTime: 9, Reordered: 1, Late: 1, Lost: 2, Corrupt: 1, Truncated: 1,
		Duplicates: 1, LostUnknown: 2,
	}
	if socketSeesStrangers {
		wantCounts.Strays = 1
	}
	if diff := cmp.Diff(wantCounts, counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

// The trap of the lab: the server stalls once for longer than the timeout. Every
// reply still belongs to its own probe.
func TestStalledServer(t *testing.T) {
	t.Parallel()
	const timeout, stall = 3 * time.Second, 3500 * time.Millisecond
	p := newPeer(t, func(p *peer, n int, request []byte, from netip.AddrPort) {
		if n == 2 {
			time.Sleep(stall) // the fault under test: a server that does nothing
		}
		p.send(capitals(request), from)
	})
	_, probes := play(t, p.addr, Schedule{Count: 6, Timeout: timeout})
	want := []string{"on time", "late", "on time", "on time", "on time", "on time"}
	if diff := cmp.Diff(want, verdicts(probes)); diff != "" {
		t.Fatalf("verdicts (-want +got):\n%s", diff)
	}
	if rtt := probes[1].RTT; rtt < stall {
		t.Errorf("the stalled probe has an RTT of %v, want %v or more", rtt, stall)
	}
	// Probe 3 was sent at its predecessor's timeout and waited for the rest
	// of the stall only.
	if rtt := probes[2].RTT; rtt > 2500*time.Millisecond {
		t.Errorf("the probe after it has an RTT of %v, want about 500 ms", rtt)
	}
	for _, probe := range probes[3:] {
		if probe.RTT > 2500*time.Millisecond {
			t.Errorf("probe %d has an RTT of %v", probe.Seq, probe.RTT)
		}
	}
}

func TestClosedPortIsRefusedAndNotTimedOut(t *testing.T) {
	t.Parallel()
	gone := newPeer(t, func(*peer, int, []byte, netip.AddrPort) {})
	gone.conn.Close()
	start := time.Now()
	counts, probes := play(t, gone.addr, Schedule{Count: 3, Timeout: 20 * time.Second})
	if diff := cmp.Diff(Counts{Sent: 3, Refused: 3}, counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	for _, p := range probes {
		if p.Reason == nil {
			t.Errorf("probe %d does not say why", p.Seq)
		}
	}
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("took %v: the refusals were waited out", took)
	}
}

// A server that closes in the middle: what it answered stays answered, and the
// refusals belong to the probes after it.
func TestServerThatGoesAway(t *testing.T) {
	t.Parallel()
	p := newPeer(t, func(p *peer, n int, request []byte, from netip.AddrPort) {
		p.send(capitals(request), from)
		if n == 3 {
			p.conn.Close()
		}
	})
	_, probes := play(t, p.addr, Schedule{Count: 6, Timeout: 10 * time.Second, Interval: 100 * time.Millisecond})
	want := []string{"on time", "on time", "on time", "refused", "refused", "refused"}
	if diff := cmp.Diff(want, verdicts(probes)); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
}

func TestScheduleDoesNotWaitForReplies(t *testing.T) {
	t.Parallel()
	p := newPeer(t, func(*peer, int, []byte, netip.AddrPort) {}) // silent
	start := time.Now()
	_, probes := play(t, p.addr, Schedule{Count: 20, Timeout: time.Second / 2, Interval: 10 * time.Millisecond})
	if len(probes) != 20 {
		t.Fatalf("%d probes", len(probes))
	}
	for i, probe := range probes {
		if want := time.Duration(i) * 10 * time.Millisecond; probe.Due != want || probe.Begun < want {
			t.Errorf("probe %d was due at %v and sent at %v, want %v", probe.Seq, probe.Due, probe.Begun, want)
		}
	}
	if took := time.Since(start); took > 5*time.Second { // waiting for each takes 10 s
		t.Errorf("took %v: it waited for replies", took)
	}
}

func TestInterruptEndsTheRun(t *testing.T) {
	t.Parallel()
	p := newPeer(t, func(p *peer, _ int, request []byte, from netip.AddrPort) { p.send(capitals(request), from) })
	conn, err := socket.Dial(p.addr, socket.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(t.Context())
	pinger := Pinger{Conn: conn, Target: p.addr, Schedule: Schedule{Timeout: time.Second, Interval: time.Millisecond}, Emit: func(e Event) {
		if e.Counts.OnTime == 5 {
			cancel()
		}
	}}
	if err := pinger.Run(ctx, time.Now()); err != nil {
		t.Fatal(err)
	}
	if c := pinger.Counts(); c.OnTime < 5 || c.Sent != c.OnTime+c.Lost {
		t.Errorf("counts %+v", c)
	}
}

func TestFloodFollowsReplies(t *testing.T) {
	t.Parallel()
	p := newPeer(t, func(p *peer, n int, request []byte, from netip.AddrPort) {
		if n%50 != 0 {
			p.send(capitals(request), from)
		}
	})
	counts, _ := play(t, p.addr, Schedule{Count: 500, Timeout: time.Second, Flood: true})
	if counts.Sent != 500 || counts.OnTime+counts.Late+counts.Lost != 500 || counts.Lost < 10 {
		t.Errorf("counts %+v, want 500 sent and 10 lost", counts)
	}
}

func TestOverTCP(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		buffer := make([]byte, 4096)
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			_, _ = conn.Write(capitals(buffer[:n]))
		}
	}()
	target := ln.Addr().(*net.TCPAddr).AddrPort()
	conn, err := socket.DialTCP(t.Context(), target, netip.AddrPort{}, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if conn.Connect <= 0 {
		t.Error("connecting took no time")
	}
	p := Pinger{Conn: conn, Target: target, Schedule: Schedule{Count: 20, Timeout: 10 * time.Second}}
	if err := p.Run(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Counts{Sent: 20, OnTime: 20}, p.Counts()); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

func TestHeartbeatSendsTheLabsMessage(t *testing.T) {
	t.Parallel()
	got := make(chan string, 10)
	p := newPeer(t, func(_ *peer, _ int, request []byte, _ netip.AddrPort) { got <- string(request) })
	conn, err := socket.Dial(p.addr, socket.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sent := 0
	Heartbeat(t.Context(), conn, 5*time.Millisecond, 3, func(_ uint64, err error) {
		if err == nil {
			sent++
		}
	}, func(err error) { t.Error(err) })
	if sent != 3 {
		t.Errorf("%d heartbeats sent, want 3", sent)
	}
	for _, want := range []string{"Heartbeat 1 ", "Heartbeat 2 ", "Heartbeat 3 "} {
		if message := <-got; message[:len(want)] != want {
			t.Errorf("heartbeat %q, want it to begin with %q", message, want)
		}
	}
}

// stoppable is a connection that is stopped for an hour at the second message, and
// has nothing to tell.
type stoppable struct {
	sent []time.Time
	end  chan struct{}
}

func (c *stoppable) Send(tag uint64, _ []byte) error {
	c.sent = append(c.sent, time.Now())
	if tag == 2 {
		time.Sleep(time.Hour)
	}
	return nil
}

func (c *stoppable) Receive(until time.Time) (socket.Notice, error) {
	select {
	case <-c.end:
		return socket.Notice{}, net.ErrClosed
	case <-time.After(time.Until(until)):
		return socket.Notice{}, os.ErrDeadlineExceeded
	}
}

func (c *stoppable) Drops() uint64 { return 0 }
func (c *stoppable) Interrupt()    { close(c.end) }

// Stopped for an hour (Ctrl-Z), the pinger does not send an hour's pings at once.
func TestAfterAStopTheScheduleBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &stoppable{end: make(chan struct{})}
		p := Pinger{Conn: conn, Format: wire.Format{}, Schedule: Schedule{Count: 10, Interval: 100 * time.Millisecond, Timeout: time.Second}}
		if err := p.Run(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		for i := 1; i < len(conn.sent); i++ {
			if gap := conn.sent[i].Sub(conn.sent[i-1]); gap < 99*time.Millisecond {
				t.Errorf("pings %d and %d are %v apart", i, i+1, gap)
			}
		}
		if len(conn.sent) != 10 {
			t.Errorf("%d pings", len(conn.sent))
		}
	})
}
