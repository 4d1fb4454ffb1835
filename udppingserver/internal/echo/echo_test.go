package echo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"topdown/udppingserver/internal/impair"
	"topdown/udppingserver/internal/wire"

	"github.com/google/go-cmp/cmp"
)

// start runs a server on a free port of loopback until the test is over.
func start(t *testing.T, s *Server) netip.AddrPort {
	t.Helper()
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the server does not stop")
		}
	})
	return s.Addr()
}

// dial returns a UDP socket connected to addr.
func dial(t *testing.T, addr netip.AddrPort) *net.UDPConn {
	t.Helper()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func send(t *testing.T, conn *net.UDPConn, message string) {
	t.Helper()
	if _, err := conn.Write([]byte(message)); err != nil {
		t.Fatal(err)
	}
}

// receive returns the next message, and false if none comes within d.
func receive(t *testing.T, conn *net.UDPConn, d time.Duration) (string, bool) {
	t.Helper()
	buffer := make([]byte, 65536)
	_ = conn.SetReadDeadline(time.Now().Add(d))
	n, err := conn.Read(buffer)
	return string(buffer[:n]), err == nil
}

// await waits until ok, or fails the test.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

const slot = "................................................................................"

func ext(verb string, seq int, nonce uint64) string {
	return fmt.Sprintf("%s %d 1763679000.000000 TD1 %016X %s", verb, seq, nonce, slot)
}

func TestUpperCasesAndRepliesToTheSender(t *testing.T) {
	addr := start(t, &Server{})
	for _, message := range []string{
		"Ping 1 1763679000.5", "how do you do", "HELLO", "\x00\xff{}äé", "", strings.Repeat("long ", 3000),
	} {
		conn := dial(t, addr)
		send(t, conn, message)
		got, ok := receive(t, conn, 10*time.Second)
		want := []byte(message)
		wire.Upper(want)
		if !ok || got != string(want) {
			t.Errorf("%.30q: reply %.30q, %v", message, got, ok)
		}
	}
}

func TestEverySocketAnswers(t *testing.T) {
	s := &Server{Sockets: 4}
	addr := start(t, s)
	for i := range 64 {
		conn := dial(t, addr)
		send(t, conn, fmt.Sprint("ping ", i))
		if got, ok := receive(t, conn, 10*time.Second); !ok || got != fmt.Sprint("PING ", i) {
			t.Fatalf("client %d: %q, %v", i, got, ok)
		}
	}
	if c := s.Counters(); c.Received != 64 || c.Answered != 64 {
		t.Errorf("counters %+v", c)
	}
	if all := s.Clients(); len(all) != 64 {
		t.Errorf("%d clients", len(all))
	}
}

func TestPortInUseIsNoticed(t *testing.T) {
	s := &Server{Sockets: 2}
	addr := start(t, s)
	other := &Server{Sockets: 2}
	if err := other.Listen(addr.String()); err == nil {
		other.Close()
		t.Fatal("a second server shares the port of the first")
	}
}

func TestLossIsTheSameForTheSameSeed(t *testing.T) {
	const want = "x.x.x....x..xx..x.x.xxx...x...x..x..xx.." // as in package impair
	play := func() (fates string) {
		s := &Server{Impair: impair.Config{Seed: 1, Loss: impair.LabLoss}}
		conn := dial(t, start(t, s))
		for range 2 { // a server that others use meanwhile
			other := dial(t, s.Addr())
			send(t, other, "ping")
		}
		for i := range 40 {
			send(t, conn, fmt.Sprintf("Ping %d 1763679000.0", i+1))
		}
		await(t, "42 packets", func() bool { return s.Counters().Received == 42 })
		got := map[string]bool{}
		for patience := 10 * time.Second; ; {
			message, ok := receive(t, conn, patience)
			if !ok {
				break
			}
			got[strings.Fields(message)[1]] = true
			if len(got) == strings.Count(want, ".") {
				patience = 50 * time.Millisecond // for one too many
			}
		}
		for i := range 40 {
			if got[fmt.Sprint(i+1)] {
				fates += "."
			} else {
				fates += "x"
			}
		}
		return fates
	}
	for range 2 {
		if got := play(); got != want {
			t.Errorf("fates %s, want %s", got, want)
		}
	}
}

func TestANewRunBeginsAnew(t *testing.T) {
	s := &Server{Impair: impair.Config{Seed: 1, Loss: 0.5}}
	addr := start(t, s)
	conn := dial(t, addr)
	var fates [2]string
	for run := range fates {
		for i := range 20 {
			send(t, conn, ext("Ping", i+1, uint64(run+1)))
			await(t, "receipt", func() bool { return s.Counters().Received == uint64(20*run+i+1) })
			c := s.Counters()
			fates[run] += fmt.Sprint(c.Answered > uint64(strings.Count(fates[0]+fates[1], "true")), " ")
		}
	}
	if fates[0] != fates[1] {
		t.Errorf("two runs from one port meet different networks:\n%s\n%s", fates[0], fates[1])
	}
}

func TestExtensionTellsWhatTheServerSaw(t *testing.T) {
	s := &Server{}
	conn := dial(t, start(t, s))
	const nonce = 0x1122334455667788
	for _, seq := range []int{1, 2, 4, 4, 3, 6} { // 5 is lost, 4 comes twice, 3 late
		send(t, conn, ext("Ping", seq, nonce))
	}
	var last string
	for range 6 {
		got, ok := receive(t, conn, 10*time.Second)
		if !ok {
			t.Fatal("a reply is missing")
		}
		last = got
	}
	// Count 5, answered 5, top 6; of 5, 4, 3, 2, 1 all but 5 seen and answered.
	if want := "00000005" + "00000005" + "00000006" + "00000000001E" + "00000000001E"; last[len(last)-80+24:len(last)-8] != want {
		t.Errorf("report %s, want %s", last[len(last)-80+24:len(last)-8], want)
	}
}

func TestReportsOfDroppedRequests(t *testing.T) {
	var c client
	answered := []bool{true, false, true, true, false}
	for i, yes := range answered {
		req := wire.Request{Verb: wire.Ping, Seq: uint64(i + 1), Nonce: 5, Extended: true}
		c.receive(req)
		if yes {
			c.run.answer(req)
		}
	}
	got := c.run.report(time.Unix(1, 0), 0)
	want := wire.Report{Received: time.Unix(1, 0), Count: 5, Answered: 3, Top: 5, SeenMask: 0b1111, AnsMask: 0b1011}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	c.run.takeBack(wire.Request{Verb: wire.Ping, Seq: 4, Extended: true})
	if got := c.run.report(time.Unix(1, 0), 0); got.Answered != 2 || got.AnsMask != 0b1010 {
		t.Errorf("after taking an answer back: %+v", got)
	}
}

// Requests that were damaged on the way: the server must neither forget the run
// nor say that it never received them.
func TestDamagedRequests(t *testing.T) {
	damage := func(from, to string) func(string) string {
		return func(message string) string { return strings.Replace(message, from, to, 1) }
	}
	for _, tt := range []struct {
		name   string
		change func(string) string
		want   wire.Report // without times
	}{
		{"a dot of the slot", damage("..", ".n"), wire.Report{Count: 5, Answered: 5, Top: 5, SeenMask: 0b1111, AnsMask: 0b1111}},
		{"the nonce", damage("7788", "7789"), wire.Report{Count: 4, Answered: 4, Top: 5, SeenMask: 0b1101, AnsMask: 0b1111}},
		{"the marker", damage("TD1", "TD0"), wire.Report{Count: 4, Answered: 4, Top: 5, SeenMask: 0b1101, AnsMask: 0b1111}},
		{"the time", damage("1763679000.", "17636x9000."), wire.Report{Count: 4, Answered: 4, Top: 5, SeenMask: 0b1101, AnsMask: 0b1111}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sh := (&Server{Sockets: 1, limit: newLimiter(-1)}).newShard(&socket{})
			var numbers []uint64
			for seq := 1; seq <= 5; seq++ {
				message := ext("Ping", seq, 0x1122334455667788)
				if seq == 3 {
					message = tt.change(message)
				}
				p := packet{from: netip.MustParseAddrPort("192.0.2.1:5555"), data: []byte(message), unicast: true}
				sh.answer(&p, time.Unix(1, 0))
				if p.copies != 1 {
					t.Errorf("%d is not answered", seq)
				}
				c := sh.clients.get(p.from, time.Unix(1, 0))
				numbers = append(numbers, c.packets)
			}
			c := sh.clients.get(netip.MustParseAddrPort("192.0.2.1:5555"), time.Unix(1, 0))
			got := c.run.report(time.Time{}, 0)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
			if numbers[4] != 5 {
				t.Errorf("packet numbers %v: the fates of the run have moved", numbers)
			}
		})
	}
}

