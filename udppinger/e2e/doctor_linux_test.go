package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// otherServer answers from an address of its own choice; see TestDoctorInEachCase.
const otherServer = `
import sys
from socket import *
inbound = socket(AF_INET, SOCK_DGRAM)
inbound.bind(('10.213.0.3', int(sys.argv[1])))
outbound = socket(AF_INET, SOCK_DGRAM)
outbound.bind(('10.213.0.2', int(sys.argv[1])))
while True:
    message, address = inbound.recvfrom(2048)
    outbound.sendto(message.upper(), address)
`

// tcpServer takes TCP connections and answers no lab line.
const tcpServer = `
import sys
from socket import *
listener = socket(AF_INET, SOCK_STREAM)
listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
listener.bind(('', int(sys.argv[1])))
listener.listen()
while True:
    connection, address = listener.accept()
    connection.close()
`

// script writes a Python program to a file.
func script(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "server.py")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// behindARouter makes the server's namespace a router to 10.214.0.0/24, in which
// there is nobody.
func behindARouter(t *testing.T, client, server []string) {
	t.Helper()
	for _, line := range []string{
		"ip link add td1 type veth peer name td2", "ip link set td1 up", "ip link set td2 up",
		"ip addr add 10.214.0.1/24 dev td1", "ip addr add 10.213.0.3/24 dev td0",
	} {
		must(t, strings.Join(in(server, line), " "))
	}
	must(t, strings.Join(in(client, "ip route add 10.214.0.0/24 via 10.213.0.2"), " "))
	for setting, value := range map[string]string{"ip_forward": "1", "icmp_ratelimit": "0"} {
		cmd := exec.Command(server[0], in(server[1:], "sh", "-c", "echo "+value+" >/proc/sys/net/ipv4/"+setting)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			missing(t, "%s cannot be set in a namespace: %s", setting, out)
		}
	}
}

