// Package pop3 is the dialogue that fetches mail: +OK, CAPA, STLS, USER and
// PASS or AUTH, STAT, LIST, UIDL, RETR, DELE, QUIT, in this file in this order.
//
// It follows RFC 1939, CAPA (RFC 2449), STLS (RFC 2595) and AUTH (RFC 5034). A
// message streams to its reader and is never held whole. It refuses to send a
// password over a readable link, and a message much longer than the server
// announced.
package pop3

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"topdown/smtpclient/internal/sasl"
	"topdown/smtpclient/internal/session"
)

// ImplicitPort is where TLS comes before the greeting (RFC 8314 section 3.2).
const ImplicitPort = "995"

const (
	commandTimeout = 2 * time.Minute
	blockTimeout   = 3 * time.Minute
	maxEntries     = 200_000 // of LIST and UIDL
	maxCapas       = 100
)

// A Session is one connection, from greeting to QUIT.
type Session struct {
	conn  *session.Conn
	capas map[string]string
	known bool // CAPA was answered
}

// Dial connects, secures the link and logs in; cfg must have a Login.
func Dial(ctx context.Context, cfg *session.Config) (*Session, error) {
	conn, err := session.Connect(ctx, cfg, ImplicitPort)
	if err != nil {
		return nil, err
	}
	s := &Session{conn: conn}
	if err := s.open(ctx, cfg); err != nil {
		if conn.Broken() {
			s.Close()
		} else if quit := s.Quit(); quit != nil {
			s.Close() // the first error says it all
		}
		return nil, err
	}
	return s, nil
}

func (s *Session) open(ctx context.Context, cfg *session.Config) error {
	if err := s.greet(); err != nil {
		return err
	}
	if err := s.capabilities(); err != nil {
		return err
	}
	_, offered := s.capas["STLS"]
	switch {
	case s.conn.TLS != nil || cfg.TLS == session.None:
	case offered:
		if err := s.startTLS(ctx); err != nil {
			return err
		}
	case cfg.TLS == session.StartTLS:
		return fmt.Errorf("STLS: %w", session.ErrNoTLS)
	}
	if err := s.conn.MayLogIn(); err != nil {
		return err
	}
	return s.login(cfg.Login)
}

// Step 1: the server greets with +OK (RFC 1939 section 4).
func (s *Session) greet() error {
	s.conn.Greeting(commandTimeout)
	_, err := s.reply("greeting")
	return s.conn.Hint(err)
}

// Step 2: CAPA asks what the server can do (RFC 2449 section 5). One that does
// not know the command can do what RFC 1939 says.
func (s *Session) capabilities() error {
	s.capas, s.known = make(map[string]string), false
	if _, err := s.command("CAPA", "CAPA"); err != nil {
		if _, refused := errors.AsType[*Error](err); refused {
			return nil
		}
		return err
	}
	s.known = true
	return s.list("CAPA", maxCapas, func(line string) error {
		name, parameters, _ := strings.Cut(line, " ")
		s.capas[strings.ToUpper(name)] = strings.ToUpper(parameters)
		return nil
	})
}

// Step 3 (optional): STLS asks for encryption; afterwards nothing that was said
// before counts (RFC 2595 section 4).
func (s *Session) startTLS(ctx context.Context) error {
	if _, err := s.command("STLS", "STLS"); err != nil {
		return err
	}
	if err := s.conn.Secure(ctx); err != nil {
		return err
	}
	return s.capabilities()
}

