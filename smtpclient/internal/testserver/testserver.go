// Package testserver is a small mail server for a first mail without an
// account, and for this lab's tests: SMTP in, POP3 out, everything in memory.
//
// It is not a mail server for anything else: it refuses to listen beyond
// loopback, it relays nothing, and it forgets all when it ends. Recipients
// whose name starts with "reject" or "defer" are answered 550 and 450, so that
// the two kinds of refusal can be seen.
package testserver

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// Bounds of the server.
const (
	maxMessage  = 64 << 20
	maxTotal    = 256 << 20
	maxConns    = 100
	maxCommand  = 16 << 10
	idleTimeout = 5 * time.Minute
)

// A Mail is one message in a mailbox.
type Mail struct {
	From string
	To   string // the mailbox, lower case
	Data []byte // canonical, dots undone
	uid  int
}

// A Server holds the mailboxes.
type Server struct {
	// Password opens every mailbox over POP3 and answers AUTH.
	Password string
	// TLS, if not nil, makes STARTTLS and STLS available.
	TLS *tls.Config
	// Delivered, if not nil, is told of each mail as it is accepted.
	Delivered func(Mail)
	// Log, if not nil, is told of each SMTP session, and can switch faults on.
	Log *Log
	// Discard keeps no mail, for measurements.
	Discard bool

	mu     sync.Mutex
	boxes  map[string][]Mail
	locked map[string]bool
	total  int
	uid    int
}

// ErrNotLoopback says that an address can be reached from other machines.
var ErrNotLoopback = errors.New("it is no loopback address: this server is for tests on one machine")

// Listen binds addr, which must be on loopback.
func Listen(addr string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("%s: %w", addr, ErrNotLoopback)
	}
	return net.Listen("tcp", addr)
}

// Serve answers SMTP on smtp and POP3 on pop3 (which may be nil) until ctx ends.
func (s *Server) Serve(ctx context.Context, smtp, pop3 net.Listener) error {
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i, ln := range []net.Listener{smtp, pop3} {
		if ln == nil {
			continue
		}
		handle := []func(*conn){s.smtp, s.pop3}[i]
		wg.Go(func() { errs[i] = s.accept(ctx, ln, handle) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (s *Server) accept(ctx context.Context, ln net.Listener, handle func(*conn)) error {
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, maxConns)
	for {
		slots <- struct{}{}
		c, err := ln.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		wg.Go(func() {
			defer func() { <-slots }()
			defer c.Close()
			stop := context.AfterFunc(ctx, func() { c.Close() })
			defer stop()
			handle(newConn(c, ctx.Done()))
		})
	}
}

// Mails returns what a mailbox holds.
func (s *Server) Mails(address string) []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.boxes[strings.ToLower(address)])
}

// deliver puts a message in each mailbox; false means that there is no room.
func (s *Server) deliver(from string, to []string, data []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total+len(data)*len(to) > maxTotal {
		return false
	}
	if s.boxes == nil {
		s.boxes = make(map[string][]Mail)
	}
	for _, rcpt := range to {
		s.uid++
		mail := Mail{From: from, To: strings.ToLower(rcpt), Data: data, uid: s.uid}
		if !s.Discard {
			s.total += len(data)
			s.boxes[mail.To] = append(s.boxes[mail.To], mail)
		}
		if s.Delivered != nil {
			s.Delivered(mail)
		}
	}
	return true
}

// open locks the mailbox of a user, who may leave out the domain if no other
// mailbox has the same name.
func (s *Server) open(user string) (box string, mails []Mail, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	box = strings.ToLower(user)
	if !strings.Contains(box, "@") {
		var found []string
		for name := range s.boxes {
			if local, _, _ := strings.Cut(name, "@"); local == box {
				found = append(found, name)
			}
		}
		if len(found) == 1 {
			box = found[0]
		}
	}
	if s.locked[box] {
		return box, nil, false
	}
	if s.locked == nil {
		s.locked = make(map[string]bool)
	}
	s.locked[box] = true
	return box, slices.Clone(s.boxes[box]), true
}

// release unlocks a mailbox and removes the mails with the given uids.
func (s *Server) release(box string, remove map[int]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.locked, box)
	if len(remove) == 0 {
		return
	}
	s.boxes[box] = slices.DeleteFunc(s.boxes[box], func(m Mail) bool {
		if remove[m.uid] {
			s.total -= len(m.Data)
		}
		return remove[m.uid]
	})
}

// conn is a connection that speaks in lines.
type conn struct {
	net.Conn
	r      *bufio.Reader
	w      *bufio.Writer
	done   <-chan struct{} // the server ends
	log    *Log            // may switch faults on
	record *recorder
	hidden bool // what the client says now is secret
}

func newConn(c net.Conn, done <-chan struct{}) *conn {
	return &conn{Conn: c, r: bufio.NewReaderSize(c, maxCommand), w: bufio.NewWriter(c), done: done}
}

// reply buffers a line; what is buffered leaves before the next wait for input.
func (c *conn) reply(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	c.record.line(false, line)
	c.w.WriteString(line + "\r\n") //nolint:errcheck // flush reports it
}

// flush sends what is buffered, after a while if the server is to be slow.
func (c *conn) flush() error {
	if c.w.Buffered() > 0 && c.log.Fault() == Slow {
		select {
		case <-time.After(slowness):
		case <-c.done:
		}
	}
	return c.w.Flush()
}

// line reads a command.
func (c *conn) line() (string, error) {
	if c.r.Buffered() == 0 {
		if err := c.flush(); err != nil {
			return "", err
		}
	}
	if err := c.SetDeadline(time.Now().Add(idleTimeout)); err != nil {
		return "", err
	}
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	text := strings.TrimRight(string(line), "\r\n")
	if c.hidden {
		c.record.line(true, "****")
	} else {
		c.record.line(true, text)
	}
	return text, nil
}

// secure continues in TLS.
func (c *conn) secure(config *tls.Config) error {
	if err := c.flush(); err != nil {
		return err
	}
	if c.r.Buffered() > 0 {
		return errors.New("data before the TLS handshake")
	}
	t := tls.Server(c.Conn, config)
	if err := t.Handshake(); err != nil {
		return err
	}
	c.Conn = t
	c.r.Reset(t)
	c.w.Reset(t)
	return nil
}
