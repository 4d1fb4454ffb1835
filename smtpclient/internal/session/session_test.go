package session

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestWaiting tells what takes long, and then gives up in time.
func TestWaiting(t *testing.T) {
	for _, tt := range []struct {
		name string
		dial DialFunc
		want string
	}{
		{"connecting", func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, "waiting for a connection to mail.test:25"},
		{"greeting", func(context.Context, string, string) (net.Conn, error) {
			client, _ := net.Pipe()
			return client, nil
		}, "waiting for the greeting of mail.test:25… (a server that speaks TLS from the first byte says nothing here: --tls implicit)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				type remark struct {
					what  string
					after time.Duration
				}
				told := make(chan remark, 9)
				start := time.Now()
				cfg := &Config{Host: "mail.test", Port: "25", FirstTimeout: 30 * time.Second, Dial: tt.dial, Waiting: func(what string) {
					told <- remark{what, time.Since(start)}
				}}
				c, err := Connect(t.Context(), cfg, "465")
				if err == nil {
					defer c.Close()
					c.Greeting(5 * time.Minute)
					_, err = c.ReadLine()
					err = c.Hint(err)
				}
				if took := time.Since(start); err == nil || took != 30*time.Second {
					t.Errorf("%v after %v", err, took)
				}
				if first := <-told; !strings.HasPrefix(first.what, tt.want) || first.after != 3*time.Second || len(told) > 0 {
					t.Errorf("%+v, and %d more", first, len(told))
				}
			})
		})
	}
}

// TestConnectError has one sentence, without the resolver's address.
func TestConnectError(t *testing.T) {
	for want, err := range map[string]error{
		"connect to h:25: connection refused":                     &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{}, Err: errors.New("connection refused")},
		"connect to h:25: no answer":                              &net.OpError{Op: "dial", Net: "tcp", Err: context.DeadlineExceeded},
		"h: there is no such host":                                &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "h", Server: "192.0.2.53:53", IsNotFound: true}},
		"h: the name cannot be looked up now: server misbehaving": &net.DNSError{Err: "server misbehaving", Name: "h", Server: "192.0.2.53:53", IsTemporary: true},
	} {
		if got := connectError("h:25", err); got.Error() != want || !errors.Is(got, err) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestEscapeJSON(t *testing.T) {
	const in = `{"text":"gr` + "ü\u202e\u009b\u007f\U000e0001 \u200d你" + `"}`
	const want = `{"text":"grü\u202e\u009b\u007f\udb40\udc01 ` + "\u200d你" + `"}`
	if got := EscapeJSON(in); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