// The table of what doctor can find: each situation on a port of its own, with
// one set of rules, all examined at the same time.
func TestDoctorInEachCase(t *testing.T) {
	t.Parallel()
	client, server := namespaces(t)
	need(t, "ss", "python3")
	theServer := peer(t)
	behindARouter(t, client, server)
	python := script(t, pythonServer)
	for port, args := range map[string][]string{
		"8080": {theServer, "--loss", "0"}, "8081": {theServer, "--loss", "lab"}, "8082": {theServer, "--loss", "100%"},
		"8083": {theServer, "--loss", "0"}, "8084": {theServer, "--loss", "0"}, "8085": {theServer, "--loss", "0"},
		"8086": {theServer, "--loss", "0"}, "8087": {theServer, "--loss", "0"}, "8088": {theServer, "--loss", "0"},
		"12000": {"python3", python}, "12001": {"python3", python},
	} {
		plain := args[0] == "python3" // without a TCP side
		args = append(args, port)
		if plain {
			args = append(args, "0")
		}
		daemon(t, in(server, args...)...)
		listening(t, server, port)
		if !plain {
			listeningOn(t, server, "-Htln", port)
		}
	}
	daemon(t, in(server, "python3", script(t, otherServer), "8090")...)
	listening(t, server, "8090")
	daemon(t, in(server, "python3", script(t, tcpServer), "8091")...)
	listeningOn(t, server, "-Htln", "8091")
	hung := exec.Command(server[0], in(server[1:], theServer, "--loss", "0", "8092")...)
	if err := hung.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = hung.Process.Kill()
		_ = hung.Wait()
	})
	listening(t, server, "8092")
	listeningOn(t, server, "-Htln", "8092")
	if err := hung.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	rules(t, server,
		"input", "udp dport 8083 drop",
		"output", "udp sport 8084 drop",
		"input", "tcp dport 8085 drop", "input", "udp dport 8085 drop",
		"input", "udp dport 8086 meta length > 1000 drop", // fragments come later than this hook sees
		"input", "udp dport 8087 reject with icmpx type admin-prohibited",
		"input", "udp dport 8088 numgen inc mod 10 < 6 drop",
		"input", "udp dport 12001 drop",
		"forward", "ip daddr 10.214.0.6 reject with icmpx type admin-prohibited",
		"forward", "ip daddr 10.214.0.7 reject with icmpx type port-unreachable",
	)
	type examination struct {
		name, target string
		code         int
		want         []string
		losses       bool
	}
	examinations := []examination{
		{"open", "10.213.0.2:8080", 0, []string{"OPEN: ", "10 of 10", "from 64 to 65000 bytes pass"}, false},
		{"open with losses on purpose", "10.213.0.2:8081", 0, []string{"OPEN: ", "from 64 to 65000 bytes pass"}, true},
		{"open, plain lab server", "10.213.0.2:12000", 0, []string{"OPEN: ", "the first 1024 bytes"}, false},
		{"open, most is lost", "10.213.0.2:8088", 0, []string{"4 of 10 requests answered", "lost on the way there", "OPEN, WITH LOSSES: "}, true},
		{"closed", "10.213.0.2:8099", 1, []string{"CLOSED: the host is there", "came back as ICMP port unreachable"}, false},
		{"open for TCP alone", "10.213.0.2:8091", 1, []string{"CLOSED: TCP is open here, UDP is closed", "TCP: connected to the same port"}, false},
		{"requests dropped", "10.213.0.2:8083", 1, []string{"FILTERED ON THE WAY THERE", "received 0 of the UDP requests"}, false},
		{"replies dropped", "10.213.0.2:8084", 1, []string{"REPLIES ARE LOST", "received 10 of the UDP requests and answered 10"}, false},
		{"dropped on purpose", "10.213.0.2:8082", 1, []string{"ANSWERED BY SILENCE", "received 10 of the UDP requests and answered 0"}, false},
		{"all dropped", "10.213.0.2:8085", 1, []string{"FILTERED OR DROPPED", "no connection to the same port either"}, false},
		{"filtered, no TCP server", "10.213.0.2:12001", 1, []string{"FILTERED OR DROPPED", "the connection was refused, so the host is up", "of the same host refuses at once"}, false},
		{"large ones dropped", "10.213.0.2:8086", 1, []string{"OPEN FOR SOME SIZES ONLY", "of 972 bytes pass, of 973 bytes no more"}, true},
		{"no route", "198.51.100.1", 1, []string{"UNREACHABLE"}, false},
		{"answered from another address", "10.213.0.3:8090", 1, []string{"the server answers from 10.213.0.2:8090 instead of 10.213.0.3:8090", "ANSWERED FROM ANOTHER ADDRESS"}, false},
		{"hanging", "10.213.0.2:8092", 1, []string{"NOT ANSWERED: connections over TCP are taken", "no line came back"}, false},
		{"refused by the host's firewall", "10.213.0.2:8087", 1, []string{"refused from 10.213.0.2: administratively prohibited", "REFUSED: a firewall"}, false},
		{"refused by a firewall on the way", "10.214.0.6:8080", 1, []string{"refused from 10.213.0.2: administratively prohibited", "REFUSED: a firewall"}, false},
		{"refused on the way in the host's words", "10.214.0.7:8080", 1, []string{"refused from 10.213.0.2: port unreachable", "REFUSED: a firewall"}, false},
		{"absent behind a router", "10.214.0.5:8080", 1, []string{"from 10.213.0.2: host unreachable", "UNREACHABLE"}, false},
		{"absent on the same network", "10.213.0.77:8080", 1, []string{"from 10.213.0.1: host unreachable", "UNREACHABLE"}, false},
	}
	results := together(len(examinations), func(i int) (string, int) {
		wait := "3"
		if examinations[i].losses {
			wait = "1" // it asks many times where it loses some
		}
		return command(t, in(client, binary, "doctor", "-W", wait, examinations[i].target)...)
	})
	for i, tt := range examinations {
		t.Run(tt.name, func(t *testing.T) {
			out, code := results[i].out, results[i].code
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("%q is missing", want)
				}
			}
			if t.Failed() || testing.Verbose() {
				t.Log(out)
			}
		})
	}
}

