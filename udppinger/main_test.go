package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// labServer is the lab's server without losses: it upper-cases and sends back.
// It drops the requests whose sequences are in drop.
func labServer(t *testing.T, network string, drop ...string) string {
	t.Helper()
	addr := "127.0.0.1:0"
	if network == "udp6" {
		addr = "[::1]:0"
	}
	conn, err := net.ListenPacket(network, addr)
	if err != nil {
		t.Skipf("this machine has no %s: %v", network, err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		buffer := make([]byte, 1024)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			dropped := false
			for _, seq := range drop {
				dropped = dropped || strings.HasPrefix(string(buffer[:n]), "Ping "+seq+" ")
			}
			if !dropped {
				_, _ = conn.WriteTo(bytes.ToUpper(buffer[:n]), from)
			}
		}
	})
	t.Cleanup(func() {
		conn.Close()
		wg.Wait()
	})
	return conn.LocalAddr().String()
}

// call runs the program and returns what it wrote and its exit code.
func call(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var out, errs bytes.Buffer
	code = run(ctx, append([]string{"udppinger"}, args...), &out, &errs)
	return out.String(), errs.String(), code
}

// steady replaces what differs from run to run.
func steady(text, addr string) string {
	if addr != "" {
		text = strings.ReplaceAll(text, addr, "127.0.0.1:PORT")
	}
	if _, port, err := net.SplitHostPort(addr); err == nil {
		text = strings.ReplaceAll(text, "port "+port, "port PORT")
	}
	for _, r := range []struct{ pattern, with string }{
		{`\d\.\d{6}s`, "#.######s"},
		{`PING (\d+) \d{10}\.\d{6}`, "PING $1 ##########.######"},
		{`= (\d\.\d{6}/)+\d\.\d{6} s`, "= #/# s"},
		{`jitter \d\.\d{6} s`, "jitter # s"},
		{`\d+\.\d µs`, "# µs"},
	} {
		text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.with)
	}
	return text
}

func TestTranscripts(t *testing.T) {
	server := labServer(t, "udp4", "3", "5")
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := conn.LocalAddr().String()
	conn.Close()
	for _, tt := range []struct {
		name string
		addr string
		args []string
		code int
	}{
		{"lab", server, []string{"-W", "2", server}, 0},
		{"explain", server, []string{"-c", "2", "-W", "9", "--explain", server}, 0},
		{"quiet", server, []string{"-q", "-c", "2", "-i", "1ms", "-W", "9", server}, 0},
		{"closed", closed, []string{"-c", "2", closed}, 1},
		{"too-small", server, []string{"-s", "49", server}, 2},
		{"nobody", "", []string{"nobody.invalid."}, 2},
		{"flag-after-target", "", []string{"127.0.0.1", "-c", "3"}, 2},
		{"bad-flag", "", []string{"--bogus"}, 2},
		{"bad-count", "", []string{"-c", "many"}, 2},
		{"bad-timeout", "", []string{"-W", "soon"}, 2},
		{"bad-size", "", []string{"-s", "70000"}, 2},
		{"bad-format", "", []string{"--format", "xml"}, 2},
		{"bad-port", "", []string{"127.0.0.1:0"}, 2},
		{"bad-plot", "", []string{"--plot", "x.gif"}, 2},
		{"two-json", "", []string{"--format", "json", "127.0.0.1", "127.0.0.2"}, 2},
		{"both-families", "", []string{"-4", "-6"}, 2},
		{"mixed-source", "", []string{"--source", "::1", "127.0.0.1"}, 2},
		{"doctor-nobody", "", []string{"doctor"}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stdout, stderr, code := call(t, tt.args...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if tt.name == "nobody" { // the resolver has words of its own
				if !strings.HasPrefix(stderr, "udppinger: find the address of nobody.invalid.: ") {
					t.Errorf("stderr %q", stderr)
				}
				return
			}
			got := steady(stdout+stderr, tt.addr)
			path := filepath.Join("testdata", tt.name+".txt")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.ReplaceAll(string(want), "\r\n", "\n"), got); diff != "" {
				t.Errorf("output (-want +got; -update writes it anew):\n%s", diff)
			}
		})
	}
}