// Step 4: USER and PASS (RFC 1939 section 7), or AUTH where the server offers a
// better mechanism (RFC 5034).
func (s *Session) login(l *session.Login) error {
	offered := strings.Fields(s.capas["SASL"])
	name := strings.ToUpper(l.Mechanism)
	if name == "" {
		name = "USER"
		_, user := s.capas["USER"]
		if best, ok := sasl.Choose(offered); ok && (best != "LOGIN" && best != "PLAIN" || s.known && !user) {
			name = best
		}
	}
	if name != "USER" {
		if l.Mechanism != "" {
			offered = []string{name} // CAPA need not tell all that AUTH knows
		}
		mechanism, err := s.conn.Mechanism(offered)
		if err != nil {
			return err
		}
		return s.authenticate(mechanism)
	}
	if _, err := s.command("USER", "USER "+l.User); err != nil {
		return s.denied("USER", err)
	}
	s.conn.Begin("PASS", commandTimeout)
	if err := s.conn.SendSecret("PASS "+l.Password, "PASS "+session.Hidden); err != nil {
		return s.conn.Lost("PASS", err)
	}
	if err := s.conn.Flush(); err != nil {
		return s.conn.Lost("PASS", err)
	}
	_, err := s.reply("PASS")
	return s.denied("USER and PASS", err)
}

// denied marks a refused login, unless the mailbox is only busy.
func (s *Session) denied(mechanism string, err error) error {
	refused, ok := errors.AsType[*Error](err)
	if !ok || refused.Temporary() {
		return err
	}
	return &session.AuthError{Mechanism: mechanism, Err: err}
}

func (s *Session) authenticate(m sasl.Mechanism) error {
	// A line of at most 255 bytes, CRLF included (RFC 5034 section 4).
	return s.conn.Authenticate(m, &session.Exchange{Longest: 253, Empty: "=", Timeout: commandTimeout, Answer: func() (string, bool, error) {
		answer, err := s.readLine(func(line string) string {
			if strings.HasPrefix(line, "+ ") {
				return "+ " + session.Hidden
			}
			return line
		})
		if err != nil {
			return "", false, s.conn.Lost("AUTH", err)
		}
		if challenge, more := strings.CutPrefix(answer, "+ "); more || answer == "+" {
			return strings.TrimPrefix(challenge, "+"), true, nil
		}
		_, err = s.status("AUTH "+m.Name(), answer)
		return "", false, s.denied(m.Name(), err)
	}})
}

// Stat is step 5: STAT tells how many messages there are and their size together.
func (s *Session) Stat() (count int, size int64, err error) {
	text, err := s.command("STAT", "STAT")
	if err != nil {
		return 0, 0, err
	}
	n, size, ok := numbers(text)
	if !ok {
		return 0, 0, fmt.Errorf("%w: STAT: %q", ErrProtocol, text)
	}
	return n, size, nil
}

