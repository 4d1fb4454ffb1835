package pop3

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"topdown/smtpclient/internal/session"
)

// canned is a connection on which the server has said everything already, which
// comes in packets.
type canned struct {
	net.Conn
	packets []string
	w       bytes.Buffer
}

func (c *canned) Read(p []byte) (int, error) {
	if len(c.packets) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.packets[0])
	if c.packets[0] = c.packets[0][n:]; c.packets[0] == "" {
		c.packets = c.packets[1:]
	}
	return n, nil
}

func (c *canned) Write(p []byte) (int, error) { return c.w.Write(p) }
func (c *canned) Close() error                { return nil }
func (c *canned) SetDeadline(time.Time) error { return nil }
func (c *canned) RemoteAddr() net.Addr        { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (c *canned) LocalAddr() net.Addr         { return c.RemoteAddr() }

// dial opens a session with a server that says each line in a packet of its own.
func dial(t *testing.T, said string, cfg *session.Config) (*Session, *canned, error) {
	t.Helper()
	c := &canned{packets: slices.DeleteFunc(strings.SplitAfter(said, "\n"), func(s string) bool { return s == "" })}
	cfg.Host, cfg.Port = "127.0.0.1", "110"
	cfg.Dial = func(context.Context, string, string) (net.Conn, error) { return c, nil }
	s, err := Dial(t.Context(), cfg)
	return s, c, err
}

const loggedIn = "+OK\r\n-ERR\r\n+OK\r\n+OK\r\n"

func TestBody(t *testing.T) {
	for _, tt := range []struct{ name, said, want string }{
		{"dots", "..\r\n...\r\n.x\r\n.\r\nrest", ".\r\n..\r\nx\r\n"},
		{"empty", ".\r\n", ""},
		{"LF", "a\n..b\n.\n", "a\n.b\n"},
		{"a long line that starts with a dot", ".." + strings.Repeat("x", 3*session.BufferSize) + "\r\n.\r\n", "." + strings.Repeat("x", 3*session.BufferSize) + "\r\n"},
		{"a dot after the buffer's end", strings.Repeat("x", session.BufferSize) + ".\r\n.\r\n", strings.Repeat("x", session.BufferSize) + ".\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _, err := dial(t, loggedIn+"+OK\r\n"+tt.said, &session.Config{Login: &session.Login{User: "u", Password: "p"}})
			if err != nil {
				t.Fatal(err)
			}
			body, err := s.Retrieve(Entry{Number: 1, Size: int64(len(tt.said))})
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(body)
			if err != nil || string(got) != tt.want || body.Size() != int64(len(tt.want)) || !body.done {
				t.Errorf("%.60q, %v", got, err)
			}
		})
	}
}

// TestSmuggledReplies has a mail in the mailbox in which a dot stands alone behind a
// bare LF. The server does not take that for a line, and does not double the dot;
// what follows must not count as its answers.
func TestSmuggledReplies(t *testing.T) {
	s, c, err := dial(t, loggedIn, &session.Config{Login: &session.Login{User: "u", Password: "p"}})
	if err != nil {
		t.Fatal(err)
	}
	c.packets = []string{"+OK\r\nSubject: x\r\n\r\nbait\n.\r\n+OK deleted\r\n+OK bye\r\n.\r\n"}
	body, err := s.Retrieve(Entry{Number: 1, Size: 100})
	if err != nil {
		t.Fatal(err)
	}
	if err = body.Discard(); err != nil {
		t.Fatal(err)
	}
	c.w.Reset()
	if err = s.Delete(1); !errors.Is(err, ErrProtocol) {
		t.Errorf("the mail answered DELE: %v", err)
	}
	if err = s.Quit(); err == nil || c.w.Len() > 0 {
		t.Errorf("the session went on: %q, %v", c.w.String(), err)
	}
}

// FuzzBody reads any bytes as a message.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{"a\r\n.\r\n", "..a\r\n.\r\n", ".\n", "a", "\r\n.\r\n.\r\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, said string) {
		s, _, err := dial(t, loggedIn+"+OK\r\n"+said, &session.Config{Login: &session.Login{User: "u", Password: "p"}})
		if err != nil {
			t.Fatal(err)
		}
		body, err := s.Retrieve(Entry{Number: 1, Size: int64(len(said))})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(body)
		if len(got) > len(said) || (err == nil) != body.done {
			t.Fatalf("%q became %q, %v", said, got, err)
		}
		if err != nil {
			return
		}
		// A server that doubles the dots again says the same.
		var again strings.Builder
		for line := range strings.SplitAfterSeq(string(got), "\n") {
			if strings.HasPrefix(line, ".") {
				again.WriteString(".")
			}
			again.WriteString(line)
		}
		undotted := func(s string) string {
			var b strings.Builder
			for line := range strings.SplitAfterSeq(s, "\n") {
				b.WriteString(strings.TrimPrefix(line, "."))
			}
			return b.String()
		}
		if !strings.HasPrefix(undotted(said), undotted(again.String())) {
			t.Fatalf("%q became %q", said, got)
		}
	})
}

// FuzzSession plays any bytes to a whole session.
func FuzzSession(f *testing.F) {
	f.Add("+OK\r\n+OK\r\nUIDL\r\n.\r\n+OK\r\n+OK\r\n+OK\r\n1 100\r\n.\r\n+OK\r\n1 x\r\n.\r\n")
	f.Add("+OK\r\n-ERR\r\n+OK\r\n-ERR [IN-USE] x\r\n")
	f.Add("+OK\r\n+OK\r\nSASL PLAIN SCRAM-SHA-256\r\n.\r\n+ cj0=\r\n-ERR\r\n")
	f.Fuzz(func(t *testing.T, said string) {
		s, c, err := dial(t, said, &session.Config{Login: &session.Login{User: "u", Password: "p"}, TLS: session.None})
		if err == nil {
			entries, err := s.List()
			if err == nil {
				for _, e := range entries {
					if e.Number < 0 || e.Size < 0 || len(e.UID) > 200 {
						t.Fatalf("%+v", e)
					}
				}
			}
			_ = s.Quit()
		}
		for line := range strings.SplitAfterSeq(c.w.String(), "\r\n") {
			if line != "" && !strings.HasSuffix(line, "\r\n") {
				t.Fatalf("we said %q", line)
			}
		}
	})
}
