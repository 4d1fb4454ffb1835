// Package capturetest tells tests when pings really passed, by tcpdump: a witness
// that knows nothing of this program.
package capturetest

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Packet is a ping, or the reply to one.
type Packet struct {
	At    int64 // when it passed, ns since 1970
	Reply bool
	Seq   uint64
	Run   string // the run's nonce, if it has one
}

// Parse reads the text of a ping.
func Parse(message []byte) (p Packet, ok bool) {
	words := strings.SplitN(string(message), " ", 6)
	if len(words) < 3 || !strings.EqualFold(words[0], "ping") {
		return p, false
	}
	seq, err := strconv.ParseUint(words[1], 10, 64)
	p.Seq = seq
	if len(words) == 6 && words[3] == "TD1" {
		p.Run = words[4]
	}
	return p, err == nil
}

// Capture is a tcpdump that is running.
type Capture struct {
	port int
	file string
	said lines
}

// Start captures the packets from and to a UDP port that pass a device, until the
// test ends. A command begins with where, as in "ip netns exec NAME". Without
// tcpdump, or the right to run it, missing ends the test.
func Start(t *testing.T, missing func(format string, args ...any), where []string, device string, port int) *Capture {
	t.Helper()
	if _, err := exec.LookPath("tcpdump"); err != nil {
		missing("tcpdump is not installed")
	}
	c := &Capture{port: port, file: filepath.Join(t.TempDir(), "capture")}
	file, err := os.Create(c.file)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	args := append(slices.Clone(where), "tcpdump", "-i", device, "-n", "-U", "-s", "128", "-B", "65536",
		"--time-stamp-precision=nano", "-w", "-", "udp port "+strconv.Itoa(port))
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = file, &c.said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	for !strings.Contains(c.said.String(), "listening on") {
		select {
		case <-ended:
			missing("tcpdump: %s", c.said.String()) // it needs root
		case <-time.After(10 * time.Millisecond):
		}
	}
	return c
}

// Until waits for a certain packet and returns all.
func (c *Capture) Until(t *testing.T, last func(Packet) bool) []Packet {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if packets := c.read(t); slices.ContainsFunc(packets, last) {
			return packets
		}
		if time.Now().After(deadline) {
			t.Fatalf("the capture lacks a packet: %s", c.said.String())
		}
	}
}

// read reads what there is of the file: pcap with nanoseconds, Ethernet, IPv4.
func (c *Capture) read(t *testing.T) (packets []Packet) {
	t.Helper()
	file, err := os.ReadFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	if len(file) < 24 {
		return nil
	}
	if magic := binary.LittleEndian.Uint32(file); magic != 0xA1B23C4D {
		t.Fatalf("a capture with the magic %#x", magic)
	}
	const head, udp, text = 16, 16 + 14 + 20, 16 + 14 + 20 + 8
	for rest := file[24:]; len(rest) >= head; {
		size := head + int(binary.LittleEndian.Uint32(rest[8:]))
		if size > len(rest) {
			break // it is being written
		}
		if size >= text {
			if p, ok := Parse(rest[text:size]); ok {
				p.At = int64(binary.LittleEndian.Uint32(rest))*1e9 + int64(binary.LittleEndian.Uint32(rest[4:]))
				p.Reply = int(binary.BigEndian.Uint16(rest[udp:])) == c.port
				packets = append(packets, p)
			}
		}
		rest = rest[size:]
	}
	return packets
}

// lines is a buffer that is written to and read at the same time.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