// A message that begins like a heartbeat and is none is answered like any other.
func TestWhatIsNoHeartbeatIsNotCounted(t *testing.T) {
	var out lockedBuffer
	s := &Server{Out: &out}
	conn := dial(t, start(t, s))
	for _, message := range []string{
		"Heartbeat", "Heartbeat of the city", "Heartbeat -1 1763679000.5",
		"Heartbeat 99999999999999999999 1763679000.5", "Heartbeat 1 99999999999.5", "Heartbeat 1",
	} {
		send(t, conn, message)
		if got, ok := receive(t, conn, 10*time.Second); !ok || got != strings.ToUpper(message) {
			t.Errorf("%q: reply %q, %v", message, got, ok)
		}
	}
	if c := s.Counters(); c.Heartbeats != 0 || out.String() != "" {
		t.Errorf("%d heartbeats counted\n%s", c.Heartbeats, out.String())
	}
}

func TestRunsAreFoundByTheirNonce(t *testing.T) {
	s := &Server{Sockets: 1, limit: newLimiter(-1)}
	sh := s.newShard(&socket{})
	s.shards = []*shard{sh}
	now := time.Unix(1, 0)
	ask := func(i int) packet {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 5555)
		return packet{from: from, data: []byte(ext("Ping", 1, uint64(i))), unicast: true}
	}
	for i := range 3 * maxClients {
		p := ask(i)
		sh.answer(&p, now.Add(time.Duration(i)))
	}
	if n := len(sh.clients.runs); n > maxClients || n < maxClients/2 {
		t.Errorf("%d runs in the index of %d clients", n, maxClients)
	}
	if r := s.run(3*maxClients - 1); r.count != 1 {
		t.Errorf("the latest run is not found: %+v", r)
	}
	for nonce, c := range sh.clients.runs {
		if c.run.nonce != nonce {
			t.Fatalf("the index leads from %d to %d", nonce, c.run.nonce)
		}
	}
	if n := testing.AllocsPerRun(100, func() { s.run(5) }); n != 0 {
		t.Errorf("%v allocations a question", n)
	}
}

