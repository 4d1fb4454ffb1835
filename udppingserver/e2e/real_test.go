//go:build unix

package e2e

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pythonClient is the lab's client as a student writes it.
const pythonClient = `
import sys, time
from socket import *
clientSocket = socket(AF_INET, SOCK_DGRAM)
clientSocket.settimeout(1)
for sequence in range(1, 11):
    start = time.time()
    message = 'Ping %d %f' % (sequence, start)
    clientSocket.sendto(message.encode(), (sys.argv[1], int(sys.argv[2])))
    try:
        reply, server = clientSocket.recvfrom(1024)
        assert reply == message.upper().encode(), reply
        print('Sequence %d: Reply from %s    RTT = %.3fs' % (sequence, server[0], time.time() - start))
    except timeout:
        print('Sequence %d: Request timed out' % sequence)
`

func TestPythonLabClient(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("TOPDOWN_REQUIRE_REAL") == "1" {
			t.Fatal("python3 is not installed")
		}
		t.Skip("python3 is not installed")
	}
	stdout, _, stop := program(t, "--seed", "1", "127.0.0.1:0")
	host, port, _ := strings.Cut(stdout.await(t, readyLine), ":")
	out, err := exec.Command(python, "-c", pythonClient, host, port).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	fates := ""
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "timed out") {
			fates += "x"
		} else if strings.Contains(line, "Reply from 127.0.0.1    RTT = ") {
			fates += "."
		}
	}
	if want := "x.x.x....x"; fates != want { // seed 1
		t.Errorf("fates %s, want %s\n%s", fates, want, out)
	}
	stop()
	if !strings.Contains(stdout.String(), "        10         6                   4") {
		t.Errorf("statistics:\n%s", stdout)
	}
}

// The binary, alone in an empty environment, as somebody else's script
// starts it: with a port, and a signal at the end.
func TestBinaryAlone(t *testing.T) {
	for _, end := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		var out output
		cmd := exec.Command(binary, "--loss", "0", "0")
		cmd.Env = []string{}
		cmd.Dir = t.TempDir()
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		port := out.await(t, `on \S+:(\d+),`)
		if got := exchange(t, "udp", "127.0.0.1:"+port, "ping"); got != "PING" {
			t.Errorf("%q", got)
		}
		if err := cmd.Process.Signal(syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		out.await(t, `all UDP +1 +1 +0`)
		if err := cmd.Process.Signal(end); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("%v: %v\n%s", end, err, &out)
			}
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			t.Errorf("%v does not end it within 5 s", end)
		}
	}
}
