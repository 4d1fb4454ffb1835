package smtpclient

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"topdown/scripts/grade/internal/sandbox"
	"topdown/scripts/grade/internal/submission"
	"topdown/scripts/grade/internal/transcript"
)

// Steps of the dialogue, in their order.
const (
	greeting = "greeting"
	hello    = "EHLO"
	mailFrom = "MAIL"
	rcptTo   = "RCPT"
	data     = "DATA"
	end      = "end of data"
)

// A script is how the server behaves in one run.
type script struct {
	failAt   string // this step is refused …
	failCode int    // … with this code
	many     bool   // replies of several lines, and bytes one by one
	tls      *tls.Config
	auth     bool
	body     string
	command  string // which command line; empty: the main one
}

// A command is one that came, with its line end.
type command struct {
	verb  string
	line  string
	early bool // it came before the reply to what was before it was sent
	tls   bool
}

// A session is what happened in one run.
type session struct {
	script script
	log    *transcript.Log
	proc   *sandbox.Process
	err    error
	done   chan struct{}
	key    string

	mu            sync.Mutex
	connected     bool
	commands      []command
	earlyGreeting bool
	earlyMessage  bool
	message       []byte // with dots still doubled, without the last line
	hasMessage    bool
	accepted      bool
	badEnd        string // what stood in the place of CRLF . CRLF
	quitEarly     bool   // the client closed before it could have read 221
	quit          bool
	users         []string
	passwords     []string
	ehlos         []bool // for each EHLO or HELO, whether it was inside TLS
}

// token is the word in the reply to a step, by which it is found in the output.
func (s *session) token(step string) string {
	return strings.ReplaceAll(strings.ToLower(step), " ", "-") + "-" + s.key
}

// peer is the client's side of a connection: bytes are taken as they come, so that
// it is seen whether some came too early.
type peer struct {
	conn net.Conn
	mu   sync.Mutex
	buf  []byte
	eof  bool
	news chan struct{}
}

func newPeer(conn net.Conn) *peer {
	p := &peer{conn: conn, news: make(chan struct{}, 1)}
	go func() {
		b := make([]byte, 32<<10)
		for {
			n, err := conn.Read(b)
			p.mu.Lock()
			if len(p.buf) < 4<<20 {
				p.buf = append(p.buf, b[:n]...)
			}
			p.eof = p.eof || err != nil
			p.mu.Unlock()
			select {
			case p.news <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	}()
	return p
}

// pending reports whether bytes have come that were not taken yet, and whether the
// client has closed.
func (p *peer) pending() (some, eof bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.buf) > 0, p.eof
}

// line takes a line with its line end. It ends early when the client closes or
// nothing comes for the time given.
func (p *peer) line(wait time.Duration) (string, bool) {
	deadline := time.After(submission.Unhurried(wait))
	for {
		p.mu.Lock()
		if i := bytes.IndexByte(p.buf, '\n'); i >= 0 {
			text := string(p.buf[:i+1])
			p.buf = p.buf[i+1:]
			p.mu.Unlock()
			return text, true
		}
		eof := p.eof
		p.mu.Unlock()
		if eof {
			return "", false
		}
		select {
		case <-p.news:
		case <-deadline:
			return "", false
		}
	}
}

// rest takes what came of a line that has no end.
func (p *peer) rest() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := string(p.buf)
	p.buf = nil
	return text
}

// How long the server is silent before it replies: whoever does not wait is seen.
const (
	beforeGreeting = 300 * time.Millisecond
	beforeReply    = 50 * time.Millisecond
	before221      = 300 * time.Millisecond
	idle           = 4 * time.Second // a client that sends nothing more
)

