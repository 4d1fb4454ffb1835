package session

import (
	"regexp"
	"strconv"
	"sync/atomic"
	"time"

	"topdown/smtpclient/internal/tracefile"
)

// A Tracer writes sessions to a trace file.
type Tracer struct {
	file *tracefile.File
	last atomic.Int64 // number of the last session
}

// NewTracer returns a tracer that writes to file.
func NewTracer(file *tracefile.File) *Tracer { return &Tracer{file: file} }

// keptContent is how many bytes of a message a trace keeps.
const keptContent = 4 << 10

// trace is one session in the trace file. A nil *trace is none.
type trace struct {
	file    *tracefile.File
	number  string
	lessons *Lessons
	taught  map[string]bool // steps whose explanation was written
	closed  atomic.Bool     // Close may come from anywhere
	conn    *Conn

	// Content that passed and was not written yet.
	from string
	text []byte
	size int64
	at   time.Time
}

// begin begins the trace of a session, which is connected.
func (t *Tracer) begin(c *Conn, lessons *Lessons) *trace {
	if t == nil {
		return nil
	}
	if lessons == nil {
		lessons = &Lessons{}
	}
	tr := &trace{file: t.file, number: strconv.FormatInt(t.last.Add(1), 10), lessons: lessons, taught: make(map[string]bool), conn: c}
	e := tr.event("client", "connect")
	e.To, e.What, e.Text, e.Transport = "server", tracefile.State, "open", "tcp"
	e.Source, e.Destination = c.LocalAddr().String(), c.RemoteAddr().String()
	tr.file.Write(time.Now(), e)
	return tr
}

var rfc = regexp.MustCompile(`^RFC (\d+)(?: section ([\d.]+))?`)

// event fills in what an event of a step has: the lesson, and its explanation once.
func (tr *trace) event(from, step string) tracefile.Event {
	e := tracefile.Event{Conversation: tr.number, From: from}
	about, known := tr.lessons.Steps[step]
	if !known {
		return e
	}
	e.Step = about[0]
	if found := rfc.FindStringSubmatch(about[1]); found != nil {
		e.RFC, _ = strconv.Atoi(found[1])
		e.Section = found[2]
	}
	if !tr.taught[step] {
		tr.taught[step] = true
		e.Why = about[2]
	}
	return e
}

// said writes a line of the dialogue, secrets masked, or a judgement on one.
func (tr *trace) said(from Speaker, step, line string) {
	if tr == nil || from == Note || from == Client && step == "dot" { // the dot is content that passed
		return
	}
	tr.flush()
	e := tr.event("client", step)
	e.To, e.What, e.Text = "server", tracefile.Line, tracefile.Escape(line+"\r\n")
	switch from {
	case Server:
		e.From, e.To = "server", "client"
		if tr.lessons.Meaning != nil {
			if meaning := tr.lessons.Meaning(line); meaning != "" {
				e.Why = meaning
			}
		}
	case Verdict:
		e.To, e.What, e.Text = "", tracefile.Decision, tracefile.Escape(line)
	}
	tr.file.Write(time.Now(), e)
}

// secured tells that the session goes on inside TLS.
func (tr *trace) secured(how string) {
	if tr == nil {
		return
	}
	e := tr.event("client", "TLS")
	e.To, e.What, e.Text = "server", tracefile.State, "tls"
	e.Why = how
	tr.file.Write(time.Now(), e)
}

// content takes note of a piece of a message. It is written, as one event, before
// the next line.
func (tr *trace) content(from string, p []byte) {
	if tr == nil || len(p) == 0 {
		return
	}
	tr.from, tr.at = from, time.Now()
	tr.size += int64(len(p))
	tr.text = append(tr.text, p[:min(len(p), keptContent-len(tr.text))]...)
}

func (tr *trace) flush() {
	if tr.size == 0 {
		return
	}
	e := tr.event(tr.from, "message")
	e.To, e.What, e.Size = "client", tracefile.Bytes, tr.size
	if tr.from == "client" {
		e.To = "server"
	}
	if e.Text = tracefile.Escape(tr.conn.Mask.Hide(string(tr.text))); int64(len(tr.text)) == tr.size && tr.conn.Mask.Hide(string(tr.text)) == string(tr.text) {
		e.Size = 0
	}
	tr.text, tr.size = nil, 0
	tr.file.Write(tr.at, e)
}

// ended tells that we close the connection.
func (tr *trace) ended() {
	if tr == nil || tr.closed.Swap(true) {
		return
	}
	tr.file.Write(time.Now(), tracefile.Event{Conversation: tr.number, From: "client", To: "server", What: tracefile.State, Text: "close"})
}
