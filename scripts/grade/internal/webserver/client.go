package webserver

import (
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"topdown/scripts/grade/internal/rawhttp"
	"topdown/scripts/grade/internal/rubric"
	"topdown/scripts/grade/internal/submission"
	"topdown/scripts/grade/internal/transcript"
)

// inner returns the connection below the transcript.
func inner(conn net.Conn) net.Conn {
	if c, ok := conn.(*transcript.Conn); ok {
		return c.Conn
	}
	return conn
}

var requestLine = regexp.MustCompile(`^GET /HelloWorld\.html HTTP/1\.[01]$`)

// client runs the submission's own client against a server of the grader's.
func (l *lab) client(t *rubric.T) *rubric.Failure {
	command := l.Also["client"]
	if command == "" {
		return rubric.Skipf("no client was named: --also client='python3 client.py {host} {port} {file}'")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return rubric.Skipf("%v", err)
	}
	defer ln.Close()
	port := ln.Addr().(*net.TCPAddr).Port
	p, err := l.Start(command, map[string]string{
		"host": "127.0.0.1", "port": strconv.Itoa(port), "file": "HelloWorld.html",
		"url": fmt.Sprintf("http://127.0.0.1:%d/HelloWorld.html", port), "dir": l.Work,
	})
	if err != nil {
		return rubric.Failf("the client starts", "%v", err)
	}
	defer p.Stop()
	t.Log.Notef("started: %s", p.Line)
	want := "GET /HelloWorld.html HTTP/1.1, a field Host, and an empty line"
	_ = ln.(*net.TCPListener).SetDeadline(time.Now().Add(submission.Patience()))
	raw, err := ln.Accept()
	if err != nil {
		return rubric.Failf(want, "the client did not connect%s", submission.Printed(p.Output()))
	}
	defer raw.Close()
	conn := t.Log.Wrap(raw, "")
	m := readRequest(conn, l.Timeout)
	switch {
	case !requestLine.MatchString(m.StartLine):
		return rubric.Failf(want, "the request line is %q", m.StartLine)
	case !m.HasHead:
		return rubric.Failf(want, "no empty line ends the request")
	case len(m.Faults) > 0:
		return rubric.Failf(want, "%s", strings.Join(m.Faults, "; "))
	case strings.HasSuffix(m.StartLine, "1.1") && m.Count("Host") != 1:
		return rubric.Failf(want, "%d fields Host; HTTP/1.1 wants one", m.Count("Host"))
	}
	word := "the-word-is-" + l.Text(12)
	body := "<p>" + word + "</p>\n"
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", len(body))
	_, _ = conn.Write([]byte(head))
	time.Sleep(100 * time.Millisecond) // a client that receives once sees the head only
	_, _ = conn.Write([]byte(body))
	conn.Close()
	want = "the client prints the status line and the page, and ends"
	if !p.Wait(l.Timeout) {
		return rubric.Failf(want, "it still runs %v after the server has closed the connection", l.Timeout)
	}
	out := p.Output()
	if !strings.Contains(out, word) || !strings.Contains(out, "200") {
		return rubric.Failf(want, "%s%s", p.Ending(), submission.Printed(out))
	}
	return nil
}

// readRequest reads a head.
func readRequest(conn net.Conn, timeout time.Duration) *rawhttp.Message {
	_ = conn.SetReadDeadline(time.Now().Add(timeout))
	var raw []byte
	buf := make([]byte, 4096)
	for len(raw) < 64<<10 {
		n, err := conn.Read(buf)
		raw = append(raw, buf[:n]...)
		if m := rawhttp.Parse(raw); m.HasHead || err != nil {
			return m
		}
	}
	return rawhttp.Parse(raw)
}