func TestQuestionsArePaced(t *testing.T) {
	var p pace
	now := time.Unix(1000, 0)
	host, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i := range seenBurst {
		if wait := p.take(host, now); wait != 0 {
			t.Fatalf("question %d waits %v", i+1, wait)
		}
	}
	if wait := p.take(host, now); wait != time.Second/seenRate {
		t.Errorf("one more waits %v", wait)
	}
	if wait := p.take(other, now); wait != 0 {
		t.Errorf("another host waits %v", wait)
	}
	if wait := p.take(host, now.Add(time.Minute)); wait != 0 {
		t.Errorf("a minute later it waits %v", wait)
	}
	for i := range 3 * seenHosts {
		p.take(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), now.Add(time.Hour+time.Duration(i)*time.Millisecond))
	}
	if len(p.hosts) > seenHosts {
		t.Errorf("%d hosts remembered", len(p.hosts))
	}
}

func TestLoad(t *testing.T) {
	ask := func(t *testing.T, addr netip.AddrPort, line string) (net.Conn, *bufio.Reader, string) {
		t.Helper()
		conn, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprintf(conn, "%s\n", line)
		in := bufio.NewReader(conn)
		answer, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return conn, in, answer
	}
	addr := start(t, &Server{TCP: true})
	if _, _, answer := ask(t, addr, "Load down"); answer != "LOAD DOWN\n" {
		t.Errorf("without --load: %q", answer)
	}
	s := &Server{TCP: true, Load: true}
	addr = start(t, s)
	conn, in, answer := ask(t, addr, "Load down")
	if answer != loadReady {
		t.Fatalf("answer %q", answer)
	}
	begin := time.Now()
	const size = 64 << 20
	if n, err := io.CopyN(io.Discard, in, size); err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if least := size * time.Second / maxLoadRate / 2; time.Since(begin) < least {
		t.Errorf("%d bytes in %v: the rate has no limit", size, time.Since(begin))
	}
	if _, _, second := ask(t, addr, "Load up"); second != "LOAD BUSY\n" {
		t.Errorf("a second load of the same host: %q", second)
	}
	conn.Close()
	await(t, "the end of the first load", func() bool {
		s.loads.mu.Lock()
		defer s.loads.mu.Unlock()
		return len(s.loads.hosts) == 0
	})
	conn, _, answer = ask(t, addr, "Load up")
	if answer != loadReady {
		t.Fatalf("answer %q", answer)
	}
	if _, err := conn.Write(make([]byte, 8<<20)); err != nil {
		t.Error(err)
	}
	var l loads
	for i := range 10 {
		if got := l.enter(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})); got != (i < maxLoads) {
			t.Errorf("client %d is let in: %v", i+1, got)
		}
	}
}

