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
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"topdown/smtpclient/internal/sasl"
	"topdown/smtpclient/internal/wire"
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
	TLS   *tls.ConnectionState
	wire  *wire.Conn
	stop  func() bool
	capas map[string]string
	known bool // CAPA was answered
	gone  bool
}

// Dial connects, secures the link and logs in.
func Dial(ctx context.Context, cfg *Config) (*Session, error) {
	conn, err := wire.Dial(ctx, cfg.Dial, net.JoinHostPort(cfg.Host, cfg.Port), cfg.Timeout)
	if err != nil {
		return nil, err
	}
	s := &Session{wire: wire.New(conn), stop: context.AfterFunc(ctx, func() { conn.Close() })}
	s.wire.Watch, s.wire.Mask, s.wire.Timeout = cfg.Watch, cfg.Mask, cfg.Timeout
	if cfg.Limit > 0 {
		s.wire.Limit = time.Now().Add(cfg.Limit)
	}
	s.wire.Step("connect")
	s.wire.Emit(wire.Note, fmt.Sprintf("connected to %s", conn.RemoteAddr()))
	if err := s.open(ctx, cfg); err != nil {
		if s.gone {
			s.Close()
		} else if quit := s.Quit(); quit != nil {
			s.Close() // the first error says it all
		}
		return nil, err
	}
	return s, nil
}

func (s *Session) open(ctx context.Context, cfg *Config) error {
	implicit := cfg.TLS == wire.Implicit || cfg.Port == ImplicitPort && cfg.TLS != wire.StartTLS && cfg.TLS != wire.None
	config := wire.TLSConfig(cfg.Host, cfg.Roots)
	if implicit {
		if err := s.handshake(ctx, config); err != nil {
			return err
		}
	}
	if err := s.greet(); err != nil {
		if (errors.Is(err, wire.ErrTimeout) || errors.Is(err, wire.ErrClosed)) && !implicit {
			return fmt.Errorf("%w; if port %s speaks TLS from the first byte, use implicit TLS", err, cfg.Port)
		}
		return err
	}
	if err := s.capabilities(); err != nil {
		return err
	}
	_, offered := s.capas["STLS"]
	switch {
	case s.TLS != nil || cfg.TLS == wire.None:
	case offered:
		if err := s.startTLS(ctx, config); err != nil {
			return err
		}
	case cfg.TLS == wire.StartTLS:
		return fmt.Errorf("STLS: %w", wire.ErrNoTLS)
	}
	if s.TLS == nil && !cfg.Insecure && !wire.Loopback(s.wire.RemoteAddr()) {
		return &wire.AuthError{Mechanism: "a password", Err: wire.ErrPlainAuth}
	}
	return s.login(cfg)
}

// Step 1: the server greets with +OK (RFC 1939 section 4).
func (s *Session) greet() error {
	s.wire.Begin("greeting", commandTimeout)
	_, err := s.reply("greeting")
	return err
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
func (s *Session) startTLS(ctx context.Context, config *tls.Config) error {
	if _, err := s.command("STLS", "STLS"); err != nil {
		return err
	}
	if err := s.handshake(ctx, config); err != nil {
		return err
	}
	return s.capabilities()
}

func (s *Session) handshake(ctx context.Context, config *tls.Config) error {
	s.wire.Begin("TLS", commandTimeout)
	state, err := s.wire.StartTLS(ctx, config)
	if err != nil {
		s.gone = true
		return &wire.TLSError{Server: config.ServerName, Err: err}
	}
	s.TLS = &state
	s.wire.Emit(wire.Note, fmt.Sprintf("%s, %s, certificate checked for %s", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite), config.ServerName))
	return nil
}

// Step 4: USER and PASS (RFC 1939 section 7), or AUTH where the server offers a
// better mechanism (RFC 5034).
func (s *Session) login(cfg *Config) error {
	name := strings.ToUpper(cfg.Mechanism)
	if name == "" {
		name = "USER"
		offered := strings.Fields(s.capas["SASL"])
		_, user := s.capas["USER"]
		if best, ok := sasl.Choose(offered); ok && (best != "LOGIN" && best != "PLAIN" || s.known && !user) {
			name = best
		}
	}
	if name != "USER" {
		mechanism, err := sasl.New(name, cfg.User, cfg.Password)
		if err != nil {
			return &wire.AuthError{Mechanism: name, Err: err}
		}
		return s.authenticate(mechanism)
	}
	if _, err := s.command("USER", "USER "+cfg.User); err != nil {
		return s.denied("USER", err)
	}
	s.wire.Begin("PASS", commandTimeout)
	if err := s.wire.SendSecret("PASS "+cfg.Password, "PASS "+wire.Hidden); err != nil {
		return s.lost("PASS", err)
	}
	if err := s.wire.Flush(); err != nil {
		return s.lost("PASS", err)
	}
	_, err := s.reply("PASS")
	return s.denied("USER and PASS", err)
}

