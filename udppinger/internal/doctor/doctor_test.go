package doctor

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"topdown/udppinger/internal/socket"
	"topdown/udppinger/internal/wire"
	"topdown/udppinger/internal/wire/wiretest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "32") // they wait for what does not come
	os.Exit(m.Run())
}

// host is a scripted server on loopback, with a UDP and a TCP side on one port;
// either may be left out.
type host struct {
	udp func(n int, request []byte) (reply []byte) // nil: nothing; n counts from 1
	tcp func(conn net.Conn)
	// silent has the UDP port taken by a program that never reads.
	silent bool
	// other has replies leave from another port.
	other bool
}

// start returns the host's address. A side that is left out stays closed until the
// test ends: a connected socket has its port, so nobody else is given it, and the
// kernel refuses whoever is not at the other end.
func (h host) start(t *testing.T) netip.AddrPort {
	t.Helper()
	for range 20 { // until a port is free for both
		addr, tcp, err := h.bindTCP(t)
		if err != nil {
			t.Fatal(err)
		}
		udp, err := h.bindUDP(addr)
		if err != nil {
			tcp.Close()
			continue
		}
		t.Cleanup(func() {
			tcp.Close()
			udp.Close()
		})
		if h.udp != nil {
			go h.serveUDP(t, udp)
		}
		if ln, ok := tcp.(net.Listener); ok {
			go h.serveTCP(t, ln)
		}
		return addr
	}
	t.Fatal("no port is free for TCP and UDP")
	return netip.AddrPort{}
}

// bindTCP takes a TCP port: a listener, or a connection where it shall be closed.
func (h host) bindTCP(t *testing.T) (netip.AddrPort, io.Closer, error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, nil, err
	}
	if h.tcp != nil {
		return ln.Addr().(*net.TCPAddr).AddrPort(), ln, nil
	}
	t.Cleanup(func() { ln.Close() })
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}}
	conn, err := from.DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		return netip.AddrPort{}, nil, err
	}
	return conn.LocalAddr().(*net.TCPAddr).AddrPort(), conn, nil
}

// bindUDP takes the UDP port of addr; where it shall be closed, connected to itself.
func (h host) bindUDP(addr netip.AddrPort) (*net.UDPConn, error) {
	at := net.UDPAddrFromAddrPort(addr)
	if h.udp != nil || h.silent {
		return net.ListenUDP("udp", at)
	}
	return net.DialUDP("udp", at, at)
}

func (h host) serveUDP(t *testing.T, conn net.PacketConn) {
	t.Helper()
	from := conn
	if h.other {
		var err error
		if from, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			t.Error(err)
			return
		}
		defer from.Close()
	}
	buffer := make([]byte, 65536)
	for n := 1; ; n++ {
		size, client, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		if reply := h.udp(n, buffer[:size]); reply != nil {
			_, _ = from.WriteTo(reply, client)
		}
	}
}

func (h host) serveTCP(t *testing.T, ln net.Listener) {
	t.Helper()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		t.Cleanup(func() { conn.Close() })
		wg.Go(func() { h.tcp(conn) })
	}
}

func capitals(_ int, request []byte) []byte { return bytes.ToUpper(request) }

func nothing(int, []byte) []byte { return nil }

// seen is the TCP side of a server that has received and answered so many.
func seen(received, answered uint32) func(net.Conn) {
	return func(conn net.Conn) {
		line, err := bufio.NewReader(conn).ReadBytes('\n')
		if err != nil {
			return
		}
		reply := wiretest.Reply(bytes.TrimSuffix(line, []byte("\n")), wire.Report{
			Received: time.Unix(1, 0), Count: received, Answered: answered, Top: received,
		})
		_, _ = conn.Write(append(reply, '\n'))
	}
}

// examine examines a host and returns what was found and printed.
func examine(t *testing.T, addr netip.AddrPort, timeout time.Duration) (Finding, string) {
	t.Helper()
	var out strings.Builder
	d := Doctor{
		Target: addr, Timeout: timeout, Patience: timeout, Nonce: 0x1234567890ABCDEF,
		Print: func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) },
	}
	finding, err := d.Examine(t.Context())
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	return finding, out.String()
}