func TestImpairments(t *testing.T) {
	t.Run("duplicate", func(t *testing.T) {
		conn := dial(t, start(t, &Server{Impair: impair.Config{Duplicate: 1}}))
		send(t, conn, "ping")
		for range 2 {
			if got, ok := receive(t, conn, 10*time.Second); !ok || got != "PING" {
				t.Fatalf("%q, %v", got, ok)
			}
		}
		if _, ok := receive(t, conn, 50*time.Millisecond); ok {
			t.Error("a third reply")
		}
	})
	t.Run("corrupt", func(t *testing.T) {
		conn := dial(t, start(t, &Server{Impair: impair.Config{Corrupt: 1}}))
		send(t, conn, "ping")
		got, _ := receive(t, conn, 10*time.Second)
		bits := 0
		for i := range "PING" {
			for x := got[i] ^ "PING"[i]; x != 0; x &= x - 1 {
				bits++
			}
		}
		if bits != 1 {
			t.Errorf("reply %q differs in %d bits", got, bits)
		}
	})
	t.Run("delay", func(t *testing.T) {
		conn := dial(t, start(t, &Server{Impair: impair.Config{Delay: 80 * time.Millisecond, Duplicate: 1}}))
		begin := time.Now()
		send(t, conn, "ping")
		got, ok := receive(t, conn, 10*time.Second)
		if took := time.Since(begin); !ok || got != "PING" || took < 80*time.Millisecond {
			t.Errorf("%q after %v", got, took)
		}
		if _, ok := receive(t, conn, 10*time.Second); !ok {
			t.Error("the duplicate is missing")
		}
	})
	t.Run("reorder", func(t *testing.T) {
		// Seed and share are such that the first is held, and the second not.
		c := impair.Config{Reorder: 0.5}
		for c.Fate(0, 0).Reorder == false || c.Fate(0, 1).Reorder {
			c.Seed++
		}
		addr := start(t, &Server{Impair: c})
		// A machine that stalls for longer than a reply is held keeps the
		// second from overtaking: such a try says nothing, and is repeated.
		for try := 1; ; try++ {
			conn := dial(t, addr)
			send(t, conn, "first")
			send(t, conn, "second")
			one, _ := receive(t, conn, 10*time.Second)
			two, _ := receive(t, conn, 10*time.Second)
			if one == "SECOND" && two == "FIRST" {
				break
			}
			if one != "FIRST" || two != "SECOND" || try == 10 {
				t.Fatalf("replies %q, %q at try %d", one, two, try)
			}
		}
	})
}

func TestDelayedRepliesAreBounded(t *testing.T) {
	s := &Server{Sockets: 1, Impair: impair.Config{Delay: 30 * time.Second}}
	conn := dial(t, start(t, s))
	late := s.shards[0].late
	late.mu.Lock()
	late.line.Limit = 3
	late.mu.Unlock()
	for range 5 {
		send(t, conn, "ping")
	}
	await(t, "5 packets", func() bool { return s.Counters().Received == 5 })
	if c := s.Counters(); c.Answered != 3 || c.Overflow != 2 {
		t.Errorf("counters %+v", c)
	}
	const sockets = 16 // share what all may hold
	if held := newLate(nil, sockets, nil); held.room*sockets > maxLateBytes || held.line.Limit*sockets > maxLate {
		t.Errorf("a socket holds up to %d replies, %d bytes", held.line.Limit, held.room)
	}
}

func TestNeverAnswers(t *testing.T) {
	own := uint16(8080)
	for _, tt := range []struct {
		from string
		may  bool
	}{
		{"192.0.2.1:40000", true},
		{"[2001:db8::1]:40000", true},
		{"192.0.2.1:7", false},
		{"192.0.2.1:13", false},
		{"192.0.2.1:17", false},
		{"192.0.2.1:19", false},
		{"192.0.2.1:53", false},
		{"192.0.2.1:123", false},
		{"192.0.2.1:8080", false},
		{"192.0.2.1:0", false},
		{"255.255.255.255:40000", false},
		{"224.0.0.1:40000", false},
		{"[ff02::1]:40000", false},
		{"0.0.0.0:40000", false},
	} {
		if got := mayAnswer(netip.MustParseAddrPort(tt.from), own); got != tt.may {
			t.Errorf("mayAnswer(%s) = %v", tt.from, got)
		}
	}
}

func TestRepliesAreNotAnswered(t *testing.T) {
	s := &Server{}
	conn := dial(t, start(t, s))
	send(t, conn, ext("Ping", 1, 7))
	reply, ok := receive(t, conn, 10*time.Second)
	if !ok {
		t.Fatal("no reply")
	}
	send(t, conn, reply)
	await(t, "the reply", func() bool { return s.Counters().Reflected == 1 })
	if _, ok := receive(t, conn, 50*time.Millisecond); ok {
		t.Error("a reply is answered")
	}
}

// Two servers, each the other's client: what one forged packet starts must end.
func TestTwoServersDoNotLoop(t *testing.T) {
	for _, message := range []string{"Ping 1 1763679000.5", "HELLO", ext("Ping", 1, 9), "", "12345"} {
		a, b := &Server{Sockets: 1}, &Server{Sockets: 1}
		start(t, a)
		start(t, b)
		// As if a packet came to a that b's address is forged on: a answers
		// b, b answers a, and so on.
		for i := range 20 {
			forged := fmt.Sprint(message)
			if message == "12345" {
				forged = fmt.Sprint(i) // packets that differ must not help
			}
			if err := b.shards[0].socket.send(&packet{data: []byte(forged), from: a.Addr()}); err != nil {
				t.Fatal(err)
			}
		}
		total := func() uint64 { return a.Counters().Received + b.Counters().Received }
		await(t, "the forged packets", func() bool { return a.Counters().Received >= 20 })
		var before uint64
		await(t, "the end of the loop", func() bool {
			before = total()
			time.Sleep(100 * time.Millisecond) // silence is what is awaited
			return total() == before
		})
		if before > 20+2*(20+2*echoBurst+20) {
			t.Errorf("%.20q: %d packets from 20", message, before)
		}
	}
}

