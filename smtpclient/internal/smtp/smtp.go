// Package smtp is the dialogue of a mail client with a mail server, written on
// a socket: 220, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, the dot, QUIT, in this
// file in this order.
//
// It follows RFC 5321 and the extensions STARTTLS (RFC 3207), AUTH (RFC 4954),
// PIPELINING (RFC 2920), SIZE (RFC 1870), 8BITMIME (RFC 6152), SMTPUTF8
// (RFC 6531), DSN (RFC 3461), CHUNKING (RFC 3030) and enhanced status codes
// (RFC 2034). It refuses to send a password over a readable link, to believe
// anything said before TLS, to let a line end or a NUL into a command, to pass
// on a message whose line ends are not CRLF, and to call a mail lost or
// delivered when it cannot know.
package smtp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"topdown/smtpclient/internal/crlf"
	"topdown/smtpclient/internal/sasl"
	"topdown/smtpclient/internal/session"
)

// The timeouts of RFC 5321 section 4.5.3.2.
const (
	greetingTimeout = 5 * time.Minute
	commandTimeout  = 5 * time.Minute
	dataTimeout     = 2 * time.Minute
	blockTimeout    = 3 * time.Minute
	dotTimeout      = 10 * time.Minute
	quitTimeout     = 30 * time.Second // ours: the mail is delivered by then
)

// A Session is one connection to a server, from greeting to QUIT. It is not for
// use by several goroutines.
type Session struct {
	// Extensions maps the keywords of the EHLO reply, upper case, to their
	// parameters. It is empty if the server only knows HELO.
	Extensions map[string]string
	// Chunking makes Send use BDAT instead of DATA where the server offers it.
	Chunking bool

	conn  *session.Conn
	name  string        // what we call ourselves in EHLO
	limit time.Duration // for each mail
}

// Step 1: the server speaks first: "220 mail.example.com ESMTP" (RFC 5321
// section 3.1).
func (s *Session) greet() error {
	s.conn.Greeting(greetingTimeout)
	_, err := s.expect("greeting", 220)
	return s.conn.Hint(err)
}

// Step 2: EHLO says who we are and asks what the server can do; a server too
// old to know it gets HELO (RFC 5321 section 4.1.1.1).
func (s *Session) hello() error {
	s.Extensions = nil
	reply, err := s.command("EHLO", 250, "EHLO "+s.name)
	if wrong, ok := errors.AsType[*ReplyError](err); ok && wrong.Reply.Permanent() {
		_, err = s.command("HELO", 250, "HELO "+s.name)
		return err
	}
	if err != nil {
		return err
	}
	s.Extensions = make(map[string]string)
	for _, line := range reply.Lines[1:] {
		keyword, parameters, _ := strings.Cut(line, " ")
		s.Extensions[strings.ToUpper(keyword)] = parameters
	}
	return nil
}

// Step 3 (optional): STARTTLS asks for encryption. After the 220 both ends
// speak TLS, and what EHLO said before is forgotten and asked again, for anybody
// on the way could have written it (RFC 3207 section 4.2).
func (s *Session) startTLS(ctx context.Context) error {
	if _, err := s.command("STARTTLS", 220, "STARTTLS"); err != nil {
		return err
	}
	if err := s.conn.Secure(ctx); err != nil {
		return err
	}
	return s.hello()
}

// Step 4 (optional): AUTH says who pays for the mail, by one of the mechanisms
// that EHLO listed (RFC 4954). No byte of the exchange is shown to the watcher.
func (s *Session) authenticate(m sasl.Mechanism) error {
	return s.conn.Authenticate(m, &session.Exchange{Longest: 510, Empty: "=", Timeout: commandTimeout, Answer: func() (string, bool, error) {
		reply, err := s.readReply(secret)
		switch {
		case err != nil:
			return "", false, s.conn.Lost("AUTH", err)
		case reply.Code == 334:
			return reply.Lines[0], true, nil
		case reply.Code == 235:
			return "", false, nil
		}
		return "", false, &session.AuthError{Mechanism: m.Name(), Err: s.wrong("AUTH "+m.Name(), 235, reply)}
	}})
}

// secret is how a reply inside AUTH is shown: a challenge as its code.
func secret(line string) string {
	if strings.HasPrefix(line, "334") {
		return "334 " + session.Hidden
	}
	return line
}

// Step 5: MAIL FROM names the sender, to whom bounces go (RFC 5321 section
// 4.1.1.2).
func mailLine(env *Envelope, size int64, extensions map[string]string, eightBit, utf8 bool) string {
	line := "MAIL FROM:<" + env.From + ">"
	has := func(keyword string) bool { _, ok := extensions[keyword]; return ok }
	if has("SIZE") {
		line += fmt.Sprintf(" SIZE=%d", size)
	}
	if eightBit && has("8BITMIME") {
		line += " BODY=8BITMIME"
	}
	if utf8 && has("SMTPUTF8") {
		line += " SMTPUTF8"
	}
	if has("DSN") {
		if env.Return != "" {
			line += " RET=" + env.Return
		}
	}
	return line
}