// Each situation, its evidence, its sentence.
func TestFindings(t *testing.T) {
	t.Parallel()
	hold := func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
	for _, tt := range []struct {
		name    string
		host    host
		finding Finding
		want    []string // evidence
	}{
		{"open", host{udp: capitals}, Open, []string{"10 of 10 requests answered", "messages from 64 to 65000 bytes pass"}},
		{
			"a lab server's buffer",
			host{udp: func(n int, b []byte) []byte { return capitals(n, b[:min(len(b), 1024)]) }},
			Open,
			[]string{"echoes the first 1024 bytes"},
		},
		{"no upper-casing", host{udp: func(_ int, b []byte) []byte { return b }}, Open, []string{"not upper-cased: an echo server"}},
		{"nonsense", host{udp: func(_ int, b []byte) []byte { b[8] ^= 4; return b }}, Open, []string{"not the request in capitals"}},
		{
			"most is lost", host{udp: func(n int, b []byte) []byte {
				if n <= 10 && n%10 < 6 {
					return nil
				}
				return capitals(n, b)
			}}, Lossy, []string{"4 of 10 requests answered", "6 lost", "OPEN, WITH LOSSES"},
		},
		{
			"large ones do not pass", host{udp: func(n int, b []byte) []byte {
				if len(b) > 1300 {
					return nil
				}
				return capitals(n, b)
			}}, SomeSizes, []string{"messages of 1300 bytes pass, of 1301 bytes no more"},
		},
		{"closed", host{}, Closed, []string{"came back as ICMP port unreachable", "no program listens on this UDP port"}},
		{"TCP alone", host{tcp: hold}, TCPOnly, []string{"TCP: connected to the same port", "TCP is open here, UDP is closed"}},
		{"another port answers", host{udp: capitals, other: true}, OtherAddress, []string{"the server answers from 127.0.0.1:", "listen on one address"}},
		{"a program that never reads", host{silent: true}, Silent, []string{"no reply and no ICMP error", "connection was refused", "of the same host refuses at once"}},
		{"a server that hangs", host{silent: true, tcp: hold}, Hanging, []string{"the connection was taken, but no line came back", "neither over TCP nor over UDP"}},
		{"somebody else's TCP server", host{silent: true, tcp: func(c net.Conn) { c.Close() }}, Filtered, []string{"did not echo a line"}},
		{
			"a TCP server that speaks otherwise", host{silent: true, tcp: func(c net.Conn) {
				_, _ = bufio.NewReader(c).ReadString('\n')
				_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
			}}, Filtered, []string{"is not udppingserver"},
		},
		{"requests do not arrive", host{udp: nothing, tcp: seen(0, 0)}, NotArriving, []string{"received 0 of the UDP requests"}},
		{"replies do not come back", host{udp: nothing, tcp: seen(10, 10)}, RepliesLost, []string{"received 10 of the UDP requests and answered 10"}},
		{"dropped on purpose", host{udp: nothing, tcp: seen(10, 0)}, Muted, []string{"received 10 of the UDP requests and answered 0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			timeout := 3 * time.Second
			if tt.finding == SomeSizes {
				timeout = time.Second / 2 // it asks many times where there is no reply
			}
			finding, text := examine(t, tt.host.start(t), timeout)
			if finding != tt.finding {
				t.Errorf("finding %q, want %q", finding, tt.finding)
			}
			for _, want := range append(tt.want, finding.String(), advice[finding]) {
				if !strings.Contains(text, want) {
					t.Errorf("%q is missing", want)
				}
			}
			if t.Failed() {
				t.Log(text)
			}
		})
	}
}

// What TCP says is about the same way as what UDP says: it leaves from the address
// that was asked for.
func TestTCPLeavesFromTheSource(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere loopback is one address")
	}
	from := make(chan string, 1)
	target := host{tcp: func(conn net.Conn) {
		from <- conn.RemoteAddr().(*net.TCPAddr).IP.String()
	}}.start(t)
	source := netip.MustParseAddr("127.0.0.9")
	d := Doctor{
		Target: target, Options: socket.Options{Source: netip.AddrPortFrom(source, 0)},
		Timeout: 3 * time.Second, Patience: 3 * time.Second, Print: func(string, ...any) {},
	}
	if finding, err := d.Examine(t.Context()); err != nil || finding != TCPOnly {
		t.Fatalf("%q, %v", finding, err)
	}
	if got := <-from; got != source.String() {
		t.Errorf("from %s, want %s", got, source)
	}
}

func TestEachFindingHasItsSentence(t *testing.T) {
	for f := Open; f <= Muted; f++ {
		if f.String() == "" || f != Open && advice[f] == "" {
			t.Errorf("finding %d says %q, %q", f, f, advice[f])
		}
		if open := strings.HasPrefix(f.String(), "OPEN:") || strings.HasPrefix(f.String(), "OPEN, "); open != f.IsOpen() {
			t.Errorf("%q is open: %v", f, f.IsOpen())
		}
	}
}

func TestInterruptedExaminationFindsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := Doctor{Target: host{udp: capitals}.start(t), Timeout: time.Second, Print: func(string, ...any) {}}
	if finding, err := d.Examine(ctx); err == nil {
		t.Errorf("finding %q", finding)
	}
}

func TestTriesGrowWithTheLoss(t *testing.T) {
	for _, tt := range []struct{ lost, tries uint64 }{{0, 7}, {4, 17}, {8, 40}} {
		d := Doctor{}
		d.counts.Sent, d.counts.Lost = 10, tt.lost
		if got := d.tries(); got != tt.tries {
			t.Errorf("%d of 10 lost: %d tries, want %d", tt.lost, got, tt.tries)
		}
	}
}