func TestCapitalsAreLimitedAndForgiven(t *testing.T) {
	var e echoes
	now := time.Unix(1000, 0)
	count := func() (n int) {
		for e.allow(now) {
			n++
		}
		return n
	}
	if n := count(); n != echoBurst {
		t.Errorf("%d answers at once, want %d", n, echoBurst)
	}
	now = now.Add(2 * time.Second)
	if n := count(); n != 2 {
		t.Errorf("%d answers after two seconds, want 2", n)
	}
	now = now.Add(time.Hour)
	if n := count(); n != echoBurst {
		t.Errorf("%d answers after an hour, want %d", n, echoBurst)
	}
}

func TestLimiter(t *testing.T) {
	l := newLimiter(100)
	now := time.Now()
	addr := netip.MustParseAddr("192.0.2.1")
	count := func(a netip.Addr) (n int) {
		for n < 1000 && l.allow(a, now) {
			n++
		}
		return n
	}
	if n := count(addr); n != 100 {
		t.Errorf("%d at once, want 100", n)
	}
	if n := count(netip.MustParseAddr("192.0.2.200")); n != 0 {
		t.Errorf("a neighbour in the same /24 gets %d more", n)
	}
	if n := count(netip.MustParseAddr("198.51.100.1")); n != 100 {
		t.Errorf("another network gets %d", n)
	}
	if n := count(netip.MustParseAddr("2001:db8::1")) + count(netip.MustParseAddr("2001:db8:0:ff::1")); n != 100 {
		t.Errorf("one IPv6 /56 gets %d", n)
	}
	if n := count(netip.MustParseAddr("127.0.0.1")); n != 1000 {
		t.Errorf("loopback is limited to %d", n)
	}
	now = now.Add(100 * time.Millisecond)
	if n := count(addr); n != 10 {
		t.Errorf("%d after 100 ms, want 10", n)
	}
	if off := newLimiter(-1); !off.allow(addr, now) {
		t.Error("no limit, yet limited")
	}
}

func TestLimitedPacketsAreSeenButNotAnswered(t *testing.T) {
	sh := (&Server{Sockets: 1, limit: newLimiter(1)}).newShard(&socket{})
	from := netip.MustParseAddrPort("192.0.2.1:5555")
	now := time.Now()
	for range 3 {
		sh.answer(&packet{from: from, data: []byte("ping"), unicast: true}, now)
	}
	sh.answer(&packet{from: from, data: []byte("ping"), unicast: false}, now)
	want := Counters{Received: 4, Answered: 1, Limited: 2, Refused: 1}
	if diff := cmp.Diff(want, sh.count); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}
}

// A million packets from as many addresses and ports: memory stays as it is.
func TestFloodFromManyPortsKeepsMemoryFlat(t *testing.T) {
	s := &Server{Sockets: 1, limit: newLimiter(DefaultRate)}
	sh := s.newShard(&socket{})
	s.beats = newHeartbeats(io.Discard, time.Second)
	now := time.Now()
	flood := func(n int) {
		message := []byte("Heartbeat 1 1763679000.0")
		for i := range n {
			addr := netip.AddrFrom4([4]byte{byte(1 + i>>22), byte(i >> 14), byte(i >> 6), 9})
			sh.answer(&packet{from: netip.AddrPortFrom(addr, uint16(1024+i%60000)), data: message[:4+i%20], unicast: true}, now)
		}
	}
	var before, after runtime.MemStats
	flood(100_000)
	runtime.GC()
	runtime.ReadMemStats(&before)
	flood(1_000_000)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("memory grew by %d bytes", grown)
	}
	if sh.count.Answered == 0 {
		t.Error("nobody was answered")
	}
	runtime.KeepAlive(s)
}

func TestNoAllocationOnThePlainPath(t *testing.T) {
	s := &Server{Sockets: 1, limit: newLimiter(DefaultRate), Impair: impair.Config{Loss: 0.1, Burst: 5}}
	sh := s.newShard(&socket{})
	request := []byte(ext("Ping", 1, 3))
	p := packet{from: netip.MustParseAddrPort("127.0.0.1:5555"), data: make([]byte, len(request)), unicast: true}
	now := time.Now()
	if n := testing.AllocsPerRun(10_000, func() {
		copy(p.data, request)
		sh.answer(&p, now)
	}); n != 0 {
		t.Errorf("%v allocations a packet, want 0", n)
	}
}

