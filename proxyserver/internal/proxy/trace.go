package proxy

import (
	"bytes"
	"crypto/tls"
	"fmt"
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
	title  string // who asks
	text   bool   // somebody reads buf
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

// newTrace begins the trace of an exchange, for the history too if watched.
func newTrace(c *session, watched bool) *trace {
	t := &trace{out: &c.server.tracer, title: c.client.String(), text: c.server.Trace != nil}
	if watched {
		t.kept = newKept(c.server.History.Begin())
	}
	_, secure := c.conn.Conn.(*tls.Conn)
	t.begun(&c.traced, c.conn.RemoteAddr(), c.conn.LocalAddr(), secure)
	if head, err := httpmsg.AppendRequest(nil, &c.req); err == nil {
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

func (t *trace) print(text string) { t.line("         * ", mask.Login(text)) }

func (t *trace) head(prefix string, head []byte) {
	for line := range strings.SplitSeq(strings.TrimSuffix(string(head), "\r\n\r\n"), "\r\n") {
		t.line(prefix, mask.Line(line))
	}
}

// line adds a line of text, if anybody reads it, made safe for a terminal.
func (t *trace) line(prefix, text string) {
	if !t.text {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.WriteString(prefix + tracefile.Escape(text) + "\n")
}

// flush writes what has been collected.
func (t *trace) flush() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.buf.Len() == 0 {
		return
	}
	t.out.mu.Lock()
	defer t.out.mu.Unlock()
	fmt.Fprintf(t.out.w, "--- %s\n%s", t.title, t.buf.Bytes())
	t.buf.Reset()
}
