package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// These tests run the program as a user does, against programs that are not
// this lab's, and in network namespaces of their own, where packets can be lost.

// missing skips the test, or fails it where everything must be there.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("TOPDOWN_REQUIRE_REAL") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			missing(t, "%s is not installed", program)
		}
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		missing(t, "network namespaces need root")
	}
	need(t, "ip", "nft")
}

// peer returns the program of the lab's other half, built.
func peer(t *testing.T) string {
	t.Helper()
	const dir = "../../udppingserver"
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Skipf("this lab stands alone: there is no %s", dir)
	}
	buildPeer.Do(func() {
		if out, err := buildProgram(dir, peerBinary()); err != nil {
			t.Fatalf("build %s: %v\n%s", dir, err, out)
		}
	})
	return peerBinary()
}

var buildPeer sync.Once

func peerBinary() string { return filepath.Join(filepath.Dir(binary), "udppingserver") }

// daemon starts a program and ends it with the test.
func daemon(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
}

func command(t *testing.T, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatalf("%v: %v", args, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func must(t *testing.T, line string) {
	t.Helper()
	if out, code := command(t, strings.Fields(line)...); code != 0 {
		t.Fatalf("%s: exit code %d\n%s", line, code, out)
	}
}

// pythonServer is the lab's server as a student writes it, without its losses
// unless asked for.
const pythonServer = `
import random, sys
from socket import *
serverSocket = socket(AF_INET, SOCK_DGRAM)
serverSocket.bind(('', int(sys.argv[1])))
while True:
    rand = random.randint(0, 10)
    message, address = serverSocket.recvfrom(1024)
    message = message.upper()
    if rand < int(sys.argv[2]):
        continue
    serverSocket.sendto(message, address)
`

var made atomic.Int32 // pairs of namespaces

// namespaces makes two network namespaces, joined by a cable: the client's, with
// 10.213.0.1, and the server's, with 10.213.0.2.
func namespaces(t *testing.T) (client, server []string) {
	t.Helper()
	needRoot(t)
	n := made.Add(1)
	names := [2]string{fmt.Sprintf("tdc%d-%d", os.Getpid(), n), fmt.Sprintf("tds%d-%d", os.Getpid(), n)}
	for _, name := range names {
		if out, code := command(t, "ip", "netns", "add", name); code != 0 {
			missing(t, "no network namespaces here: %s", out)
		}
		t.Cleanup(func() { _, _ = command(t, "ip", "netns", "del", name) })
	}
	must(t, fmt.Sprintf("ip -n %s link add td0 type veth peer name td0 netns %s", names[0], names[1]))
	for i, name := range names {
		must(t, fmt.Sprintf("ip -n %s addr add 10.213.0.%d/24 dev td0", name, i+1))
		// As on a real cable each datagram is a packet of its own, which a
		// firewall drops and counts by itself.
		must(t, fmt.Sprintf("ip -n %s link set td0 gso_max_segs 1", name))
		must(t, fmt.Sprintf("ip -n %s link set td0 up", name))
		must(t, fmt.Sprintf("ip -n %s link set lo up", name))
	}
	in := func(name string) []string { return []string{"ip", "netns", "exec", name} }
	return in(names[0]), in(names[1])
}

// rule puts a firewall rule into a namespace in the place of those before.
func rule(t *testing.T, where []string, hook, match string) {
	t.Helper()
	text := fmt.Sprintf("add table inet td\ndelete table inet td\ntable inet td { chain c { type filter hook %s priority 0\n%s counter drop\n}\n}\n", hook, match)
	cmd := exec.Command(where[0], in(where[1:], "nft", "-f", "-")...)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s%s", err, out, text)
	}
}

// dropped returns how many packets the rule has dropped.
func dropped(t *testing.T, where []string) uint64 {
	t.Helper()
	out, _ := command(t, in(where, "nft", "list", "table", "inet", "td")...)
	n, err := strconv.ParseUint(regexp.MustCompile(`counter packets (\d+)`).FindStringSubmatch(out)[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func in(where []string, args ...string) []string {
	return append(append([]string(nil), where...), args...)
}

// listening waits until something listens on a UDP port of a namespace.
func listening(t *testing.T, where []string, port string) {
	t.Helper()
	listeningOn(t, where, "-Huln", port)
}

// listeningOn waits until ss, with the given flags, shows a port.
func listeningOn(t *testing.T, where []string, flags, port string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		out, _ := command(t, in(where, "ss", flags, "sport", "=", ":"+port)...)
		if out != "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nobody listens on port %s", port)
		}
	}
}

func TestPythonLabServer(t *testing.T) {
	t.Parallel()
	need(t, "python3")
	script := filepath.Join(t.TempDir(), "server.py")
	if err := os.WriteFile(script, []byte(pythonServer), 0o600); err != nil {
		t.Fatal(err)
	}
	free, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.LocalAddr().String()
	free.Close()
	_, port, _ := net.SplitHostPort(addr)
	daemon(t, "python3", script, port, "0")
	for deadline := time.Now().Add(20 * time.Second); ; {
		if _, _, code := call(t, "-c", "1", addr); code == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the Python server does not answer")
		}
	}
	stdout, _, code := call(t, "-W", "9", addr)
	if n := strings.Count(stdout, "Reply from 127.0.0.1    RTT = "); code != 0 || n != 10 {
		t.Errorf("exit code %d, %d replies\n%s", code, n, stdout)
	}
	stdout, _, code = call(t, "-c", "2", "-W", "9", "-s", "1400", addr)
	if code != 1 || strings.Count(stdout, "(1024 bytes came back)") != 2 {
		t.Errorf("beyond 1,024 bytes: exit code %d\n%s", code, stdout)
	}
}