func TestTruthTellsOfEveryPacket(t *testing.T) {
	var file bytes.Buffer
	s := &Server{Impair: impair.Config{Seed: 1, Loss: impair.LabLoss, Duplicate: 0.2}, Truth: NewTruth(&file)}
	conn := dial(t, start(t, s))
	for i := range 40 {
		send(t, conn, ext("Ping", i+1, 0xAB))
	}
	send(t, conn, "how do you do")
	await(t, "41 packets", func() bool { return s.Counters().Received == 41 })
	if err := s.Truth.Flush(); err != nil {
		t.Fatal(err)
	}
	fates := ""
	for line := range strings.Lines(file.String()) {
		var row struct {
			Client, Run, Verdict string
			Number, Seq          int
			Duplicate            bool
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if row.Client != conn.LocalAddr().String() {
			t.Errorf("client %q", row.Client)
		}
		if row.Seq > 0 && (row.Number != row.Seq-1 || row.Run != "00000000000000AB") {
			t.Errorf("row %s", line)
		}
		fate := s.Impair.Fate(0, uint64(row.Number))
		if (row.Verdict == "dropped") != fate.Drop || row.Duplicate != fate.Duplicate {
			t.Errorf("row %s, but its fate is %+v", line, fate)
		}
		fates += row.Verdict[:1]
	}
	if len(fates) != 41 || strings.Count(fates, "d") < 10 {
		t.Errorf("verdicts %s", fates)
	}
}

func TestTCPEchoesLines(t *testing.T) {
	s := &Server{TCP: true}
	addr := start(t, s)
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for _, tt := range []struct{ say, want string }{
		{"hello\n", "HELLO\n"},
		{"Ping 1 5.5\r\n", "PING 1 5.5\r\n"},
		{"\n", "\n"},
		{"a\nb\n", "A\nB\n"},
		{strings.Repeat("x", 60000) + "\n", strings.Repeat("X", 60000) + "\n"},
	} {
		if _, err := io.WriteString(conn, tt.say); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(tt.want))
		if _, err := io.ReadFull(in, got); err != nil || string(got) != tt.want {
			t.Errorf("%.20q: %.20q, %v", tt.say, got, err)
		}
	}
	// A last line without its end is echoed too.
	_, _ = io.WriteString(conn, "end")
	_ = conn.(*net.TCPConn).CloseWrite()
	if rest, err := io.ReadAll(in); err != nil || string(rest) != "END" {
		t.Errorf("rest %q, %v", rest, err)
	}
}

func TestTCPTellsWhatUDPReceived(t *testing.T) {
	s := &Server{TCP: true, Sockets: 2, Impair: impair.Config{Loss: 1}}
	addr := start(t, s)
	udp := dial(t, addr)
	for i := range 3 {
		send(t, udp, ext("Ping", i+1, 0xFEED))
	}
	await(t, "3 packets", func() bool { return s.Counters().Received == 3 })
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, tt := range []struct {
		nonce uint64
		want  string
	}{{0xFEED, "00000003" + "00000000" + "00000003"}, {0xBEEF, "00000000" + "00000000" + "00000000"}} {
		fmt.Fprintf(conn, "%s\n", ext("Seen", 1, tt.nonce))
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || line[len(line)-1-80+24:len(line)-1-80+48] != tt.want {
			t.Errorf("run %X: %q, %v", tt.nonce, line, err)
		}
		body := strings.TrimSuffix(line, "\n") // the checksum is the message's, not the line's
		if want := fmt.Sprintf("%08X", crc32.ChecksumIEEE([]byte(body[:len(body)-8]))); !strings.HasSuffix(body, want) {
			t.Errorf("run %X: checksum of %q, want %s", tt.nonce, body, want)
		}
	}
}

func TestTCPRefusesTooLongLinesAndTooManyConnections(t *testing.T) {
	s := &Server{TCP: true}
	addr := start(t, s)
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() { _, _ = conn.Write(bytes.Repeat([]byte("x"), 1<<20)) }()
	if n, _ := io.Copy(io.Discard, conn); n != 0 {
		t.Errorf("%d bytes of a line without an end", n)
	}
	var open []net.Conn
	for range maxConnsPerHost + 5 {
		c, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	await(t, "refusals", func() bool { return s.tcp.refused.Load() >= 5 })
	for _, c := range open {
		c.Close()
	}
	await(t, "room again", func() bool {
		c, err := net.Dial("tcp", addr.String())
		if err != nil {
			return false
		}
		defer c.Close()
		fmt.Fprint(c, "again\n")
		line, _ := bufio.NewReader(c).ReadString('\n')
		return line == "AGAIN\n"
	})
}

// The answer to a line does not wait for the end of the next one.
func TestTCPAnswersBeforeTheNextLineEnds(t *testing.T) {
	conn, err := net.Dial("tcp", start(t, &Server{TCP: true}).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "one\ntw")
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	in := bufio.NewReader(conn)
	if line, err := in.ReadString('\n'); line != "ONE\n" {
		t.Fatalf("%q, %v", line, err)
	}
	fmt.Fprint(conn, "o\n")
	if line, err := in.ReadString('\n'); line != "TWO\n" {
		t.Errorf("%q, %v", line, err)
	}
}

// fakeListener has connections from addresses that a test has not.
type fakeListener struct {
	net.Listener
	conns chan net.Conn
}

func (l fakeListener) Accept() (net.Conn, error) {
	if conn, ok := <-l.conns; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}

type fakeConn struct {
	net.Conn
	from netip.Addr
}

func (c fakeConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.from, 5555))
}

