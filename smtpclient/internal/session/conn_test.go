package session

import (
	"encoding/base64"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// pair returns a Conn and the server's end of it.
func pair(t *testing.T) (*Conn, net.Conn) {
	t.Helper()
	client, server := net.Pipe()
	t.Cleanup(func() { client.Close(); server.Close() })
	return New(client), server
}

func TestReadLine(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string
		err            error
	}{
		{"CRLF", "250 ok\r\n", "250 ok", nil},
		{"LF", "250 ok\n", "250 ok", nil},
		{"inner CR stays", "a\rb\r\n", "a\rb", nil},
		{"NUL", "a\x00b\r\n", "", ErrNUL},
		{"longest", strings.Repeat("x", MaxLine) + "\r\n", strings.Repeat("x", MaxLine), nil},
		{"too long", strings.Repeat("x", MaxLine+1) + "\r\n", "", ErrLineLong},
		{"without end", strings.Repeat("x", 2*BufferSize), "", ErrLineLong},
		{"closed", "", "", ErrClosed},
		{"closed within", "250", "", ErrClosed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, server := pair(t)
			go func() {
				_, _ = server.Write([]byte(tt.in))
				server.Close()
			}()
			got, err := c.ReadLine()
			if !errors.Is(err, tt.err) || got != tt.want {
				t.Errorf("%q, %v; want %q, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

func TestUnsafeLines(t *testing.T) {
	c, _ := pair(t)
	for _, line := range []string{"a\r\nb", "a\n", "a\rb", "a\x00"} {
		if err := c.Send(line); !errors.Is(err, ErrUnsafe) {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func TestTimeouts(t *testing.T) {
	c, _ := pair(t)
	c.Begin("x", 10*time.Millisecond)
	if _, err := c.ReadLine(); !errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "10ms") {
		t.Error(err)
	}
	c.Limit = time.Now().Add(10 * time.Millisecond)
	c.Begin("x", time.Hour)
	if _, err := c.ReadLine(); !errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "whole session") {
		t.Error(err)
	}
}

func TestMask(t *testing.T) {
	const secret = "pässwörd-123"
	m := &Mask{}
	m.Add(secret)
	m.Add("xy") // too short
	for _, before := range []string{"", "\x00user\x00", "a", "ab", "user=a\x01auth=Bearer "} {
		for _, after := range []string{"", "x", "\x01\x01"} {
			encoded := base64.StdEncoding.EncodeToString([]byte(before + secret + after))
			shown := m.Hide("AUTH PLAIN " + encoded)
			for _, form := range Base64Forms(secret) {
				if strings.Contains(shown, form) {
					t.Errorf("%q around: %q shows %q", before+after, shown, form)
				}
			}
			if !strings.Contains(shown, Hidden) {
				t.Errorf("nothing hidden in %q", shown)
			}
		}
	}
	if got := m.Hide("535 " + secret + " is wrong, xy"); got != "535 **** is wrong, xy" {
		t.Error(got)
	}
	if got := (*Mask)(nil).Hide("a"); got != "a" {
		t.Error(got)
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain":               "plain",
		"größe 你好\t":          "größe 你好\t",
		"\x1b[31mred":         `\x1b[31mred`,
		"a\r\nb":              `a\r\nb`,
		"\xff\xfe":            `\xff\xfe`,
		"a\u00a0b\u3000c":     "a\u00a0b\u3000c",
		"right\u202eleft":     `right\u202eleft`,
		"c1 \u009b, del \x7f": `c1 \u009b, del \x7f`,
	} {
		if diff := cmp.Diff(want, Printable(in)); diff != "" {
			t.Error(diff)
		}
	}
}
