package server

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"topdown/webserver/internal/tracefile"
)

// Tracer writes an annotated transcript of every exchange: what was received,
// what was decided and by which section of which RFC, and what was sent. Make
// it with NewTracer.
type Tracer struct {
	w io.Writer
	// File, if not nil, gets the same as events.
	File *tracefile.File
	now  func() time.Time
	mu   sync.Mutex
	last atomic.Int64 // number of the last connection
}

// NewTracer returns a tracer that writes to w, if that is not nil, with the times
// that now returns.
func NewTracer(w io.Writer, now func() time.Time) *Tracer { return &Tracer{w: w, now: now} }

// TraceHelpers are the functions that only tell the trace what others decide.
var TraceHelpers = []string{
	"event", "say", "sayf", "received", "sent", "content", "took", "secured", "closed", "connection", "newConn", "traceFound", "end",
}

// trace is the transcript of one connection. A nil *trace is none.
type trace struct {
	t      *Tracer
	number int64
	step   string // the textbook's, that the next decision belongs to
}

func (t *Tracer) connection(nc net.Conn) *trace {
	tr := &trace{t: t, number: t.last.Add(1)}
	tr.print('*', "connection from "+nc.RemoteAddr().String()+" to "+nc.LocalAddr().String())
	e := tracefile.Event{From: "client", To: "server", What: tracefile.State, Text: "open", Step: "4 accept"}
	if nc.LocalAddr().Network() == "tcp" {
		e.Transport, e.Source, e.Destination = "tcp", nc.RemoteAddr().String(), nc.LocalAddr().String()
	}
	tr.event(e)
	return tr
}

// event writes to the trace file, if there is one.
func (tr *trace) event(e tracefile.Event) {
	if tr.t.File != nil {
		e.Conversation = strconv.FormatInt(tr.number, 10)
		tr.t.File.Write(tr.t.now(), e)
	}
}

// print writes one line: connection, time, direction ("<" received, ">" sent,
// "*" decided), text.
func (tr *trace) print(direction byte, text string) {
	if tr.t.w == nil {
		return
	}
	tr.t.mu.Lock()
	defer tr.t.mu.Unlock()
	// Nobody can be told of a transcript that cannot be written.
	_, _ = fmt.Fprintf(tr.t.w, "#%d %s %c %s\n", tr.number, tr.t.now().Format("15:04:05.000000"), direction, text)
}

// say notes a decision and the section behind it, written "9110, 15.5.5".
func (tr *trace) say(section, decision string) {
	tr.print('*', decision+"  [RFC "+strings.Replace(section, ", ", " section ", 1)+"]")
	rfc, part, _ := strings.Cut(section, ", ")
	number, _ := strconv.Atoi(rfc)
	tr.event(tracefile.Event{From: "server", What: tracefile.Decision, Text: decision, RFC: number, Section: part, Step: tr.step})
}

// received shows a head as it came.
func (tr *trace) received(head []byte) {
	shown := tr.lines('<', head)
	if len(head) > 0 {
		tr.event(tracefile.Event{From: "client", To: "server", What: tracefile.Line, Text: shown, Step: "5 receive"})
	}
	tr.step = "6 parse"
}

// sent shows what has been added to the head of a response.
func (tr *trace) sent(out []byte) {
	if i := strings.LastIndex(string(out), "HTTP/1.1 "); i >= 0 {
		shown := tr.lines('>', out[i:])
		tr.event(tracefile.Event{From: "server", To: "client", What: tracefile.Line, Text: shown, Step: "8 respond"})
	}
}

// maxTraced bounds what of a hostile head is shown.
const maxTraced = 200

// lines shows a head line by line, and returns it for the trace file.
func (tr *trace) lines(direction byte, text []byte) string {
	n, hidden := 0, false
	var shown strings.Builder
	for line := range strings.Lines(string(text)) {
		if n++; n > maxTraced {
			tr.print('*', "and more lines")
			break
		}
		// A folded line goes on with the value before it.
		ending := line[len(strings.TrimRight(line, "\r\n")):]
		if folded := line[0] == ' ' || line[0] == '\t'; !folded || !hidden {
			line, hidden = mask(line)
		} else {
			line = " (hidden as well)"
		}
		tr.print(direction, visible(line))
		shown.WriteString(tracefile.Escape(cut(strings.TrimRight(line, "\r\n")) + ending))
	}
	return shown.String()
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
	quoted := strconv.QuoteToASCII(cut(line))
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

func cut(line string) string {
	const most = 500
	if len(line) > most {
		return line[:most] + "…"
	}
	return line
}

// keptContent is how many bytes of content a trace file keeps.
const keptContent = 256

// content tells how much content follows a head, and how it begins if that is known.
func (tr *trace) content(begins []byte, n int64) {
	if tr == nil {
		return
	}
	tr.print('>', fmt.Sprintf("(%d bytes of content)", n))
	if n == 0 {
		return
	}
	begins = begins[:min(len(begins), keptContent)]
	e := tracefile.Event{From: "server", To: "client", What: tracefile.Bytes, Text: tracefile.Escape(begins), Step: "8 respond"}
	if int64(len(begins)) < n {
		e.Size = n
	}
	tr.event(e)
}

// took tells how much content came with a request. What a form says is the user's,
// and not shown.
func (tr *trace) took(n int64) {
	if tr != nil && n > 0 {
		tr.event(tracefile.Event{From: "client", To: "server", What: tracefile.Bytes, Size: n, Step: "5 receive"})
	}
}

// secured tells that the connection is a TLS one.
func (tr *trace) secured(state *tls.ConnectionState) {
	tr.event(tracefile.Event{
		From: "client", To: "server", What: tracefile.State, Text: "tls",
		Why: tls.VersionName(state.Version) + ", " + tls.CipherSuiteName(state.CipherSuite), RFC: 9110, Section: "4.2.2",
	})
}

func (tr *trace) closed() {
	if tr != nil {
		tr.print('*', "connection closed")
		tr.event(tracefile.Event{From: "server", To: "client", What: tracefile.State, Text: "close", Step: "9 close"})
	}
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
