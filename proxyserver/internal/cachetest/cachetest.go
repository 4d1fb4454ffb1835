// Package cachetest is a table of what RFC 9111 and its neighbours require of a
// shared cache, each line with its section, and the script that puts it to one:
// to the cache alone, or to a proxy through sockets. Time is a clock that the
// script moves, so that nothing sleeps.
package cachetest

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"topdown/pkg/httpmsg"
)

// Case is one behaviour: exchanges one after another with an empty cache.
type Case struct {
	Name    string
	Section string // "RFC 9111, 4.2.1"
	// Targeted cases are for a cache that obeys CDN-Cache-Control, the others
	// hold for any.
	Targeted bool
	Steps    []Step
}

// Step is a request of a client, what the origin answers if it is asked, and
// what the client must get. In field values {n} is the date n seconds after
// the step.
type Step struct {
	Wait   int    // seconds before it
	Method string // default GET
	Path   string // default /
	Send   string // fields of the request, one a line
	Body   string // content of the request

	// Reply is the origin's answer: its status and fields, one a line; it has a
	// Date unless it says "-Date". "" means that the origin must not be asked,
	// "refuse" that it cannot be reached, "cut" before the status that its
	// content breaks off. After "|" a second answer may follow.
	Reply   string
	Content string // of the reply; default: one of this step's own

	AtOrigin string // fields that the request must have there; "!Name" must not
	Status   int    // default: the reply's, or that of the stored response
	Want     string // fields that the answer must have; "!Name" must not
	Text     string // content of the answer; default: the reply's, or the stored one
	Broken   bool   // the answer breaks off
}

// Clock is the time that cache and origin go by.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that stands at a whole second.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)} }

// Now returns its time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves it on.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	c.mu.Unlock()
}

// Request is what the origin is asked, or the client asks.
type Request struct {
	Method, Path string
	Fields       httpmsg.Fields
	Content      string
}

// Reply is what the origin answers.
type Reply struct {
	Status  int
	Reason  string
	Fields  httpmsg.Fields // without framing
	Content string
	Refuse  bool // close without an answer
	Cut     bool // break off in the middle of the content
	Chunked bool // the length is not known in advance
}

// Answer is what the client gets.
type Answer struct {
	Status  int
	Fields  httpmsg.Fields
	Content string
	Broken  bool // it ended before its end
}

// Origin answers by script.
type Origin struct {
	mu      sync.Mutex
	t       *testing.T
	replies []Reply
	asked   []Request
}

// Answer returns the reply to a request and records it.
func (o *Origin) Answer(r Request) Reply {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, r)
	if len(o.replies) == 0 {
		return Reply{Status: 599, Reason: "Not Expected"}
	}
	reply := o.replies[0]
	if len(o.replies) > 1 {
		o.replies = o.replies[1:]
	}
	return reply
}

// Start makes an empty cache in front of the origin, that goes by the clock,
// and returns how a client asks it.
type Start func(t *testing.T, origin *Origin, clock *Clock, targeted bool) func(Request) Answer

// Run puts the cases to a cache.
func Run(t *testing.T, cases []Case, start Start) {
	t.Helper()
	seen := map[string]bool{}
	for _, c := range cases {
		if seen[c.Name] {
			t.Errorf("two cases are called %q", c.Name)
		}
		seen[c.Name] = true
		t.Run(c.Name, func(t *testing.T) { run(t, c, start) })
	}
}