// denied marks a refused login, unless the mailbox is only busy.
func (s *Session) denied(mechanism string, err error) error {
	refused, ok := errors.AsType[*Error](err)
	if !ok || slices.Contains([]string{"IN-USE", "SYS/TEMP", "LOGIN-DELAY"}, refused.Code()) {
		return err
	}
	return &wire.AuthError{Mechanism: mechanism, Err: err}
}

func (s *Session) authenticate(m sasl.Mechanism) error {
	s.wire.Begin("AUTH", commandTimeout)
	line, shown := "AUTH "+m.Name(), "AUTH "+m.Name()
	response, first, err := m.Start()
	if err != nil {
		return err
	}
	pending := false
	if first {
		// A line of at most 255 bytes (RFC 5034 section 4), else after "+".
		if encoded := base64.StdEncoding.EncodeToString(response); len(line)+1+len(encoded) <= 253 {
			line, shown = line+" "+encoded, shown+" "+wire.Hidden
		} else {
			pending = true
		}
	}
	var cancelled error
	for {
		if err := s.wire.SendSecret(line, shown); err != nil {
			return s.lost("AUTH", err)
		}
		if err := s.wire.Flush(); err != nil {
			return s.lost("AUTH", err)
		}
		answer, err := s.readLine(func(line string) string {
			if strings.HasPrefix(line, "+ ") {
				return "+ " + wire.Hidden
			}
			return line
		})
		if err != nil {
			return s.lost("AUTH", err)
		}
		challenge, more := strings.CutPrefix(answer, "+ ")
		if more = more || answer == "+"; !more {
			if cancelled != nil {
				return cancelled
			}
			if _, err = s.status("AUTH "+m.Name(), answer); err != nil {
				return s.denied(m.Name(), err)
			}
			if err = m.Done(); err != nil {
				s.gone = true
				return &wire.AuthError{Mechanism: m.Name(), Err: err}
			}
			return nil
		}
		decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(challenge))
		switch {
		case pending:
			pending, err = false, nil
		case err != nil:
			err = errors.New("the server's challenge is not base64")
		default:
			response, err = m.Next(decoded)
		}
		if err != nil {
			cancelled = &wire.AuthError{Mechanism: m.Name(), Err: err}
			line, shown = "*", "*"
			continue
		}
		line, shown = base64.StdEncoding.EncodeToString(response), wire.Hidden
	}
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
func (s *Session) Top(number, lines int) (*Body, error) {
	if _, err := s.command("TOP", fmt.Sprintf("TOP %d %d", number, lines)); err != nil {
		return nil, err
	}
	return s.body(maxTop), nil
}

// maxTop bounds the answer to TOP, in bytes.
const maxTop = 1 << 20

// Delete is step 8: DELE marks a message; only a QUIT that the server confirms deletes.
func (s *Session) Delete(number int) error {
	_, err := s.command("DELE", fmt.Sprintf("DELE %d", number))
	return err
}

// Quit is step 9: QUIT makes deletions real and ends the session; an error means that
// they may not have been made.
func (s *Session) Quit() error {
	defer s.Close()
	if s.gone {
		return wire.ErrClosed
	}
	_, err := s.command("QUIT", "QUIT")
	return err
}

// Close drops the connection: nothing marked by Delete is deleted.
func (s *Session) Close() {
	s.gone = true
	s.stop()
	s.wire.Close()
}

// command sends a line and returns the text after +OK.
func (s *Session) command(step, line string) (string, error) {
	s.wire.Begin(step, commandTimeout)
	if err := s.wire.Send(line); err != nil {
		return "", s.lost(step, err)
	}
	if err := s.wire.Flush(); err != nil {
		return "", s.lost(step, err)
	}
	return s.reply(line)
}

func (s *Session) reply(step string) (string, error) {
	line, err := s.readLine(nil)
	if err != nil {
		return "", s.lost(step, err)
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
		return "", &Error{Step: step, Text: s.wire.Mask.Hide(text)}
	}
	s.gone = true
	return "", fmt.Errorf("%w: %s: %q", ErrProtocol, step, wire.Printable(s.wire.Mask.Hide(line)))
}

func (s *Session) readLine(show func(string) string) (string, error) {
	line, err := s.wire.ReadLine()
	if err != nil {
		if errors.Is(err, wire.ErrLineLong) || errors.Is(err, wire.ErrNUL) {
			err = fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		return "", err
	}
	if show == nil {
		s.wire.Emit(wire.Server, line)
	} else {
		s.wire.Emit(wire.Server, show(line))
	}
	return line, nil
}

// list reads the lines of a multi-line reply.
func (s *Session) list(step string, limit int, each func(line string) error) error {
	for n := 0; ; n++ {
		line, err := s.readLine(nil)
		if err != nil {
			return s.lost(step, err)
		}
		if line == "." {
			return nil
		}
		if n == limit {
			return s.lost(step, fmt.Errorf("%w: more than %d lines", ErrProtocol, limit))
		}
		if err := each(strings.TrimPrefix(line, ".")); err != nil {
			s.gone = true
			return err
		}
	}
}

func (s *Session) lost(step string, err error) error {
	s.gone = true
	return fmt.Errorf("%s: %w", step, err)
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
