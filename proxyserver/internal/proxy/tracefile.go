package proxy

import (
	"bytes"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/mask"
	"topdown/proxyserver/internal/tracefile"
)

// This file has what an exchange says to the trace file, where there is one: the
// proxy stands in the middle, between client and origin, and its cache beside it.

// TraceHelpers are the functions that only tell the trace what others do.
var TraceHelpers = []string{
	"event", "headEvent", "client", "origin", "explain", "note", "say", "Say", "said", "newTrace", "begun", "connected", "received", "looked", "over", "tell", "closed",
	"explainConn", "finish", "answer", "print",
}

// tracedConn is what the trace knows of a client's connection.
type tracedConn struct {
	opened bool
	last   string // conversation
	ends   [2]string
}

// tells reports whether anybody is told of events.
func (t *trace) tells() bool { return t.out.file != nil || t.kept != nil }

// event writes to the trace file, and to what the history keeps.
func (t *trace) event(at time.Time, e tracefile.Event) {
	e.Conversation = t.number
	t.out.file.Write(at, e)
	if t.kept != nil {
		t.kept.file.Write(at, e)
	}
}

// begun tells of a request that came, and of the connection if it is new. Each
// exchange is a conversation of its own.
func (t *trace) begun(conn *tracedConn, client, own net.Addr, secure bool) {
	if !t.tells() {
		return
	}
	t.number = strconv.FormatInt(t.out.last.Add(1), 10)
	conn.last = t.number
	e := tracefile.Event{From: "client", To: "proxy", What: tracefile.State, Text: "open", Transport: "tcp", Step: "3 accept"}
	if conn.opened {
		e.Text, e.Why, e.RFC, e.Section, e.Step = "reused", "the client kept the connection", 9112, "9.3", ""
	} else {
		conn.ends = [2]string{client.String(), own.String()}
	}
	e.Source, e.Destination = conn.ends[0], conn.ends[1]
	now := time.Now()
	t.event(now, e)
	if secure && !conn.opened {
		t.event(now, tracefile.Event{From: "client", To: "proxy", What: tracefile.State, Text: "tls"})
	}
	conn.opened = true
}

// headEvent writes a head, its secrets hidden.
func (t *trace) headEvent(from, to, step string, head []byte) {
	if !t.tells() {
		return
	}
	var shown strings.Builder
	for line := range strings.SplitSeq(string(bytes.TrimRight(head, "\r\n")), "\r\n") {
		shown.WriteString(mask.Line(line) + "\r\n")
	}
	if bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		shown.WriteString("\r\n")
	}
	t.event(time.Now(), tracefile.Event{From: from, To: to, What: tracefile.Line, Text: tracefile.Escape(shown.String()), Step: step})
}

var section = regexp.MustCompile(`^RFC (\d+)(?:, ([\d.]+))?`)

// said writes a decision. Those that RFC 9111 and its neighbours are about are the
// cache's.
func (t *trace) said(where, decision string) {
	if !t.tells() {
		return
	}
	e := tracefile.Event{From: "proxy", What: tracefile.Decision, Text: tracefile.Escape(mask.Login(decision))}
	if found := section.FindStringSubmatch(where); found != nil {
		e.RFC, _ = strconv.Atoi(found[1])
		e.Section = found[2]
	}
	switch e.RFC {
	case 9111, 9211, 9213, 9875, 5861, 8246:
		e.From = "cache"
	}
	t.event(time.Now(), e)
}

// connected tells which connection the request goes to the origin on.
func (t *trace) connected(local, remote net.Addr, kept, secure bool) {
	now := time.Now()
	e := tracefile.Event{
		From: "proxy", To: "origin", What: tracefile.State, Text: "open",
		Transport: "tcp", Source: local.String(), Destination: remote.String(), Step: "5 get the response",
	}
	if kept {
		e.Text, e.Why, e.RFC, e.Section = "reused", "a kept connection", 9112, "9.3"
	}
	t.event(now, e)
	if secure && !kept {
		t.event(now, tracefile.Event{From: "proxy", To: "origin", What: tracefile.State, Text: "tls"})
	}
}

// received tells how much content the origin has sent.
func (t *trace) received(n int64) {
	t.event(time.Now(), tracefile.Event{From: "origin", To: "proxy", What: tracefile.Bytes, Size: n, Step: "5 get the response"})
}

// looked tells what the cache had to do with a response. asked is when it was asked.
func (t *trace) looked(asked time.Time, req *exchange.Request, resp *exchange.Response) {
	if !t.tells() || resp.Result == "" {
		return
	}
	uri := tracefile.Escape(mask.Login(req.URI()))
	t.event(asked, tracefile.Event{From: "proxy", To: "cache", What: tracefile.Line, Text: req.Method + " " + uri, Step: "5 get the response"})
	e := tracefile.Event{From: "cache", What: tracefile.Decision, Fate: strings.ToLower(string(resp.Result)), Step: "5 get the response"}
	switch resp.Result {
	case exchange.Miss:
		e.Text = "from the origin"
	case exchange.Bypass:
		e.Text = "the cache takes no part in this"
	default:
		e.To, e.What, e.Text = "proxy", tracefile.Line, strconv.Itoa(resp.Status)
	}
	t.event(time.Now(), e)
}

// over tells how much content the client got.
func (t *trace) over(sent int64) {
	if sent > 0 {
		t.event(time.Now(), tracefile.Event{From: "proxy", To: "client", What: tracefile.Bytes, Size: sent, Step: "6 respond"})
	}
}

// closed tells that a client's connection has ended.
func (conn *tracedConn) closed(file *tracefile.File) {
	if conn.opened {
		file.Write(time.Now(), tracefile.Event{Conversation: conn.last, From: "proxy", To: "client", What: tracefile.State, Text: "close"})
	}
}
