package load

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"topdown/udppinger/internal/stats"
)

func phase(name string, rtt time.Duration) *Phase {
	p := &Phase{Name: name, RTT: stats.NewRTT()}
	for range 5 {
		p.RTT.Add(rtt)
	}
	return p
}

func TestVerdict(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name       string
		idle, busy time.Duration
		want       string
	}{
		{"while uploading", 12 * ms, 13 * ms, "idle 12.0 ms, while uploading 13.0 ms: hardly any queue on the way there; calls do not notice"},
		{"while downloading", 12 * ms, 40 * ms, "idle 12.0 ms, while downloading 40.0 ms: the queue on the way back holds 28.0 ms; calls hardly notice"},
		{"while uploading", 12 * ms, 92 * ms, "idle 12.0 ms, while uploading 92.0 ms: the queue on the way there holds 80.0 ms; calls and games will notice"},
		{"while uploading", 12 * ms, 480 * ms, "idle 12.0 ms, while uploading 480 ms: the queue on the way there holds 468 ms; calls will suffer while something uploads"},
		{"while downloading", 12 * ms, 480 * ms, "idle 12.0 ms, while downloading 480 ms: the queue on the way back holds 468 ms; calls will suffer while something downloads"},
	} {
		if got := Verdict(phase("idle", tt.idle), phase(tt.name, tt.busy)); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
	silent := &Phase{Name: "while uploading", RTT: stats.NewRTT(), Sent: 9, Lost: 9}
	if got, want := Verdict(phase("idle", ms), silent), "while uploading: no ping was replied to"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A server that has not noticed yet that the stream before is over is asked again.
func TestABusyServerIsAskedAgain(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for _, answer := range []string{"LOAD BUSY\n", "LOAD READY\n"} {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = bufio.NewReader(conn).ReadString('\n')
			_, _ = io.WriteString(conn, answer)
			conn.Close()
		}
	}()
	test := Test{Target: ln.Addr().(*net.TCPAddr).AddrPort()}
	conn, err := test.connect(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
