package ping

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"topdown/udppinger/internal/capturetest"
	"topdown/udppinger/internal/socket"
	"topdown/udppinger/internal/wire"
)

// stampLog is a Conn that remembers the kernel's stamps as they come, before the
// pinger makes anything of them.
type stampLog struct {
	Conn
	mu         sync.Mutex
	left, came map[uint64]int64
}

func (l *stampLog) Receive(until time.Time) (socket.Notice, error) {
	n, err := l.Conn.Receive(until)
	if err != nil || n.Stamp.IsZero() {
		return n, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch n.Kind {
	case socket.Sent:
		l.left[n.Tag] = n.Stamp.UnixNano()
	case socket.Message:
		if packet, ok := capturetest.Parse(n.Data); ok {
			l.came[packet.Seq] = n.Stamp.UnixNano()
		}
	case socket.Refusal:
	}
	return n, nil
}

// The RTTs of a busy machine are those of a capture of the same packets. There may
// be two differences. One is the program's: what it makes of the stamps, and
// whether it has to do with its own clock, in which its wake-up is. It must be
// under 20 µs for each and every ping. The other is the kernel's: it stamps a
// packet that leaves in one place for the sender and in another for the capture,
// and is interrupted in between now and then. That is shown to lie there by the
// order of things: the program asked, the packet left, the capture saw it.
func TestRTTsUnderLoadAreThoseOfACapture(t *testing.T) {
	count, missing := uint64(2_000), t.Skipf
	if os.Getenv("TOPDOWN_REQUIRE_REAL") == "1" {
		count, missing = 50_000, t.Fatalf
	}
	const limit, clocks = 20 * time.Microsecond, int64(2 * time.Microsecond)
	p := newPeer(t, func(p *peer, _ int, request []byte, from netip.AddrPort) { p.send(capitals(request), from) })
	capture := capturetest.Start(t, missing, nil, "lo", int(p.addr.Port()))
	conn, err := socket.Dial(p.addr, socket.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	log := &stampLog{Conn: conn, left: make(map[uint64]int64), came: make(map[uint64]int64)}
	probes := make([]Probe, 0, count)
	// So busy a machine may lose many in the test's own server: the pinger goes on
	// until all have their verdicts and half of them have been replied to.
	ctx, enough := context.WithCancel(t.Context())
	defer enough()
	pinger := Pinger{
		Conn: log, Target: p.addr, Format: wire.Format{Nonce: 0xABCDEF},
		Schedule: Schedule{Interval: 100 * time.Microsecond, Timeout: 2 * time.Second},
		Emit: func(e Event) {
			if c := &e.Counts; c.Received()+c.Unanswered() >= count && c.Received() >= count/2 {
				enough()
			}
			if e.Kind == Final && e.Probe.Verdict.Received() {
				probes = append(probes, e.Probe)
			}
		},
	}
	busy(t)
	if err := pinger.Run(ctx, time.Now()); err != nil {
		t.Fatal(err)
	}
	last := probes[len(probes)-1].Seq
	requests, replies := make(map[uint64]int64), make(map[uint64]int64)
	for _, packet := range capture.Until(t, func(p capturetest.Packet) bool { return p.Reply && p.Seq == last }) {
		if packet.Reply {
			replies[packet.Seq] = packet.At
		} else {
			requests[packet.Seq] = packet.At
		}
	}

	compared, kernels := 0, 0
	var worst time.Duration
	for _, probe := range probes {
		if probe.RTT <= 0 {
			t.Errorf("probe %d: RTT %v", probe.Seq, probe.RTT)
		}
		request, reply := requests[probe.Seq], replies[probe.Seq]
		left, came := log.left[probe.Seq], log.came[probe.Seq]
		if request == 0 || reply == 0 || left == 0 || came == 0 {
			continue
		}
		compared++
		if probe.wall-clocks > left || left > request+clocks || came != reply {
			t.Errorf("probe %d: begun %d, left %d, in the capture %d; came %d, in the capture %d", probe.Seq, probe.wall, left, request, came, reply)
		}
		kernel := time.Duration(request - left)
		ours := (probe.RTT - time.Duration(reply-request) - kernel).Abs()
		if ours >= limit {
			t.Errorf("probe %d: RTT %v, in the capture %v, of which the kernel makes %v", probe.Seq, probe.RTT, time.Duration(reply-request), kernel)
		}
		worst = max(worst, ours)
		if kernel >= limit {
			kernels++
		}
	}
	t.Logf("of %d pings %d replied to and %d compared: RTTs differ by %v at most; the kernel's two stamps %d times by %v or more",
		pinger.Counts().Sent, len(probes), compared, worst, kernels, limit)
	if compared < len(probes)*9/10 || kernels > compared/20 {
		t.Error("that is too few compared, or too many with different stamps")
	}
}

// busy keeps all processors busy until the test ends.
func busy(t *testing.T) {
	t.Helper()
	for range 2 * runtime.NumCPU() {
		cmd := exec.Command("sh", "-c", "while :; do :; done")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
	}
}