// The lab, word for word: the handout's port and binary, and no arguments at all.
func TestLabPortsInANamespace(t *testing.T) {
	t.Parallel()
	_, server := namespaces(t)
	need(t, "python3", "ss")
	script := filepath.Join(t.TempDir(), "server.py")
	if err := os.WriteFile(script, []byte(pythonServer), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ port, drop, target string }{{"12000", "0", "127.0.0.1:12000"}, {"8080", "4", ""}} {
		daemon(t, in(server, "python3", script, tt.port, tt.drop)...)
		listening(t, server, tt.port)
		args := in(server, binary)
		if tt.target != "" {
			args = append(args, "-W", "9", tt.target)
		}
		out, code := command(t, args...)
		replies := strings.Count(out, "Reply from 127.0.0.1    RTT = ")
		losses := strings.Count(out, ": Request timed out")
		if code != 0 || replies+losses != 10 || tt.drop == "0" && losses > 0 {
			t.Errorf("port %s: exit code %d, %d replies, %d losses\n%s", tt.port, code, replies, losses, out)
		}
	}
}

type figures struct {
	Stats struct {
		Sent         uint64 `json:"packets_sent"`
		Lost         uint64 `json:"lost_packets"`
		LostThere    uint64 `json:"lost_there"`
		LostAtServer uint64 `json:"lost_at_server"`
		LostBack     uint64 `json:"lost_back"`
		LostUnknown  uint64 `json:"lost_unknown"`
	}
}

func TestLossDirectionIsNamed(t *testing.T) {
	t.Parallel()
	client, server := namespaces(t)
	need(t, "ss")
	theServer := peer(t)
	daemon(t, in(server, theServer, "--loss", "0", "--rate", "0", "8080")...)
	listening(t, server, "8080")
	for _, tt := range []struct {
		name  string
		where []string
		match string
	}{
		{"there", server, "udp dport 8080 numgen random mod 100 < 30"},
		{"back", client, "udp sport 8080 numgen random mod 100 < 30"},
	} {
		rule(t, tt.where, "input", tt.match)
		out, code := command(t, in(client, binary, "-c", "1000", "-i", "2ms", "-W", "2", "--format", "json", "10.213.0.2")...)
		var f figures
		if err := json.Unmarshal([]byte(out), &f); err != nil || code != 0 {
			t.Fatalf("%s: exit code %d, %v\n%s", tt.name, code, err, out)
		}
		s := f.Stats
		named, other := s.LostThere, s.LostBack
		if tt.name == "back" {
			named, other = other, named
		}
		if s.Sent != 1000 || s.Lost < 200 || s.Lost > 400 || other != 0 || s.LostAtServer != 0 || named+s.LostUnknown != s.Lost || s.LostUnknown > 20 {
			t.Errorf("lost on the way %s: %+v", tt.name, s)
		}
		if n := dropped(t, tt.where); n != s.Lost {
			t.Errorf("lost on the way %s: the pinger says %d, the firewall %d", tt.name, s.Lost, n)
		}
		rule(t, tt.where, "input", "udp dport 1")
	}
}

func TestServersTruthAndPingersClaimsAgree(t *testing.T) {
	t.Parallel()
	needRoot(t)
	need(t, "ss")
	_, where := namespaces(t)
	theServer := peer(t)
	truth := filepath.Join(t.TempDir(), "truth.ndjson")
	cmd := exec.Command(where[0], in(where[1:], theServer, "--seed", "7", "--loss", "lab", "--duplicate", "10%", "--corrupt", "10%", "--truth", truth, "8080")...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			_ = cmd.Process.Signal(syscall.SIGINT)
			_ = cmd.Wait()
		}
	}
	t.Cleanup(stop)
	listening(t, where, "8080")
	out, _ := command(t, in(where, binary, "-c", "500", "-i", "2ms", "-W", "2", "--format", "csv")...)
	stop()
	file, err := os.ReadFile(truth)
	if err != nil {
		t.Fatal(err)
	}
	did := map[string]string{}
	for line := range strings.Lines(string(file)) {
		var row struct {
			Seq                int
			Verdict            string
			Duplicate, Corrupt bool
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		what := "on time"
		switch {
		case row.Verdict == "dropped":
			what = "lost"
		case row.Corrupt:
			what = "corrupt"
		}
		if row.Duplicate {
			what += " twice"
		}
		did[fmt.Sprint(row.Seq)] = what
	}
	rows := strings.Split(strings.TrimSpace(out), "\n")[1:]
	if len(rows) != 500 || len(did) != 500 {
		t.Fatalf("%d rows of the pinger, %d of the server", len(rows), len(did))
	}
	for _, row := range rows {
		fields := strings.Split(row, ",")
		claim := fields[2]
		if fields[5] == "1" {
			claim += " twice"
		}
		if claim != did[fields[1]] {
			t.Errorf("sequence %s: the pinger says %q, the server did %q", fields[1], claim, did[fields[1]])
		}
	}
}