func run(t *testing.T, c Case, start Start) {
	t.Helper()
	clock := NewClock()
	origin := &Origin{t: t}
	ask := start(t, origin, clock, c.Targeted)
	status, content := 0, ""
	for i, s := range c.Steps {
		clock.Advance(time.Duration(s.Wait) * time.Second)
		now := clock.Now()
		replies := s.replies(i, now)
		origin.mu.Lock()
		origin.replies, origin.asked = replies, nil
		origin.mu.Unlock()

		req := Request{Method: "GET", Path: "/", Fields: fields(s.Send, now), Content: s.Body}
		if s.Method != "" {
			req.Method = s.Method
		}
		if s.Path != "" {
			req.Path = s.Path
		}
		got := ask(req)

		where := fmt.Sprintf("%s: step %d, %s %s", c.Section, i+1, req.Method, req.Path)
		origin.mu.Lock()
		asked := origin.asked
		origin.mu.Unlock()
		switch {
		case s.Reply == "" && len(asked) > 0:
			t.Fatalf("%s: answered by the origin (%v), want the cache", where, asked[0].Fields)
		case s.Reply != "" && len(asked) == 0:
			t.Fatalf("%s: answered by the cache (%d %v), want the origin", where, got.Status, got.Fields)
		}
		if len(asked) > 0 {
			checkFields(t, where+": at the origin", asked[0].Fields, s.AtOrigin, now)
			last := replies[min(len(asked), len(replies))-1]
			if last.Status >= 200 && last.Status != 304 && !last.Refuse {
				status, content = last.Status, last.Content
			}
		}
		want := s.Status
		if want == 0 {
			want = status
		}
		if got.Status != want {
			t.Fatalf("%s: status %d %v, want %d", where, got.Status, got.Fields, want)
		}
		checkFields(t, where, got.Fields, s.Want, now)
		text := s.Text
		if text == "" {
			text = content
		}
		if req.Method == "HEAD" || got.Status == 304 || got.Status == 204 || s.Reply == "" && got.Status != status && got.Status >= 400 {
			text = "" // none, or the cache's own
		}
		switch {
		case got.Broken != s.Broken:
			t.Fatalf("%s: broken off: %v, want %v", where, got.Broken, s.Broken)
		case !got.Broken && got.Content != text && s.Text != "*":
			t.Fatalf("%s: content %q, want %q", where, got.Content, text)
		}
	}
}

func (s *Step) replies(i int, now time.Time) []Reply {
	if s.Reply == "" {
		return nil
	}
	var replies []Reply
	for n, text := range strings.Split(s.Reply, "|") {
		text = strings.TrimSpace(text)
		if text == "refuse" {
			replies = append(replies, Reply{Refuse: true})
			continue
		}
		first, rest, _ := strings.Cut(text, "\n")
		var r Reply
		for word := range strings.FieldsSeq(first) {
			switch word {
			case "cut":
				r.Cut = true
			case "chunked":
				r.Chunked = true
			default:
				r.Status, _ = strconv.Atoi(word)
			}
		}
		r.Reason = "As Scripted"
		r.Fields = fields(rest, now)
		if r.Fields.Has("-Date") {
			r.Fields.Del("-Date")
		} else if !r.Fields.Has("Date") {
			r.Fields.Add("Date", date(now, 0))
		}
		r.Content = s.Content
		if r.Content == "" {
			r.Content = fmt.Sprintf("content %d.%d of the script", i+1, n+1)
		}
		if s.Method == "HEAD" || r.Status == 304 || r.Status == 204 {
			r.Content = ""
		}
		replies = append(replies, r)
	}
	return replies
}

func date(now time.Time, seconds int) string {
	return string(httpmsg.AppendDate(nil, now.Add(time.Duration(seconds)*time.Second)))
}

// fields reads field lines, with dates put in.
func fields(text string, now time.Time) httpmsg.Fields {
	var f httpmsg.Fields
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		f.Add(name, expand(strings.TrimSpace(value), now))
	}
	return f
}

func expand(value string, now time.Time) string {
	open := strings.IndexByte(value, '{')
	end := strings.IndexByte(value, '}')
	if open < 0 || end < open {
		return value
	}
	n, err := strconv.Atoi(value[open+1 : end])
	if err != nil {
		return value
	}
	return value[:open] + date(now, n) + value[end+1:]
}

func checkFields(t *testing.T, where string, got httpmsg.Fields, want string, now time.Time) {
	t.Helper()
	for line := range strings.SplitSeq(want, "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if absent, ok := strings.CutPrefix(line, "!"); ok {
			if got.Has(absent) {
				t.Fatalf("%s: has %s: %q, want none", where, absent, got.Get(absent))
			}
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = expand(strings.TrimSpace(value), now)
		if part, ok := strings.CutPrefix(value, "~"); ok {
			if !strings.Contains(got.Get(name), part) {
				t.Fatalf("%s: %s is %q, want it to have %q", where, name, got.Get(name), part)
			}
			continue
		}
		all := ""
		for v := range got.Values(name) {
			if all != "" {
				all += ", "
			}
			all += v
		}
		if all != value {
			t.Fatalf("%s: %s is %q, want %q", where, name, all, value)
		}
	}
}