// The host that sent an ICMP error is named, in each format, with what it said.
func TestTheSenderOfAnICMPErrorIsNamed(t *testing.T) {
	t.Parallel()
	client, server := namespaces(t)
	behindARouter(t, client, server)
	rules(t, server,
		"input", "udp dport 8087 reject with icmpx type admin-prohibited",
		"forward", "ip daddr 10.214.0.6 reject with icmpx type admin-prohibited",
		"forward", "ip daddr 10.214.0.7 reject with icmpx type port-unreachable",
	)
	type run struct {
		name string
		args []string
		want string
	}
	runs := []run{
		{"closed", []string{"10.213.0.2:8099"}, "Sequence 1: Refused: the port is closed (ICMP port unreachable)"},
		{"the host's firewall", []string{"10.213.0.2:8087"}, "From 10.213.0.2: administratively prohibited: a firewall on that host refuses (ICMP type 3 code 13)"},
		{"a firewall on the way", []string{"10.214.0.6"}, "From 10.213.0.2: administratively prohibited: a firewall on the way refuses (ICMP type 3 code 13)"},
		{"in other words", []string{"10.214.0.7"}, "From 10.213.0.2: port unreachable: a firewall on the way refuses (ICMP type 3 code 3)"},
		{"too few hops", []string{"--ttl", "1", "10.214.0.5"}, "From 10.213.0.2: TTL exceeded at hop 1 (ICMP type 11 code 0)"},
		{"absent", []string{"-W", "5", "10.214.0.5"}, "From 10.213.0.2: host unreachable (ICMP type 3 code 1)"},
		{"ping", []string{"--format", "ping", "10.214.0.6"}, "From 10.213.0.2 icmp_seq=1 Packet filtered"},
		{"json", []string{"--format", "json", "10.214.0.6"}, `"icmp":{"from":"10.213.0.2","type":3,"code":13,"meaning":"administratively prohibited"}`},
	}
	results := together(len(runs), func(i int) (string, int) {
		return command(t, in(client, append([]string{binary, "-c", "1"}, runs[i].args...)...)...)
	})
	for i, tt := range runs {
		t.Run(tt.name, func(t *testing.T) {
			out, code := results[i].out, results[i].code
			if code != 1 || !strings.Contains(out, tt.want) {
				t.Errorf("exit code %d, %q is missing:\n%s", code, tt.want, out)
			}
			if closed := strings.Contains(out, "is the server running"); closed != (tt.name == "closed") {
				t.Errorf("the port is said to be closed: %v", closed)
			}
		})
	}
}

// rules puts rules into a namespace, each after the name of its hook.
func rules(t *testing.T, where []string, hookAndRule ...string) {
	t.Helper()
	chains := map[string]string{}
	for i := 0; i < len(hookAndRule); i += 2 {
		chains[hookAndRule[i]] += hookAndRule[i+1] + "\n"
	}
	text := "table inet td {\n"
	for hook, body := range chains {
		text += fmt.Sprintf("chain %s { type filter hook %s priority 0\n%s}\n", hook, hook, body)
	}
	cmd := exec.Command(where[0], in(where[1:], "nft", "-f", "-")...)
	cmd.Stdin = strings.NewReader(text + "}\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s%s", err, out, text)
	}
}

// result is what a command wrote, and its exit code.
type result struct {
	out  string
	code int
}

// together runs commands that mostly wait at the same time.
func together(n int, run func(i int) (string, int)) []result {
	results := make([]result, n)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() { results[i].out, results[i].code = run(i) })
	}
	wg.Wait()
	return results
}
