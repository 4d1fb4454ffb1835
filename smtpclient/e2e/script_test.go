package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A scripted server plays one connection line by line:
//
//	S text      send the text and CRLF
//	RAW "text"  send exactly this
//	C prefix    read a line, which must begin so
//	DATA        read a message up to its dot
//	BLOCK n     read n bytes of content
//	DRIP text   send one byte every 50 ms
//	FLOOD "x"   send this until the client goes away
//	TLS         make the handshake
//	CLOSE       close (FIN)
//	RESET       close (RST)
//	STALL       read nothing until the test ends
//	HANG        say nothing until the client goes away
type scripted struct {
	addr string

	mu      sync.Mutex
	lines   []string // what the client said
	message string   // what it sent after DATA
	flooded int64
	failure string
	done    chan struct{}
	stop    chan struct{}
}

func play(t *testing.T, config *tls.Config, script string) *scripted {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &scripted{addr: ln.Addr().String(), done: make(chan struct{}), stop: make(chan struct{})}
	t.Cleanup(func() {
		ln.Close()
		close(s.stop)
		<-s.done
	})
	go func() {
		defer close(s.done)
		for { // the script is the same for every connection
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.connection(c, config, script)
		}
	}()
	return s
}

func (s *scripted) connection(c net.Conn, config *tls.Config, script string) {
	defer func() { c.Close() }()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	r := bufio.NewReader(c)
	for step := range strings.Lines(script) {
		verb, rest, _ := strings.Cut(strings.TrimSpace(step), " ")
		var err error
		switch verb {
		case "":
		case "S":
			_, err = c.Write([]byte(rest + "\r\n"))
		case "RAW":
			var text string
			if text, err = strconv.Unquote(rest); err == nil {
				_, err = c.Write([]byte(text))
			}
		case "C":
			var line string
			line, err = r.ReadString('\n')
			line = strings.TrimRight(line, "\r\n")
			s.mu.Lock()
			if line != "" {
				s.lines = append(s.lines, line)
			}
			if err == nil && !strings.HasPrefix(line, rest) {
				s.failure = "the client said " + strconv.Quote(line) + " instead of " + rest
			}
			s.mu.Unlock()
		case "DATA":
			var b bytes.Buffer
			for err == nil {
				var line string
				if line, err = r.ReadString('\n'); line == ".\r\n" {
					break
				}
				b.WriteString(line)
			}
			s.mu.Lock()
			s.message = b.String()
			s.mu.Unlock()
		case "BLOCK":
			n, _ := strconv.Atoi(rest)
			_, err = r.Discard(n)
		case "DRIP":
			for i := 0; i < len(rest) && err == nil; i++ {
				_, err = c.Write([]byte{rest[i]})
				time.Sleep(50 * time.Millisecond)
			}
		case "FLOOD":
			text, _ := strconv.Unquote(rest)
			block := bytes.Repeat([]byte(text), 1+4096/len(text))
			for err == nil {
				var n int
				n, err = c.Write(block)
				s.mu.Lock()
				s.flooded += int64(n)
				s.mu.Unlock()
			}
		case "TLS":
			secure := tls.Server(c, config)
			if err = secure.HandshakeContext(context.Background()); err == nil {
				c, r = secure, bufio.NewReader(secure)
			}
		case "CLOSE":
			return
		case "RESET":
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
			return
		case "STALL":
			<-s.stop
			return
		case "HANG":
			for err == nil {
				_, err = r.ReadByte()
			}
		default:
			panic("unknown step " + verb)
		}
		if err != nil {
			return
		}
	}
	// The client may still say QUIT.
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		s.mu.Lock()
		s.lines = append(s.lines, strings.TrimRight(line, "\r\n"))
		s.mu.Unlock()
		if strings.HasPrefix(line, "QUIT") {
			_, _ = c.Write([]byte("221 bye\r\n"))
			return
		}
		_, _ = c.Write([]byte("250 ok\r\n"))
	}
}

// said returns the commands that the server has seen, verbs only.
func (s *scripted) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	verbs := make([]string, len(s.lines))
	for i, line := range s.lines {
		verbs[i], _, _ = strings.Cut(line, " ")
	}
	return strings.Join(verbs, " ")
}

// program runs the program and returns what it did.
func program(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	return programWith(t, "", args...)
}

func programWith(t *testing.T, in string, args ...string) (code int, out, errOut string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in), &stdout, &stderr
	err := cmd.Run()
	return exitCode(err), stdout.String(), stderr.String()
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