// List is step 6: LIST gives number and size of each message, UIDL its unique name,
// which stays the same from one session to the next (RFC 1939 section 7).
func (s *Session) List() ([]Entry, error) {
	if _, err := s.command("LIST", "LIST"); err != nil {
		return nil, err
	}
	var entries []Entry
	err := s.list("LIST", maxEntries, func(line string) error {
		n, size, ok := numbers(line)
		if !ok {
			return fmt.Errorf("%w: LIST: %q", ErrProtocol, line)
		}
		entries = append(entries, Entry{Number: n, Size: size})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if _, err = s.command("UIDL", "UIDL"); err != nil {
		if _, refused := errors.AsType[*Error](err); refused {
			return entries, nil // an old server: numbers must do
		}
		return nil, err
	}
	byNumber := make(map[int]*Entry, len(entries))
	for i := range entries {
		byNumber[entries[i].Number] = &entries[i]
	}
	err = s.list("UIDL", maxEntries, func(line string) error {
		number, uid, _ := strings.Cut(line, " ")
		n, bad := strconv.Atoi(number)
		if bad != nil || len(uid) > 200 {
			return fmt.Errorf("%w: UIDL: %q", ErrProtocol, line)
		}
		if entry := byNumber[n]; entry != nil {
			entry.UID = uid
		}
		return nil
	})
	return entries, err
}

// Retrieve is step 7: RETR sends a message, dots doubled, up to a line with a dot alone.
// The reader ends there; after an error of the connection it ends early with
// that error. The whole message must be read, or Discard called, before the
// next command.
func (s *Session) Retrieve(entry Entry) (*Body, error) {
	line := fmt.Sprintf("RETR %d", entry.Number)
	if _, err := s.command("RETR", line); err != nil {
		return nil, err
	}
	return s.body(entry.Size), nil
}

// Top is RETR for the header and the first lines of the body; a server may not
// have it (an *Error).
func (s *Session) Top(entry Entry, lines int) (*Body, error) {
	if _, err := s.command("TOP", fmt.Sprintf("TOP %d %d", entry.Number, lines)); err != nil {
		return nil, err
	}
	return s.body(max(leastTop, entry.Size)), nil
}

// leastTop is what the answer to TOP may have at least, in bytes: servers add
// lines to a header.
const leastTop = 1 << 20

// Delete is step 8: DELE marks a message; only a QUIT that the server confirms deletes.
func (s *Session) Delete(number int) error {
	_, err := s.command("DELE", fmt.Sprintf("DELE %d", number))
	return err
}

// Quit is step 9: QUIT makes deletions real and ends the session; an error means that
// they may not have been made.
func (s *Session) Quit() error {
	defer s.Close()
	if s.conn.Broken() {
		return session.ErrClosed
	}
	_, err := s.command("QUIT", "QUIT")
	return err
}

// Close drops the connection: nothing marked by Delete is deleted.
func (s *Session) Close() { s.conn.Close() }

// command sends a line and returns the text after +OK.
//
// What the server has sent beyond its last answer would count as the answer to
// this command. It may be a stranger's: a mail in which a dot stands alone on a
// line that only one of both ends takes for a line.
func (s *Session) command(step, line string) (string, error) {
	if s.conn.Buffered() > 0 {
		return "", s.conn.Lost(step, fmt.Errorf("%w: it sent more than it was asked for", ErrProtocol))
	}
	if err := s.conn.Command(step, line, commandTimeout); err != nil {
		return "", err
	}
	return s.reply(line)
}

func (s *Session) reply(step string) (string, error) {
	line, err := s.readLine(asItIs)
	if err != nil {
		return "", s.conn.Lost(step, err)
	}
	return s.status(step, line)
}

// status reads the first word of a reply.
func (s *Session) status(step, line string) (string, error) {
	word, text, _ := strings.Cut(line, " ")
	switch strings.ToUpper(word) {
	case "+OK":
		return text, nil
	case "-ERR":
		return "", &Error{Step: step, Text: s.conn.Mask.Hide(text)}
	}
	s.conn.Break()
	return "", fmt.Errorf("%w: %s: %q", ErrProtocol, step, s.conn.Mask.Hide(line))
}

func asItIs(line string) string { return line }

// readLine reads a line, which the watcher sees as show makes it.
func (s *Session) readLine(show func(string) string) (string, error) {
	line, err := s.conn.ReadLine()
	if err != nil {
		if errors.Is(err, session.ErrLineLong) || errors.Is(err, session.ErrNUL) {
			err = fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		return "", err
	}
	s.conn.Emit(session.Server, show(line))
	return line, nil
}

// list reads the lines of a multi-line reply.
func (s *Session) list(step string, limit int, each func(line string) error) error {
	for n := 0; ; n++ {
		line, err := s.readLine(asItIs)
		if err != nil {
			return s.conn.Lost(step, err)
		}
		if line == "." {
			return nil
		}
		if n == limit {
			return s.conn.Lost(step, fmt.Errorf("%w: more than %d lines", ErrProtocol, limit))
		}
		if err := each(strings.TrimPrefix(line, ".")); err != nil {
			s.conn.Break()
			return err
		}
	}
}

// numbers reads "3 1200 anything".
func numbers(text string) (n int, size int64, ok bool) {
	words := strings.Fields(text)
	if len(words) < 2 {
		return 0, 0, false
	}
	n, err1 := strconv.Atoi(words[0])
	size, err2 := strconv.ParseInt(words[1], 10, 64)
	return n, size, err1 == nil && err2 == nil && n >= 0 && size >= 0
}