// Whoever has an IPv6 network has 2^64 addresses, and is one host all the same.
func TestTCPConnectionsOfOneHost(t *testing.T) {
	for _, tt := range []struct {
		name    string
		from    func(i byte) netip.Addr
		refused uint64
	}{
		{"IPv4 addresses", func(i byte) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, i}) }, 0},
		{"IPv4 in IPv6", func(i byte) netip.Addr { return netip.AddrFrom16(netip.AddrFrom4([4]byte{192, 0, 2, i}).As16()) }, 0},
		{"IPv6 networks", func(i byte) netip.Addr { return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, i}) }, 0},
		{"one IPv6 network", func(i byte) netip.Addr { return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: i}) }, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := fakeListener{conns: make(chan net.Conn, maxConns)}
			s := &Server{listener: l}
			for i := range maxConnsPerHost + 3 {
				here, there := net.Pipe()
				t.Cleanup(func() { _ = here.Close() })
				l.conns <- fakeConn{there, tt.from(byte(i))}
			}
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error)
			go func() { done <- s.serveTCP(ctx) }()
			await(t, "the connections", func() bool { return s.tcp.accepted.Load()+s.tcp.refused.Load() == maxConnsPerHost+3 })
			if got := s.tcp.refused.Load(); got != tt.refused {
				t.Errorf("%d refused, want %d", got, tt.refused)
			}
			cancel()
			close(l.conns)
			<-done
		})
	}
}

// stoppedTerminal is a writer that nobody reads from, until it is closed.
type stoppedTerminal chan struct{}

func (w stoppedTerminal) Write(p []byte) (int, error) {
	<-w
	return len(p), nil
}

func TestAStoppedTerminalDoesNotStopTheServer(t *testing.T) {
	out := make(stoppedTerminal)
	s := &Server{Sockets: 1, Out: out}
	conn := dial(t, start(t, s))
	t.Cleanup(func() { close(out) }) // before the server is to end
	const beats = 3 * maxLines
	for i := range beats {
		send(t, conn, fmt.Sprintf("Heartbeat %d %d.0", i+1, time.Now().Unix()))
	}
	send(t, conn, "ping")
	if got, _ := receive(t, conn, 20*time.Second); got != "PING" {
		t.Errorf("%q", got)
	}
	if c := s.Counters(); c.Heartbeats != beats {
		t.Errorf("%d heartbeats", c.Heartbeats)
	}
}

// writes counts calls of Write.
type writes int

func (w *writes) Write(p []byte) (int, error) {
	*w++
	return len(p), nil
}

func TestStatisticsAreOneWrite(t *testing.T) {
	s := &Server{Impair: impair.Config{Loss: 1}}
	conn := dial(t, start(t, s))
	send(t, conn, "one")
	await(t, "a packet", func() bool { return s.Counters().Received == 1 })
	var n writes
	if err := s.WriteStatistics(&n); err != nil || n != 1 {
		t.Errorf("%d writes, %v: lines about heartbeats may come in between", n, err)
	}
}

func TestStatisticsListClients(t *testing.T) {
	s := &Server{Impair: impair.Config{Seed: 1, Loss: 1}}
	addr := start(t, s)
	conn := dial(t, addr)
	send(t, conn, "one")
	send(t, conn, "two")
	await(t, "2 packets", func() bool { return s.Counters().Received == 2 })
	var out bytes.Buffer
	if err := s.WriteStatistics(&out); err != nil {
		t.Fatal(err)
	}
	line := ""
	for l := range strings.Lines(out.String()) {
		if strings.Contains(l, conn.LocalAddr().String()) {
			line = strings.Join(strings.Fields(l)[1:], " ")
		}
	}
	if line != "2 0 2 0" {
		t.Errorf("statistics:\n%s", out.String())
	}
}

