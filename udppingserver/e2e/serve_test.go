//go:build unix

package e2e

import (
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// output is what a running program has written so far.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// await waits until the pattern stands in the output, and returns its first group.
func (o *output) await(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if m := re.FindStringSubmatch(o.String()); m != nil {
			return m[len(m)-1]
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q does not come:\n%s", pattern, o.String())
		}
	}
}

// program runs the program until stop is called, which returns its exit code.
func program(t *testing.T, args ...string) (stdout, stderr *output, stop func() int) {
	t.Helper()
	stdout, stderr = &output{}, &output{}
	cmd := exec.Command(binary, args...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop = sync.OnceValue(func() int {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			t.Error("the program does not end within 5 s")
			_ = cmd.Process.Kill()
			<-ended
		}
		return cmd.ProcessState.ExitCode()
	})
	t.Cleanup(func() { stop() })
	return stdout, stderr, stop
}

const readyLine = `Ready to serve: .*? on (\S+),`

func exchange(t *testing.T, network, addr, message string) string {
	t.Helper()
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, message); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 100)
	n, err := conn.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	return string(buffer[:n])
}

func TestServesUDPAndTCPAndEndsWithStatistics(t *testing.T) {
	stdout, stderr, stop := program(t, "--loss", "0", "127.0.0.1:0")
	addr := stdout.await(t, readyLine)
	if got := exchange(t, "udp", addr, "Ping 1 5.5"); got != "PING 1 5.5" {
		t.Errorf("UDP: %q", got)
	}
	if got := exchange(t, "tcp", addr, "how do you do\n"); got != "HOW DO YOU DO\n" {
		t.Errorf("TCP: %q", got)
	}
	if code := stop(); code != 0 {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	for _, want := range []string{"client  received  answered  dropped on purpose", "all UDP         1         1", "1 TCP lines answered"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("%q is missing:\n%s", want, stdout)
		}
	}
}

func TestBarePortOnAllAddresses(t *testing.T) {
	stdout, _, _ := program(t, "--loss", "0", "0")
	_, port, err := net.SplitHostPort(stdout.await(t, readyLine))
	if err != nil {
		t.Fatal(err)
	}
	if got := exchange(t, "udp", "127.0.0.1:"+port, "ping"); got != "PING" {
		t.Errorf("IPv4: %q", got)
	}
	if probe, err := net.ListenPacket("udp6", "[::1]:0"); err == nil {
		probe.Close()
		if got := exchange(t, "udp", "[::1]:"+port, "ping"); got != "PING" {
			t.Errorf("IPv6: %q", got)
		}
	}
}

// Somebody else's TCP server on the same port number, as the web server on 8080,
// leaves UDP to be served, with a warning that says whose it is.
func TestTakenTCPPortLeavesUDP(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	stdout, stderr, stop := program(t, "--loss", "0", taken.Addr().String())
	addr := stdout.await(t, `Ready to serve: UDP on (\S+),`)
	if got := exchange(t, "udp", addr, "ping"); got != "PING" {
		t.Errorf("UDP: %q", got)
	}
	want := `udppingserver: warning: over TCP: cannot listen on ` + addr + `: the port is in use by `
	if !strings.HasPrefix(stderr.String(), want) || strings.Count(stderr.String(), "\n") != 1 {
		t.Errorf("stderr %q", stderr)
	}
	if code := stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestTruthFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "truth.ndjson")
	stdout, _, stop := program(t, "--loss", "0", "--truth", name, "127.0.0.1:0")
	exchange(t, "udp", stdout.await(t, readyLine), "Ping 7 5.5")
	stop()
	text, err := os.ReadFile(name)
	if err != nil || !strings.Contains(string(text), `"seq":7,"bytes":10,"verdict":"answered"`) {
		t.Errorf("truth %q, %v", text, err)
	}
}

func TestMetrics(t *testing.T) {
	stdout, stderr, _ := program(t, "--loss", "0", "--metrics-addr", "127.0.0.1:0", "127.0.0.1:0")
	addr := stdout.await(t, readyLine)
	at := stderr.await(t, `http://(\S+)/metrics`)
	exchange(t, "udp", addr, "ping")
	ask := func(request string) string {
		conn, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.WriteString(conn, request)
		all, _ := io.ReadAll(conn)
		return strings.Replace(string(all), "HTTP/1.0 ", "HTTP/1.1 ", 1)
	}
	page := ask("GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	for _, want := range []string{"HTTP/1.1 200 OK\r\n", "udppingserver_packets_received_total 1\n", `udppingserver_packets_total{verdict="answered"} 1` + "\n"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing:\n%s", want, page)
		}
	}
	for request, status := range map[string]string{
		"GET / HTTP/1.0\r\n\r\n":         "404 Not Found",
		"POST /metrics HTTP/1.0\r\n\r\n": "405 Method Not Allowed",
		"hello\r\n\r\n":                  "400 Bad Request",
	} {
		if got := ask(request); !strings.HasPrefix(got, "HTTP/1.1 "+status) {
			t.Errorf("%q: %q", request, got)
		}
	}
}