// serve holds the dialogue.
func (s *session) serve(raw net.Conn) {
	defer raw.Close()
	s.connected = true
	wrapped := s.log.Wrap(raw, "")
	p := newPeer(wrapped)
	inTLS, early := false, false

	reply := func(step string, code int, text string) {
		line := fmt.Sprintf("%d %s %s", code, s.token(step), text)
		if !s.script.many {
			fmt.Fprintf(p.conn, "%s\r\n", line)
			return
		}
		// Several lines, each on its own; then the last one byte by byte.
		if code != 354 && code != 221 {
			for i := range 2 {
				fmt.Fprintf(p.conn, "%d-%s line %d\r\n", code, s.token(step), i+1)
				time.Sleep(20 * time.Millisecond)
			}
		}
		for i := range len(line) + 1 {
			time.Sleep(3 * time.Millisecond)
			if some, _ := p.pending(); some {
				early = true
			}
			piece := "\r\n" // in one piece: some line readers take a CR alone for the end
			if i < len(line) {
				piece = line[i : i+1]
			}
			_, _ = p.conn.Write([]byte(piece))
		}
	}
	// answer waits a moment, notes whether the client did not, and replies, or
	// refuses if the script says so.
	answer := func(step string, code int, text string) bool {
		time.Sleep(beforeReply)
		some, _ := p.pending()
		early = some
		if s.script.failAt == step {
			reply(step, s.script.failCode, "refused")
			return false
		}
		reply(step, code, text)
		return true
	}

	time.Sleep(beforeGreeting)
	some, _ := p.pending()
	s.earlyGreeting = some
	if s.script.failAt == greeting {
		reply(greeting, s.script.failCode, "no service")
	} else {
		reply(greeting, 220, "grade.test ESMTP ready")
	}
	early = false // that is for "waits"
	for range 200 {
		line, ok := p.line(idle)
		if !ok {
			if rest := p.rest(); rest != "" {
				s.add(command{verb: verbOf(rest), line: rest, early: early, tls: inTLS})
			}
			return
		}
		verb := verbOf(line)
		s.add(command{verb: verb, line: line, early: early, tls: inTLS})
		early = false
		switch verb {
		case "EHLO", "HELO":
			s.ehlos = append(s.ehlos, inTLS)
			extra := ""
			if verb == "EHLO" && s.script.failAt != hello {
				if s.script.tls != nil && !inTLS {
					extra += fmt.Sprintf("250-%s\r\n250-STARTTLS\r\n", s.token("offer"))
				}
				if s.script.auth {
					extra += fmt.Sprintf("250-%s\r\n250-AUTH LOGIN\r\n", s.token("offer"))
				}
			}
			if extra != "" {
				time.Sleep(beforeReply)
				fmt.Fprintf(p.conn, "%s250 %s\r\n", extra, s.token(hello))
				continue
			}
			answer(hello, 250, "pleased to meet you")
		case "STARTTLS":
			if s.script.tls == nil || inTLS {
				fmt.Fprint(p.conn, "502 no TLS here\r\n")
				continue
			}
			fmt.Fprint(p.conn, "220 begin TLS\r\n")
			if !s.startTLS(p) {
				return
			}
			inTLS = true
			p = newPeer(s.log.Wrap(p.conn, "in TLS"))
		case "AUTH":
			if !s.login(p, line) {
				return
			}
		case mailFrom:
			answer(mailFrom, 250, "sender accepted")
		case rcptTo:
			answer(rcptTo, 250, "recipient accepted")
		case data:
			ok := answer(data, 354, "end with a dot on a line of its own")
			s.earlyMessage = s.earlyMessage || early
			early = false
			if ok {
				s.receive(p)
				s.accepted = answer(end, 250, "message accepted")
			}
		case "QUIT":
			s.quit = true
			// A client that does not wait for 221 closes now, or ends.
			for begin := time.Now(); time.Since(begin) < before221; time.Sleep(5 * time.Millisecond) {
				if _, eof := p.pending(); eof {
					s.quitEarly = true
					s.log.Notef("the client closed before the reply to QUIT")
					return
				}
			}
			reply("QUIT", 221, "goodbye")
			time.Sleep(20 * time.Millisecond)
			return
		case "RSET", "NOOP":
			answer(verb, 250, "ok")
		default:
			answer("unknown", 500, "no such command")
		}
	}
}

