package session

import (
	"context"
	"encoding/base64"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// connected returns a session with a server that says what it is given, line by
// line: what the client says between is collected.
func connected(t *testing.T, cfg *Config, replies ...string) (c *Conn, said func() []string) {
	t.Helper()
	client, server := net.Pipe()
	cfg.Host, cfg.Port = "mail.test", "25"
	cfg.Dial = func(context.Context, string, string) (net.Conn, error) { return client, nil }
	c, err := Connect(t.Context(), cfg, "465")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer server.Close()
		peer := New(server)
		for _, reply := range replies {
			line, err := peer.ReadLine()
			if err != nil {
				return
			}
			lines = append(lines, line)
			if peer.Send(reply) != nil || peer.Flush() != nil {
				return
			}
		}
	}()
	stop := func() []string { c.Close(); server.Close(); <-done; return lines }
	t.Cleanup(func() { stop() })
	return c, stop
}

func TestMechanism(t *testing.T) {
	for _, tt := range []struct {
		name, wanted, offered, want, err string
	}{
		{"the strongest", "", "LOGIN PLAIN CRAM-MD5 SCRAM-SHA-256 XOAUTH2", "SCRAM-SHA-256", ""},
		{"no token by itself", "", "XOAUTH2 PLAIN", "PLAIN", ""},
		{"as wanted", "login", "LOGIN PLAIN", "LOGIN", ""},
		{"not offered", "CRAM-MD5", "LOGIN PLAIN", "", "authentication with CRAM-MD5 failed: the server offers LOGIN, PLAIN, nothing else"},
		{"none known", "", "GSSAPI \x1b[2J", "", `the server offers only GSSAPI \x1b[2J; many servers offer it only after TLS`},
		{"none offered", "", "", "", "the server offers no AUTH; many servers offer it only after TLS"},
		{"wanted, none offered", "PLAIN", "", "", "authentication with PLAIN failed: the server offers no AUTH"},
		{"NUL in the name", "PLAIN", "PLAIN", "", "authentication with PLAIN failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			user := "me"
			if tt.name == "NUL in the name" {
				user = "m\x00e"
			}
			c, _ := connected(t, &Config{Login: &Login{Mechanism: tt.wanted, User: user, Password: "secret"}})
			m, err := c.Mechanism(strings.Split(tt.offered, " ")[:min(len(tt.offered), 1+strings.Count(tt.offered, " "))])
			if denied, ok := errors.AsType[*AuthError](err); err != nil && (!ok || tt.err == "" || !strings.Contains(denied.Error(), tt.err)) {
				t.Errorf("%v, want %q", err, tt.err)
			}
			if err == nil && m.Name() != tt.want {
				t.Errorf("%s, want %s", m.Name(), tt.want)
			}
		})
	}
}

// TestMayLogIn shows a password to nobody on the way.
func TestMayLogIn(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	local, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	remote, _ := net.Pipe()
	for _, tt := range []struct {
		name string
		conn net.Conn
		cfg  Config
		ok   bool
	}{
		{"this machine", local, Config{Login: &Login{}}, true},
		{"another machine", remote, Config{Login: &Login{}}, false},
		{"another machine, insecure", remote, Config{Login: &Login{Insecure: true}}, true},
	} {
		c := New(tt.conn)
		c.cfg = &tt.cfg
		if err := c.MayLogIn(); (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrPlainAuth) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestAuthenticate(t *testing.T) {
	const password = "pass-word-123"
	b64 := base64.StdEncoding.EncodeToString
	initial := b64([]byte("\x00me\x00" + password))
	yes, no := "yes", "no"
	for _, tt := range []struct {
		name, mechanism string
		longest         int
		replies         []string
		said            []string
		err             string
	}{
		{"in one line", "PLAIN", 500, []string{yes}, []string{"AUTH PLAIN " + initial}, ""},
		{"too long for the line", "PLAIN", 20, []string{"+", yes}, []string{"AUTH PLAIN", initial}, ""},
		{"refused", "PLAIN", 500, []string{no}, []string{"AUTH PLAIN " + initial}, "refused"},
		{"asked again", "PLAIN", 500, []string{"+ " + b64([]byte("more?")), no}, []string{"AUTH PLAIN " + initial, "*"}, "PLAIN failed"},
		{"asked on after the end", "CRAM-MD5", 500, []string{"+ !!", "+ " + b64([]byte("<1@x>")), yes}, []string{"AUTH CRAM-MD5", "*"}, "the server's challenge is not base64"},
		{"two questions", "LOGIN", 500, []string{"+ VXNlcm5hbWU6", "+ UGFzc3dvcmQ6", yes}, []string{"AUTH LOGIN", b64([]byte("me")), b64([]byte(password))}, ""},
		{"a challenge that is no base64", "CRAM-MD5", 500, []string{"+ !!", no}, []string{"AUTH CRAM-MD5", "*"}, "the server's challenge is not base64"},
		{"done without a proof of its own", "SCRAM-SHA-256", 500, []string{yes}, nil, "SCRAM-SHA-256 failed"},
		{"gone", "LOGIN", 500, []string{"+ VXNlcm5hbWU6"}, []string{"AUTH LOGIN"}, "closed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var shown []string
			cfg := &Config{
				Login: &Login{Mechanism: tt.mechanism, User: "me", Password: password},
				Watch: func(e Event) { shown = append(shown, e.Line) },
			}
			c, stop := connected(t, cfg, tt.replies...)
			m, err := c.Mechanism([]string{tt.mechanism})
			if err != nil {
				t.Fatal(err)
			}
			rest := len(tt.replies)
			err = c.Authenticate(m, &Exchange{Longest: tt.longest, Timeout: time.Minute, Answer: func() (string, bool, error) {
				if rest--; rest < 0 {
					return "", false, ErrClosed
				}
				line, err := c.ReadLine()
				switch {
				case err != nil:
					return "", false, err
				case line == no:
					return "", false, &AuthError{m.Name(), errors.New("refused")}
				}
				challenge, more := strings.CutPrefix(line, "+")
				return challenge, more, nil
			}})
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%v, want %q", err, tt.err)
			}
			if said := stop(); tt.said != nil {
				if diff := cmp.Diff(tt.said, said); diff != "" {
					t.Error(diff)
				}
			}
			for _, line := range shown {
				for _, form := range append(Base64Forms(password), password, initial, b64([]byte("me"))) {
					if strings.Contains(line, form) {
						t.Errorf("the transcript shows %q", line)
					}
				}
			}
		})
	}
}
