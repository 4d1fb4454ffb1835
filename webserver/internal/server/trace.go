package server

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"topdown/webserver/internal/site"
)

// Tracer writes an annotated transcript of every exchange: what was received,
// what was decided and by which section of which RFC, and what was sent. Make
// it with NewTracer.
type Tracer struct {
	w    io.Writer
	now  func() time.Time
	mu   sync.Mutex
	last atomic.Int64 // number of the last connection
}

// NewTracer returns a tracer that writes to w, with the times that now returns.
func NewTracer(w io.Writer, now func() time.Time) *Tracer { return &Tracer{w: w, now: now} }

// trace is the transcript of one connection. A nil *trace is none.
type trace struct {
	t      *Tracer
	number int64
}

func (t *Tracer) connection(nc net.Conn) *trace {
	tr := &trace{t: t, number: t.last.Add(1)}
	tr.print('*', "connection from "+nc.RemoteAddr().String()+" to "+nc.LocalAddr().String())
	return tr
}

// print writes one line: connection, time, direction ("<" received, ">" sent,
// "*" decided), text.
func (tr *trace) print(direction byte, text string) {
	tr.t.mu.Lock()
	defer tr.t.mu.Unlock()
	// Nobody can be told of a transcript that cannot be written.
	_, _ = fmt.Fprintf(tr.t.w, "#%d %s %c %s\n", tr.number, tr.t.now().Format("15:04:05.000000"), direction, text)
}

// say notes a decision and the section behind it, written "9110, 15.5.5".
func (tr *trace) say(section, decision string) {
	tr.print('*', decision+"  [RFC "+strings.Replace(section, ", ", " section ", 1)+"]")
}

// received shows a head as it came.
func (tr *trace) received(head []byte) { tr.lines('<', head) }

// sent shows what has been added to the head of a response.
func (tr *trace) sent(out []byte) {
	if i := strings.LastIndex(string(out), "HTTP/1.1 "); i >= 0 {
		tr.lines('>', out[i:])
	}
}

// maxTraced bounds what of a hostile head is shown.
const maxTraced = 200

func (tr *trace) lines(direction byte, text []byte) {
	n, hidden := 0, false
	for line := range strings.Lines(string(text)) {
		if n++; n > maxTraced {
			tr.print('*', "and more lines")
			return
		}
		// A folded line goes on with the value before it.
		if folded := line[0] == ' ' || line[0] == '\t'; !folded || !hidden {
			line, hidden = mask(line)
		} else {
			line = " (hidden as well)"
		}
		tr.print(direction, visible(line))
	}
}

// secret are the fields whose values stay hidden.
var secret = [...]string{"authorization", "proxy-authorization", "cookie", "set-cookie"}

// mask hides the value of a field that may hold a password.
func mask(line string) (shown string, hidden bool) {
	name, value, ok := strings.Cut(line, ":")
	if !ok {
		return line, false
	}
	for _, s := range secret {
		if strings.EqualFold(strings.TrimSpace(name), s) {
			return name + ": (hidden, " + strconv.Itoa(len(strings.TrimSpace(value))) + " bytes)", true
		}
	}
	return line, false
}

// visible escapes what is not printable ASCII, and cuts what is very long.
func visible(line string) string {
	const most = 500
	if len(line) > most {
		line = line[:most] + "…"
	}
	quoted := strconv.QuoteToASCII(line)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// content tells how much content follows a head.
func (tr *trace) content(n int64) {
	if tr != nil {
		tr.print('>', fmt.Sprintf("(%d bytes of content)", n))
	}
}

func (tr *trace) closed() {
	if tr != nil {
		tr.print('*', "connection closed")
	}
}

// traceFound tells what the path turned out to be.
func (c *conn) traceFound(x *exchange, found site.Result) {
	if c.trace == nil {
		return
	}
	path := visible(x.path)
	switch found.Kind {
	case site.File:
		c.sayf("9110, 15.3.1", "%s is the file %s, %d bytes of %s", path, visible(found.Resource.Name),
			found.Resource.Plain().Size, found.Resource.Type)
	case site.Directory:
		c.sayf("9110, 9.3", "%s is a directory without an index file", path)
	case site.Moved:
		c.sayf("9110, 15.4", "%s is a directory: relative links in its page need the final slash", path)
	case site.Forbidden:
		c.sayf("9110, 15.5.4", "%s is there, and others may not read it: 403", path)
	case site.NotFound:
		c.sayf("9110, 15.5.5", "%s names no file that may be seen: 404", path)
	case site.Failed:
		c.sayf("9110, 15.6.4", "%s cannot be opened: 503", path)
	}
}

// traceChoice tells which representation was chosen.
func (c *conn) traceChoice(x *exchange, r *site.Resource, rep *site.Representation) {
	if !r.Negotiable() {
		return
	}
	coding := rep.Encoding
	if coding == "" {
		coding = "no coding"
	}
	accept := "there is no Accept-Encoding"
	if x.hasEncoding {
		accept = "Accept-Encoding is " + visible(x.acceptEncoding)
	}
	c.sayf("9110, 12.5.3", "%s: %s is sent, %d bytes", accept, coding, rep.Size)
}

// recorder keeps what is read of a head, for the transcript.
type recorder struct {
	*reader
	head []byte
}

func (r *recorder) Discard(n int) (int, error) {
	r.head = append(r.head, r.buf[r.r:r.r+min(n, r.w-r.r)]...)
	return r.reader.Discard(n)
}

func (r *recorder) ReadSlice(delim byte) ([]byte, error) {
	p, err := r.reader.ReadSlice(delim)
	r.head = append(r.head, p...)
	return p, err
}

// rest adds what a head that was refused has left in the buffer.
func (r *recorder) rest() { r.head = append(r.head, r.buf[r.r:r.w]...) }