func (s *session) add(c command) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commands = append(s.commands, c)
}

func verbOf(line string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
	word, _, _ = strings.Cut(word, ":")
	return strings.ToUpper(strings.TrimSpace(word))
}

// receive takes the message up to the line with the dot.
func (s *session) receive(p *peer) {
	s.hasMessage = true
	for len(s.message) < 4<<20 {
		line, ok := p.line(2500 * time.Millisecond)
		if !ok {
			s.message = append(s.message, p.rest()...)
			s.badEnd = "no line with a lone dot came"
			return
		}
		switch line {
		case ".\r\n":
			if n := len(s.message); n > 0 && !bytes.HasSuffix(s.message, []byte("\r\n")) {
				s.badEnd = fmt.Sprintf("the line before the dot ends with %q", tail(s.message))
			}
			return
		case ".\n":
			s.badEnd = `the dot's line ends with \n instead of \r\n`
			return
		}
		if strings.TrimSpace(line) == "." {
			s.badEnd = fmt.Sprintf("the last line is %q", line)
			return
		}
		s.message = append(s.message, line...)
	}
}

func tail(b []byte) []byte { return b[max(0, len(b)-4):] }

// startTLS does the server's part of the handshake on the connection of p, whose
// reader must hand over.
func (s *session) startTLS(p *peer) bool {
	raw := p.conn.(*transcript.Conn).Conn // TLS records say nothing to a reader
	conn := tls.Server(&pumped{raw, p}, s.script.tls)
	_ = raw.SetDeadline(time.Now().Add(limit))
	if err := conn.Handshake(); err != nil {
		s.log.Notef("TLS: %v", err)
		return false
	}
	s.log.Notef("TLS: the handshake is done")
	p.conn = conn
	return true
}

// pumped is a connection whose bytes a peer's reader has already in hand.
type pumped struct {
	net.Conn

	p *peer
}

// Read implements io.Reader.
func (c *pumped) Read(b []byte) (int, error) {
	deadline := time.After(limit)
	for {
		c.p.mu.Lock()
		if len(c.p.buf) > 0 {
			n := copy(b, c.p.buf)
			c.p.buf = c.p.buf[n:]
			c.p.mu.Unlock()
			return n, nil
		}
		eof := c.p.eof
		c.p.mu.Unlock()
		if eof {
			return 0, io.EOF
		}
		select {
		case <-c.p.news:
		case <-deadline:
			return 0, io.ErrUnexpectedEOF
		}
	}
}

// login holds the dialogue of AUTH LOGIN.
func (s *session) login(p *peer, line string) bool {
	words := strings.Fields(line)
	if !s.script.auth || len(words) < 2 || !strings.EqualFold(words[1], "LOGIN") {
		fmt.Fprint(p.conn, "504 only LOGIN is known here\r\n")
		return true
	}
	ask := func(prompt string) (string, bool) {
		fmt.Fprintf(p.conn, "334 %s\r\n", base64.StdEncoding.EncodeToString([]byte(prompt)))
		return p.line(idle)
	}
	user, ok := "", true
	if len(words) > 2 {
		user = words[2]
	} else {
		user, ok = ask("Username:")
	}
	if !ok {
		return false
	}
	password, ok := ask("Password:")
	if !ok {
		return false
	}
	s.mu.Lock()
	s.users, s.passwords = append(s.users, strings.TrimSpace(user)), append(s.passwords, strings.TrimSpace(password))
	s.mu.Unlock()
	fmt.Fprintf(p.conn, "235 %s\r\n", s.token("welcome"))
	return true
}

// unstuff takes the doubled dots away (RFC 5321, 4.5.2).
func unstuff(message []byte) []byte {
	var out []byte
	r := bufio.NewReader(bytes.NewReader(message))
	for {
		line, err := r.ReadBytes('\n')
		if len(line) > 0 && line[0] == '.' {
			line = line[1:]
		}
		out = append(out, line...)
		if err != nil {
			return out
		}
	}
}
