// Package proxyserver grades the web proxy lab: requirements P1 to P8 of the
// assignment. The proxy stands between requests of the grader's and origins of the
// grader's, which count what they are asked for.
package proxyserver

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"topdown/scripts/grade/internal/rawhttp"
	"topdown/scripts/grade/internal/rubric"
	"topdown/scripts/grade/internal/submission"
)

type lab struct {
	*submission.Server

	origin *origin // at a port of its own
	port80 *origin // for a proxy that knows no other port; nil where it is not ours to use
	path   *bool   // whether the proxy takes the path form; found out once

	canary []byte
	secret string
}

// Rubric returns the lab's checks for a submission, and a function that ends it.
// Without a submission the checks are for reading only.
func Rubric(s *submission.Submission) (*rubric.Rubric, func(), error) {
	server, err := submission.NewServer(s, "tcp")
	if err != nil {
		return nil, nil, err
	}
	l := &lab{Server: server}
	r := &rubric.Rubric{
		Lab:    "proxyserver",
		Stages: []string{"listen, fetch and answer", "the request to the origin", "the cache", "robust and safe", "beyond GET"},
		Checks: l.checks(),
		Vars: func() map[string]string {
			vars := map[string]string{"host": l.Host, "port": strconv.Itoa(l.Port)}
			if l.origin != nil {
				vars["origin"] = l.origin.addr()
			}
			return vars
		},
	}
	if s == nil {
		return r, nil, nil
	}
	return r, l.close, l.prepare()
}

func (l *lab) prepare() error {
	s := l.Submission
	var err error
	if l.origin, err = newOrigin("origin", "127.0.0.1:0"); err != nil {
		return err
	}
	if s.Box.Isolated {
		if l.port80, err = newOrigin("origin", "127.0.0.1:80"); err != nil {
			return err
		}
	}
	l.canary = []byte("secret-" + s.Text(20))
	// Outside the folder in which the proxy runs: a file beside it may be served,
	// as one of the assignments has it.
	l.secret = filepath.Join(s.Box.Scratch, "canary.txt")
	return os.WriteFile(l.secret, l.canary, 0o644)
}

func (l *lab) close() {
	l.End()
	l.origin.close()
	if l.port80 != nil {
		l.port80.close()
	}
}

// ensure starts the proxy if it does not run, and makes t's log the origin's.
func (l *lab) ensure(t *rubric.T) *rubric.Failure {
	l.origin.follow(t.Log)
	return l.Ensure(t)
}

// ready is ensure for checks that cannot say anything of a proxy that does not
// start, or takes no form of request. One that fetches from port 80 alone, as the
// handout's example has it, is asked for pages there from then on: that it knows no
// other port is for "path".
func (l *lab) ready(t *rubric.T) *rubric.Failure {
	if f := l.ensure(t); f != nil {
		return rubric.Skipf("the proxy does not start: %s", f.Seen)
	}
	if l.path != nil {
		return nil
	}
	word := []byte(l.Text(12))
	for _, o := range []*origin{l.origin, l.port80} {
		if o == nil {
			continue
		}
		o.set("/probe", resource{body: word})
		for _, yes := range []bool{true, false} {
			if f := l.ensure(t); f != nil {
				return rubric.Skipf("the proxy does not start: %s", f.Seen)
			}
			l.path = &yes
			target, host := l.form(o, "/probe")
			if m, f := l.get(t, target, host); f == nil && bytes.Contains(m.Raw, word) {
				if o == l.port80 {
					l.origin, l.port80 = o, l.origin
					l.origin.follow(t.Log)
				}
				return nil
			}
		}
	}
	l.path = nil
	return rubric.Skipf("the proxy fetches no page, neither in the path form nor in the absolute form")
}

// form writes the target for a page of an origin, in the form that the proxy takes.
func (l *lab) form(o *origin, path string) (target, host string) {
	return l.formOf(o.addr(), path)
}

func (l *lab) formOf(addr, path string) (target, host string) {
	if l.path == nil || *l.path {
		return "/" + addr + path, ""
	}
	return "http://" + addr + path, addr
}

// fetch gets a page of the origin through the proxy.
func (l *lab) fetch(t *rubric.T, path string, fields ...string) (*rawhttp.Message, *rubric.Failure) {
	target, host := l.form(l.origin, path)
	return l.get(t, target, host, fields...)
}

// get sends a GET to the proxy. Without a host the Host field is the proxy's own.
func (l *lab) get(t *rubric.T, target, host string, fields ...string) (*rawhttp.Message, *rubric.Failure) {
	if host == "" {
		host = l.Address()
	}
	if len(fields) == 0 {
		fields = []string{"Connection: close"}
	}
	lines := append([]string{"GET " + target + " HTTP/1.1", "Host: " + host, "User-Agent: grade", "Accept: */*"}, fields...)
	return l.exchange(t, []byte(strings.Join(lines, "\r\n")+"\r\n\r\n"), l.Timeout)
}

func (l *lab) exchange(t *rubric.T, request []byte, timeout time.Duration) (*rawhttp.Message, *rubric.Failure) {
	raw, err := net.DialTimeout("tcp", l.Address(), l.Timeout)
	if err != nil {
		return nil, rubric.Failf("a connection is accepted", "%s%s", submission.Reason(err), l.State())
	}
	defer raw.Close()
	conn := t.Log.Wrap(raw, "")
	_ = conn.SetWriteDeadline(time.Now().Add(l.Timeout))
	if _, err := conn.Write(request); err != nil {
		return nil, rubric.Failf("the request is taken", "%s%s", submission.Reason(err), l.State())
	}
	m := rawhttp.Read(conn, rawhttp.Options{Timeout: timeout})
	if len(m.Raw) > 0 {
		return m, nil
	}
	switch {
	case m.TimedOut:
		return nil, rubric.Failf("a response", "no byte came within %v", timeout)
	case m.Reset:
		return nil, rubric.Failf("a response", "the connection was reset before a byte came%s", l.State())
	}
	return nil, rubric.Failf("a response", "the connection was closed before a byte came%s", l.State())
}

// right fails unless m is a 200 with the body.
func right(m *rawhttp.Message, body []byte, want string) *rubric.Failure {
	switch {
	case m.Code() == 0:
		return rubric.Failf(want, "no status line: the first bytes are %q", clip(m.Raw))
	case m.Code() != 200:
		return rubric.Failf(want, "%q", m.StartLine)
	}
	got := m.Content()
	if bytes.Equal(got, body) {
		if m.TimedOut {
			return rubric.Failf(want, "the page came, but then the connection stayed open: the browser goes on waiting").
				WithHint("Close the client's connection when the response is sent, or send the Content-Length of the origin's response.")
		}
		return nil
	}
	if bytes.Contains(got, []byte("HTTP/1.")) {
		return rubric.Failf(want, "a second head stands in the body: %q", clip(got)).
			WithHint("The stored copy holds the origin's status line and header already: do not send another \"HTTP/1.0 200 OK\" before it.")
	}
	seen := fmt.Sprintf("%d bytes instead of %d", len(got), len(body))
	if bytes.HasPrefix(body, got) {
		seen = fmt.Sprintf("only the first %d of %d bytes", len(got), len(body))
	}
	return rubric.Failf(want, "%s: %q", seen, clip(got))
}

func clip(b []byte) []byte { return b[:min(len(b), 60)] }