// Step 6: RCPT TO names one recipient, once for each (RFC 5321 section 4.1.1.3).
func rcptLine(env *Envelope, to string, extensions map[string]string) string {
	line := "RCPT TO:<" + to + ">"
	if _, ok := extensions["DSN"]; ok && env.Notify != "" {
		line += " NOTIFY=" + env.Notify
		if ascii(to) {
			line += " ORCPT=rfc822;" + xtext(to)
		}
	}
	return line
}

// Step 7: DATA asks for the floor, 354 grants it (RFC 5321 section 4.1.1.4).
// Step 8: the message follows, and a dot alone on a line ends it. The reply to
// the dot is the moment at which the server becomes responsible.
func (s *Session) content(m Message) (Reply, error) {
	s.conn.Begin("message", blockTimeout)
	s.conn.Emit(session.Note, fmt.Sprintf("%d bytes of message", m.Size()))
	out := &blocks{s: s}
	body := crlf.NewDotWriter(out)
	if _, err := m.WriteTo(body); err != nil {
		return out.stopped(err)
	}
	if err := body.Close(); err != nil {
		return out.stopped(err)
	}
	s.conn.Step("dot")
	s.conn.Emit(session.Client, ".")
	if err := out.last(".\r\n"); err != nil {
		return out.stopped(err) // the dot has not left us: nothing is delivered
	}
	return s.finalReply(out)
}

// finalReply reads the reply after the last byte of a message.
func (s *Session) finalReply(out *blocks) (Reply, error) {
	s.conn.Extend(dotTimeout)
	var reply Reply
	err := out.await()
	if err == nil {
		reply, err = s.readReply(asItIs)
	}
	switch {
	case err != nil:
		s.conn.Break()
		return Reply{}, &UncertainError{err}
	case reply.Code/100 == 3:
		s.conn.Break()
		return Reply{}, &UncertainError{fmt.Errorf("%w: %q", ErrProtocol, clip(s.conn.Mask.Hide(reply.String())))}
	case !reply.Positive():
		return reply, s.wrong("end of message", 250, reply)
	}
	return reply, nil
}

// Quit is step 9: QUIT, and wait for 221: the connection is closed by agreement
// (RFC 5321 section 4.1.1.10). A session that has failed is only closed.
func (s *Session) Quit() error {
	defer s.Close()
	if s.conn.Broken() {
		return nil
	}
	s.conn.Limit = time.Time{}
	s.conn.Begin("QUIT", quitTimeout)
	if err := s.put("QUIT"); err != nil {
		return err
	}
	if err := s.conn.Flush(); err != nil {
		return fmt.Errorf("QUIT: %w", err)
	}
	_, err := s.expect("QUIT", 221)
	return err
}

// Close drops the connection without a word.
func (s *Session) Close() { s.conn.Close() }

// Usable tells whether another mail can be sent over this session.
func (s *Session) Usable() bool { return !s.conn.Broken() }

// Reset gives up a half-made transaction (RFC 5321 section 4.1.1.5).
func (s *Session) Reset() error {
	_, err := s.command("RSET", 250, "RSET")
	return err
}

// RemoteAddr is the address of the server that answered.
func (s *Session) RemoteAddr() net.Addr { return s.conn.RemoteAddr() }

// put buffers a command line.
func (s *Session) put(line string) error {
	if err := s.conn.Send(line); err != nil {
		return s.conn.Lost(line, err)
	}
	return nil
}

// command sends one line and reads its reply, which must have the code want.
func (s *Session) command(step string, want int, line string) (Reply, error) {
	if err := s.conn.Command(step, line, commandTimeout); err != nil {
		return Reply{}, err
	}
	return s.expect(line, want)
}

// expect reads a reply and compares its code.
func (s *Session) expect(line string, want int) (Reply, error) {
	reply, err := s.readReply(asItIs)
	if err != nil {
		return Reply{}, s.conn.Lost(line, err)
	}
	if reply.Code != want && (want != 250 || reply.Code != 251 && reply.Code != 252) {
		return reply, s.wrong(line, want, reply)
	}
	return reply, nil
}

func asItIs(line string) string { return line }

// readReply reads a reply, of which the watcher sees each line as show makes it.
func (s *Session) readReply(show func(string) string) (Reply, error) {
	return readReply(s.conn, s.conn.Mask, func(line string) { s.conn.Emit(session.Server, show(line)) })
}

// wrong makes the error for an unexpected reply. After a 421 the server closes
// the connection (RFC 5321 section 3.8).
func (s *Session) wrong(step string, want int, reply Reply) error {
	if reply.Code == 421 {
		s.conn.Break()
	}
	s.conn.Emit(session.Verdict, fmt.Sprintf("%d reply not received from server.", want)) // the lab's words
	for i, line := range reply.Lines {
		reply.Lines[i] = s.conn.Mask.Hide(line)
	}
	return &ReplyError{Step: step, Want: want, Reply: reply}
}
