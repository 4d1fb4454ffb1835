package history

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/mask"
	"topdown/proxyserver/internal/tracefile"
)

// This file has how an exchange is told: in one word, as a URL, as a trace. What
// is secret is masked.

// URL returns what was asked for.
func (r *Record) URL() string {
	if r.Host == "" || r.Method == "CONNECT" {
		return mask.Login(r.Target)
	}
	return mask.Login(r.Scheme + "://" + r.Host + r.Path)
}

// ours are the errors of 500 and above with which the proxy refuses what it could
// do.
var ours = map[string]bool{"proxy_loop_detected": true, "connection_limit_reached": true}

// Word says in one word what became of an exchange.
func (r *Record) Word() string {
	switch {
	case r.Failure != nil && (r.Failure.Status < 500 || ours[r.Failure.Type]):
		return "refused"
	case r.Failure != nil:
		return "failed"
	case r.Method == "CONNECT" || r.Status == 101:
		return "tunnel"
	case r.Result == exchange.Bypass:
		return "passed on"
	case r.Result != "":
		return strings.ToLower(string(r.Result))
	case r.Host == "":
		return "own" // the proxy's own answer
	}
	return "passed on"
}

// Events returns the exchange as a trace file of its own: the one that was taken,
// or else what is known from both heads.
func (r *Record) Events() []byte {
	if r.Trace != nil {
		return r.Trace
	}
	var out bytes.Buffer
	tracefile.New(&out, "proxyserver", "proxy", r.Start) // its first line
	lines := json.NewEncoder(&out)
	lines.SetEscapeHTML(false)
	tell := func(at time.Duration, e tracefile.Event) {
		e.Conversation = strconv.FormatInt(r.ID, 10)
		lines.Encode(struct { //nolint:errcheck // to memory, of strings and numbers
			Time int64 `json:"time"`
			tracefile.Event
		}{int64(at), e})
	}
	if r.Method != "" {
		tell(0, tracefile.Event{
			From: "client", To: "proxy", What: tracefile.Line, Step: "4 receive",
			Text: head(fmt.Sprintf("%s %s HTTP/1.%d", r.Method, r.Target, r.Minor), r.Request),
		})
	}
	switch {
	case r.Failure != nil:
		tell(r.Took, tracefile.Event{From: "proxy", What: tracefile.Decision, Text: tracefile.Escape(mask.Login(r.Failure.Error()))})
	case r.Result != "":
		e := tracefile.Event{From: "cache", What: tracefile.Decision, Fate: strings.ToLower(string(r.Result))}
		for status := range r.Response.Values("Cache-Status") {
			e.Text, e.RFC = tracefile.Escape(status), 9211
		}
		tell(r.Took, e)
	}
	if r.Status != 0 {
		tell(r.Took, tracefile.Event{
			From: "proxy", To: "client", What: tracefile.Line, Step: "6 respond",
			Text: head(fmt.Sprintf("HTTP/1.1 %d %s", r.Status, httpmsg.StatusText(r.Status)), r.Response),
		})
	}
	if r.Sent > 0 {
		tell(r.Took, tracefile.Event{From: "proxy", To: "client", What: tracefile.Bytes, Size: r.Sent, Step: "6 respond"})
	}
	return out.Bytes()
}

func head(start string, fields httpmsg.Fields) string {
	var b strings.Builder
	b.WriteString(mask.Line(start) + "\r\n")
	for _, f := range fields {
		b.WriteString(mask.Line(f.Name+": "+f.Value) + "\r\n")
	}
	b.WriteString("\r\n")
	return tracefile.Escape(b.String())
}