func TestHeartbeats(t *testing.T) {
	var out bytes.Buffer
	h := newHeartbeats(&out, 5*time.Second)
	from := netip.MustParseAddrPort("192.0.2.1:5555")
	base := time.Unix(1763679000, 0)
	// sentBeat has a heartbeat come, sent at another time.
	sentBeat := func(at, sent float64, seq uint64) {
		h.note(from, seq, time.Duration(base.Add(time.Duration(sent*1e9)).UnixNano()), base.Add(time.Duration(at*1e9)))
	}
	beat := func(at float64, seq uint64) { sentBeat(at, at-0.0015, seq) }
	beat(0, 1)
	beat(1, 2)
	beat(4, 5)
	sentBeat(4.1, 3, 4)
	sentBeat(4.2, 3, 4)
	beat(5, 7)
	h.sweep(base.Add(9 * time.Second))
	h.sweep(base.Add(11 * time.Second))
	h.sweep(base.Add(12 * time.Second))
	beat(20, 8)
	beat(200, 1000)
	beat(201, 1)
	beat(202, 2)
	beat(202.5, 1) // started again within a second
	beat(203.5, 2)
	h.sweep(base.Add(209 * time.Second))
	sentBeat(230, 100, 1) // and after a silence, with its clock set back
	want := `Heartbeat 1 from 192.0.2.1:5555: time difference 0.001500s
Heartbeat 2 from 192.0.2.1:5555: time difference 0.001500s
Heartbeats 3 to 4 from 192.0.2.1:5555 are missing
Heartbeat 5 from 192.0.2.1:5555: time difference 0.001500s
Heartbeat 4 from 192.0.2.1:5555 comes late, after 5
Heartbeat 4 from 192.0.2.1:5555: time difference 1.100000s
Heartbeat 4 from 192.0.2.1:5555 came twice
Heartbeat 4 from 192.0.2.1:5555: time difference 1.200000s
Heartbeat 6 from 192.0.2.1:5555 is missing
Heartbeat 7 from 192.0.2.1:5555: time difference 0.001500s
192.0.2.1:5555 has stopped: no heartbeat for 5s (the last was 7; 5 received, 2 missing)
192.0.2.1:5555 is back after 15.0 s
Heartbeat 8 from 192.0.2.1:5555: time difference 0.001500s
Heartbeats 9 to 999 from 192.0.2.1:5555 are missing
Heartbeat 1000 from 192.0.2.1:5555: time difference 0.001500s
192.0.2.1:5555 starts again, with 1 after 1000
Heartbeat 1 from 192.0.2.1:5555: time difference 0.001500s
Heartbeat 2 from 192.0.2.1:5555: time difference 0.001500s
192.0.2.1:5555 starts again, with 1 after 2
Heartbeat 1 from 192.0.2.1:5555: time difference 0.001500s
Heartbeat 2 from 192.0.2.1:5555: time difference 0.001500s
192.0.2.1:5555 has stopped: no heartbeat for 5s (the last was 2; 2 received, 0 missing)
192.0.2.1:5555 is back after 26.5 s
192.0.2.1:5555 starts again, with 1 after 2
Heartbeat 1 from 192.0.2.1:5555: time difference 130.000000s
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestHeartbeatLinesAndClientsAreBounded(t *testing.T) {
	var out bytes.Buffer
	h := newHeartbeats(&out, 5*time.Second)
	now := time.Unix(1763679000, 0)
	for i := range 3 * maxHeartbeats {
		h.note(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 5555), 1, 0, now.Add(time.Duration(i)))
	}
	if len(h.clients) != maxHeartbeats {
		t.Errorf("%d clients remembered", len(h.clients))
	}
	if n := strings.Count(out.String(), "\n"); n != maxLines {
		t.Errorf("%d lines in a second", n)
	}
}

// lockedBuffer is a buffer that a server and a test may use at the same time.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestHeartbeatsOnTheWire(t *testing.T) {
	var out lockedBuffer
	s := &Server{Silence: 100 * time.Millisecond, Out: &out}
	conn := dial(t, start(t, s))
	send(t, conn, fmt.Sprintf("Heartbeat 1 %d.0", time.Now().Unix()))
	await(t, "the heartbeat", func() bool { return strings.Contains(out.String(), "Heartbeat 1 from") })
	await(t, "the end of it", func() bool { return strings.Contains(out.String(), "has stopped") })
	send(t, conn, fmt.Sprintf("Heartbeat 2 %d.0", time.Now().Unix()))
	await(t, "its return", func() bool { return strings.Contains(out.String(), "is back") })
	if _, ok := receive(t, conn, 30*time.Millisecond); ok {
		t.Error("a heartbeat is answered")
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte("Ping 1 1763679000.5"), uint16(4000))
	f.Add([]byte(ext("Ping", 1, 1)), uint16(7))
	f.Add([]byte(ext("Seen", 1, 1)), uint16(9999))
	f.Add([]byte("Heartbeat 99999999999999999 1"), uint16(1))
	f.Add([]byte("Ping 0 0 TD1 0000001000000000 0000000000000000010000000000001000..0....................................0000..."), uint16(3))
	s := &Server{
		Sockets: 1, limit: newLimiter(-1), Truth: NewTruth(io.Discard),
		Impair: impair.Config{Loss: 0.1, Corrupt: 0.1, Duplicate: 0.1},
	}
	s.beats = newHeartbeats(io.Discard, time.Second)
	sh := &shard{server: s, socket: &socket{}, own: 8080, clients: newClients(64)}
	f.Fuzz(func(t *testing.T, data []byte, port uint16) {
		p := packet{from: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), port), data: bytes.Clone(data), unicast: true}
		sh.answer(&p, time.Now())
		if len(p.data) != len(data) {
			t.Errorf("reply of %d bytes to %d", len(p.data), len(data))
		}
		if p.copies > 0 && (port == 53 || port == 8080) {
			t.Errorf("port %d is answered", port)
		}
	})
}
