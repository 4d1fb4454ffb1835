package proxy

import (
	"bytes"
	"crypto/tls"
	"io"
	"strings"
	"sync"
	"sync/atomic"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/mask"
	"topdown/proxyserver/internal/tracefile"
)

// trace collects what happens in one exchange and writes it in one piece, so
// that exchanges do not mix.
type trace struct {
	out    *tracer
	number string // of the conversation, in the trace file
	kept   *kept  // what the history keeps; nil: nothing
	mu     sync.Mutex
	buf    bytes.Buffer
}

// tracer is where the traces of all exchanges go.
type tracer struct {
	mu sync.Mutex
	w  io.Writer // nil: nowhere

	file *tracefile.File // nil: none
	last atomic.Int64    // number of the last exchange
}

func newTrace(c *session, watched bool) *trace {
	t, req := &trace{out: &c.server.tracer}, &c.req
	if watched {
		t.kept = newKept(c.server.History.Begin())
	}
	_, secure := c.conn.Conn.(*tls.Conn)
	t.begun(&c.traced, c.conn.RemoteAddr(), c.conn.LocalAddr(), secure)
	t.buf.WriteString("--- " + c.client.String() + "\n")
	if head, err := httpmsg.AppendRequest(nil, req); err == nil {
		t.client(">", head)
	}
	return t
}

// client adds a head that came from the client (">") or went to it ("<").
func (t *trace) client(direction string, head []byte) {
	if direction == ">" {
		t.headEvent("client", "proxy", "4 receive", head)
	} else {
		t.headEvent("proxy", "client", "6 respond", head)
	}
	t.head("client "+direction+" ", head)
}

// origin adds a head that went to the origin (">") or came from it ("<").
func (t *trace) origin(direction string, head []byte) {
	if direction == ">" {
		t.headEvent("proxy", "origin", "5 get the response", head)
	} else {
		t.headEvent("origin", "proxy", "5 get the response", head)
		if t.kept != nil {
			t.kept.responded()
		}
	}
	t.head("origin "+direction+" ", head)
}

// explain adds a decision and the section of the RFC behind it.
func (t *trace) explain(section, decision string) {
	t.said(section, decision)
	t.print(section + ": " + decision)
}

func (t *trace) note(text string) {
	t.said("", text)
	t.print(text)
}

func (t *trace) print(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.WriteString("         * ")
	t.buf.Write(printable(text))
	t.buf.WriteByte('\n')
}

func (t *trace) head(prefix string, head []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for line := range strings.SplitSeq(strings.TrimSuffix(string(head), "\r\n\r\n"), "\r\n") {
		t.buf.WriteString(prefix)
		t.buf.Write(printable(mask.Line(line)))
		t.buf.WriteByte('\n')
	}
}

// flush writes what has been collected.
func (t *trace) flush() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.out.w == nil {
		return
	}
	t.out.mu.Lock()
	defer t.out.mu.Unlock()
	t.out.w.Write(t.buf.Bytes()) //nolint:errcheck // nobody to tell
	t.buf.Reset()
}

// printable makes a peer's bytes safe for a terminal.
func printable(s string) []byte {
	const digits = "0123456789abcdef"
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c > '~' {
			b = append(b, '\\', 'x', digits[c>>4], digits[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}