func TestIPv6(t *testing.T) {
	addr := labServer(t, "udp6")
	stdout, stderr, code := call(t, "-c", "2", "-W", "9", addr)
	if code != 0 || !strings.Contains(stdout, "Sequence 2: Reply from ::1    RTT = ") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
}

func TestSeveralTargets(t *testing.T) {
	one, two := labServer(t, "udp4"), labServer(t, "udp4", "1", "2", "3")
	stdout, stderr, code := call(t, "-c", "3", "-W", "1", one, two)
	if code != 1 {
		t.Errorf("exit code %d, want 1: one target is silent\n%s", code, stderr)
	}
	for _, want := range []string{
		one + " Sequence 3: Reply from 127.0.0.1    RTT = ",
		two + " Sequence 3: Request timed out",
		"target  sent  received  lost    loss",
		"100.0%",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing:\n%s", want, stdout)
		}
	}
}

func TestDurationEndsTheRun(t *testing.T) {
	stdout, _, code := call(t, "--duration", "200ms", "-i", "10ms", "--format", "json", labServer(t, "udp4"))
	var doc struct {
		Stats struct {
			Sent int `json:"packets_sent"`
		}
	}
	if err := json.Unmarshal([]byte(stdout), &doc); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v", code, err)
	}
	if doc.Stats.Sent < 2 || doc.Stats.Sent > 20 {
		t.Errorf("%d probes in 200 ms, one each 10 ms", doc.Stats.Sent)
	}
}

func TestSourceTOSAndTTLAreTaken(t *testing.T) {
	stdout, stderr, code := call(t, "-c", "1", "-W", "9", "--source", "127.0.0.3", "--tos", "184", "--ttl", "5", labServer(t, "udp4"))
	if code != 0 {
		t.Skipf("no second loopback address here: %s%s", stdout, stderr)
	}
	if _, stderr, code := call(t, "-c", "1", "--source", "192.0.2.1", labServer(t, "udp4")); code != 2 || !strings.Contains(stderr, "bind to the source 192.0.2.1") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestInterruptedRunEndsWithTheSummary(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var out writerFunc = func(p []byte) (int, error) {
		if bytes.Contains(p, []byte("Sequence 3: Reply")) {
			cancel()
		}
		return len(p), nil
	}
	var all bytes.Buffer
	code := run(ctx, []string{"udppinger", "-c", "0", "-i", "5ms", labServer(t, "udp4")}, teeWriter{out, &all}, &all)
	if code != 0 || !strings.Contains(all.String(), "ping statistics") || !strings.Contains(all.String(), "RTT min/avg/max/mdev") {
		t.Errorf("exit code %d\n%s", code, all.String())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

type teeWriter struct {
	f writerFunc
	b *bytes.Buffer
}

func (w teeWriter) Write(p []byte) (int, error) {
	_, _ = w.f(p)
	return w.b.Write(p)
}

func TestDoctorWithoutRoot(t *testing.T) {
	addr := labServer(t, "udp4")
	stdout, stderr, code := call(t, "doctor", "-W", "3s", addr)
	if code != 0 || !strings.Contains(stdout, "OPEN: ") || !strings.Contains(stdout, "echoes the first 1024 bytes") {
		t.Errorf("open: exit code %d\n%s%s", code, stdout, stderr)
	}
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := conn.LocalAddr().String()
	conn.Close()
	stdout, stderr, code = call(t, "doctor", "-W", "3s", closed)
	if code != 1 || !strings.Contains(stdout, "CLOSED: ") {
		t.Errorf("closed: exit code %d\n%s%s", code, stdout, stderr)
	}
}
