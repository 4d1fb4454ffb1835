package webserver

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"topdown/scripts/grade/internal/rawhttp"
	"topdown/scripts/grade/internal/rubric"
	"topdown/scripts/grade/internal/submission"
)

const curl = "curl -v http://{host}:{port}"

func (l *lab) checks() []rubric.Check {
	start := []string{"start"}
	return rubric.Prepared([]rubric.Check{
		{
			ID: "start", Points: 10, Stage: 1, Title: "starts within 5 seconds", Run: l.start,
			Requirement: "W3: the port is free to choose; W1: accept a TCP connection",
			Hint:        "Bind to the port that is given on the command line, call listen, and keep accepting.",
			Try:         "nc -v {host} {port}",
		},
		{
			ID: "hello", Points: 15, Stage: 2, Title: "HelloWorld.html byte for byte", Needs: start, Run: l.helloWorld,
			Requirement: "W1: find the file that the request names, and send it",
			RFC:         "RFC 9112, 6", Hint: "Read the file as bytes (mode \"rb\") and send exactly those bytes behind the blank line.",
			Try: curl + "/HelloWorld.html | cmp - HelloWorld.html",
		},
		{
			ID: "status", Points: 10, Stage: 3, Title: "status line and CRLF", Needs: start, Run: l.status,
			Requirement: "W1: a response with a status line and header fields",
			RFC:         "RFC 9112, 2.1 and 4", Hint: "Every line of the head ends with \\r\\n, and an empty line \\r\\n ends the head.",
			Try: "printf 'GET /HelloWorld.html HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n' | nc {host} {port} | head -5 | cat -A",
		},
		{
			ID: "length", Points: 5, Stage: 3, Title: "Content-Length in bytes", Needs: start, Run: l.length,
			Requirement: "the field Content-Length tells the size of the file", RFC: "RFC 9110, 8.6",
			Hint: "Count bytes, not characters: the length of what read() in mode \"rb\" gave.",
			Try:  "curl -sD - -o /tmp/body http://{host}:{port}/utf8.html; wc -c /tmp/body",
		},
		{
			ID: "type", Points: 5, Stage: 3, Title: "Content-Type", Needs: start, Run: l.contentType,
			Requirement: "the field Content-Type tells the kind of the file", RFC: "RFC 9110, 8.3",
			Hint: "Map extensions to types (.html text/html, .png image/png, .jpg image/jpeg), and everything else to application/octet-stream.",
			Try:  "curl -sI -X GET http://{host}:{port}/photo.jpg",
		},
		{
			ID: "missing", Points: 10, Stage: 2, Title: "404 with blank line and body", Needs: start, Run: l.missing,
			Requirement: "W2: a missing file gets 404 Not Found, with a page", RFC: "RFC 9110, 15.5.5",
			Hint: "The 404 is a response like any other: status line, fields, an empty line, a page.",
			Try:  curl + "/no-such-file.html",
		},
		{
			ID: "binary", Points: 10, Stage: 4, Title: "a binary file arrives unchanged", Needs: start, Run: l.binaryFile,
			Requirement: "sources: an HTML page with an image, over one program", RFC: "RFC 9110, 6.4",
			Hint: "Open files in binary mode and send them with sendall; do not decode or print them.",
			Try:  "curl -s http://{host}:{port}/data.bin | sha256sum; sha256sum data.bin",
		},
		{
			ID: "split", Points: 10, Stage: 5, Title: "a request in three pieces", Needs: start, Run: l.split,
			Requirement: "W1: receive the HTTP request, however TCP delivers it", RFC: "RFC 9112, 2.2",
			Hint: "One recv may return a part of the request: receive in a loop until the empty line \\r\\n\\r\\n has come.",
			Try:  "(printf 'GET /HelloW'; sleep 1; printf 'orld.html HTTP/1.1\\r\\nHo'; sleep 1; printf 'st: x\\r\\n\\r\\n') | nc {host} {port}",
		},
		{
			ID: "five", Points: 5, Stage: 1, Title: "five requests in a row", Needs: start, Run: l.five,
			Requirement: "the server goes on after a request",
			Hint:        "accept, answer and close belong in a loop; close only the connection's socket, not the listening one.",
			Try:         "for i in 1 2 3 4 5; do curl -so /dev/null -w '%{http_code}\\n' http://{host}:{port}/HelloWorld.html; done",
		},
		{
			ID: "survive", Points: 10, Stage: 5, Title: "survives empty, garbage and reset connections", Needs: start, Run: l.survive,
			Requirement: "one client's mistake costs the others nothing", RFC: "RFC 9112, 2.2",
			Hint: "An error on one connection ends that connection only: catch it inside the loop, around everything between accept and close.",
			Try:  "nc -z {host} {port}; printf 'garbage\\r\\n\\r\\n' | nc -q1 {host} {port}; " + curl + "/HelloWorld.html",
		},
		{
			ID: "traversal", Points: 10, Stage: 5, Title: "nothing outside the root", Needs: []string{"start", "hello"}, Run: l.traversal,
			Requirement: "no path leaves the root: not by .., encoded or not, //, nor by a symbolic link in it", RFC: "RFC 9110, 17.3",
			Hint: "Decode the path once, join it to the root, resolve it (realpath), and answer 404 if the result does not lie below the root.",
			Try:  "curl -v --path-as-is http://{host}:{port}/../canary.txt",
		},
		{
			ID: "concurrent", Points: 10, Bonus: true, Stage: 6, Title: "answers while other clients are idle", Needs: start, Run: l.concurrent,
			Requirement: "W5 (optional): several requests at a time",
			Hint:        "Serve each accepted connection in a thread of its own.",
			Try:         "nc {host} {port} & " + curl + "/HelloWorld.html; kill %1",
		},
		{
			ID: "methods", Points: 5, Bonus: true, Stage: 3, Title: "HEAD, and 405 with Allow", Needs: start, Run: l.methods,
			Requirement: "source 4: HEAD, and 405 with the field Allow", RFC: "RFC 9110, 9.3.2 and 15.5.6",
			Hint: "HEAD gets the head of the GET without the body; a known method that is not allowed gets 405 with \"Allow: GET, HEAD\".",
			Try:  "curl -I http://{host}:{port}/HelloWorld.html; curl -v -X DELETE http://{host}:{port}/HelloWorld.html",
		},
		{
			ID: "keepalive", Points: 5, Bonus: true, Stage: 6, Title: "two requests over one connection", Needs: start, Run: l.keepalive,
			Requirement: "W1: we also keep alive", RFC: "RFC 9112, 9.3",
			Hint: "After a response with Content-Length, read the next request from the same connection until the client closes it.",
			Try:  "curl -v http://{host}:{port}/HelloWorld.html http://{host}:{port}/HelloWorld.html",
		},
		{
			ID: "client", Points: 5, Bonus: true, Stage: 6, Title: "a client of its own", Run: l.client,
			Requirement: "W6 (optional): client.py host port file does a GET and shows the response", RFC: "RFC 9112, 3",
			Hint: "Send \"GET /file HTTP/1.1\", a Host field and an empty line, then print what comes until the server closes.",
			Try:  "nc -l 8080, and in another terminal the client: python3 client.py localhost 8080 HelloWorld.html",
		},
	}, l.Ensure, "client")
}

// start makes no connection to a program that was just seen to listen: what it does
// with one that says nothing is for "survive".
func (l *lab) start(t *rubric.T) *rubric.Failure {
	if l.Addr == "" {
		return nil
	}
	conn, f := l.dial(t, "")
	if f == nil {
		conn.Close()
	}
	return f
}

// page fetches a page for a check that looks at its head.
func (l *lab) page(t *rubric.T, target, want string, opt rawhttp.Options) (*rawhttp.Message, *rubric.Failure) {
	m, f := l.get(t, target, opt)
	if f == nil {
		f = l.answered(m, want)
	}
	return m, f
}

func (l *lab) helloWorld(t *rubric.T) *rubric.Failure {
	want := fmt.Sprintf("the %d bytes of HelloWorld.html behind the head's blank line", len(l.hello))
	m, f := l.page(t, "/HelloWorld.html", want, rawhttp.Options{})
	if f != nil {
		return f
	}
	body := m.Content()
	if !m.HasHead && bytes.Contains(m.Raw, l.hello) {
		return nil // the file is there; "status" tells what is wrong with the head
	}
	if l.Addr != "" && m.Code() == 200 && len(body) > 0 {
		return nil // a server elsewhere has a page of its own
	}
	// What Content-Length cuts off is that check's matter, and so is the line end that
	// the handout's skeleton sends behind the file.
	if bytes.Equal(bytes.TrimSuffix(m.Body, []byte("\r\n")), l.hello) {
		return nil
	}
	if d := differs(body, l.hello); d != "" {
		if code := m.Code(); code != 0 && code != 200 {
			d = fmt.Sprintf("%q; %s", m.StartLine, d)
		}
		hint := ""
		if bytes.HasPrefix(m.Body, []byte("\r\n")) || bytes.HasPrefix(m.Body, []byte("\n")) {
			hint = "There is one empty line too many between head and body: a line end was sent twice."
		}
		return rubric.Failf(want, "%s", d+l.State()).WithHint(hint)
	}
	return nil
}

var statusLine = regexp.MustCompile(`^HTTP/1\.[01] 200 [ -~]*$`)

func (l *lab) status(t *rubric.T) *rubric.Failure {
	want := `"HTTP/1.1 200 OK\r\n", header lines that end with \r\n, and an empty line \r\n`
	m, f := l.page(t, "/HelloWorld.html", want, rawhttp.Options{})
	if f != nil {
		return f
	}
	if !l.expectHead(m) {
		f := rubric.Failf(want, "%s", strings.Join(m.Faults, "; "))
		for _, fault := range m.Faults {
			if strings.Contains(fault, "before the status line") {
				f.Hint = "The status line must be the very first bytes; curl takes anything else for HTTP/0.9. Look at the string that begins with \" HTTP\"."
			}
		}
		return f
	}
	if !statusLine.MatchString(m.StartLine) {
		return rubric.Failf(want, "the status line is %q", m.StartLine)
	}
	return nil
}

func (l *lab) expectHead(m *rawhttp.Message) bool { return len(m.Faults) == 0 && m.HasHead }

func (l *lab) length(t *rubric.T) *rubric.Failure {
	if l.Addr != "" {
		return l.lengthElsewhere(t)
	}
	want := fmt.Sprintf("Content-Length: %d, the bytes of utf8.html (it has %d characters)", len(l.utf8), len([]rune(string(l.utf8))))
	m, f := l.page(t, "/utf8.html", want, rawhttp.Options{ToEnd: 300 * time.Millisecond})
	if f != nil {
		return f
	}
	switch n := m.Length(); {
	case m.Count("Content-Length") == 0 && m.Chunked():
		return nil
	case m.Count("Content-Length") == 0:
		return rubric.Failf(want, "there is no field Content-Length")
	case n == len([]rune(string(l.utf8))):
		return rubric.Failf(want, "Content-Length: %d: the characters were counted", n)
	case n != len(l.utf8):
		return rubric.Failf(want, "Content-Length: %s, and %d bytes came behind the head", m.Get("Content-Length"), len(m.Body))
	case len(m.Body) > n:
		return rubric.Failf(want, "Content-Length is right, but %d bytes more came behind the body: %q", len(m.Body)-n, clip(m.Body[n:])).
			WithHint("Nothing may follow the body: an extra \\r\\n would be taken for the beginning of the next response.")
	case m.TimedOut && len(m.Body) < n:
		return rubric.Failf(want, "only %d bytes came", len(m.Body))
	}
	return nil
}

func (l *lab) lengthElsewhere(t *rubric.T) *rubric.Failure {
	m, f := l.page(t, "/HelloWorld.html", "Content-Length", rawhttp.Options{ToEnd: 300 * time.Millisecond})
	if f == nil && !m.Chunked() && m.Length() != len(m.Body) {
		f = rubric.Failf("Content-Length is the number of bytes of the body", "Content-Length: %s, and %d bytes", m.Get("Content-Length"), len(m.Body))
	}
	return f
}

func (l *lab) contentType(t *rubric.T) *rubric.Failure {
	for _, c := range []struct{ target, want string }{
		{"/HelloWorld.html", "text/html"},
		{"/pixel.png", "image/png"},
		{"/photo.jpg", "image/jpeg"},
		{"/notes.xyz", ""},
		{"/README_NOEXT", ""},
	} {
		want := "Content-Type: " + c.want + " for " + c.target
		if c.want == "" {
			want = "200 for " + c.target + ", whose extension says nothing"
		}
		if l.Addr != "" && c.target != "/HelloWorld.html" {
			break
		}
		m, f := l.page(t, c.target, want, rawhttp.Options{})
		if f != nil {
			return f
		}
		got, _, _ := strings.Cut(m.Get("Content-Type"), ";")
		switch {
		case c.want == "" && m.Code() != 200 && m.StartLine != "":
			return rubric.Failf(want, "%q", m.StartLine)
		case c.want == "":
		case m.Count("Content-Type") == 0:
			return rubric.Failf(want, "there is no field Content-Type")
		case !strings.EqualFold(strings.TrimSpace(got), c.want):
			return rubric.Failf(want, "Content-Type: %s", m.Get("Content-Type"))
		}
	}
	return nil
}

func (l *lab) missing(t *rubric.T) *rubric.Failure {
	want := "HTTP/1.1 404 Not Found, fields, an empty line, and a page that says so"
	m, f := l.page(t, "/no-such-file-"+l.Text(5)+".html", want, rawhttp.Options{})
	if f != nil {
		return f
	}
	switch {
	case m.Code() != 404:
		return rubric.Failf(want, "the first line is %q", firstLine(m.Raw))
	case !m.HasHead:
		return rubric.Failf(want, "no blank line ends the header of the 404")
	case len(bytes.TrimSpace(m.Body)) == 0:
		return rubric.Failf(want, "the 404 has no body: a browser shows an empty page")
	case m.Count("Content-Length") > 0 && m.Length() != len(m.Body) && !m.Chunked() && string(m.Body[min(len(m.Body), max(0, m.Length())):]) != "\r\n":
		// A line end too many is for "length".
		return rubric.Failf(want, "Content-Length: %s, and %d bytes of body", m.Get("Content-Length"), len(m.Body))
	case m.TimedOut && m.Length() < 0:
		return rubric.Failf(want, "the page came, but the connection stays open without Content-Length: the browser goes on waiting").
			WithHint("Close the connection after the 404, too.")
	}
	return nil
}

func firstLine(raw []byte) string {
	line, _, _ := bytes.Cut(raw, []byte("\n"))
	return string(clip(line))
}

func (l *lab) binaryFile(t *rubric.T) *rubric.Failure {
	if l.Addr != "" {
		return rubric.Skipf("the files of a server elsewhere are not known")
	}
	want := fmt.Sprintf("the %d bytes of data.bin, SHA-256 %.8x…", len(l.binary), sha256.Sum256(l.binary))
	m, f := l.page(t, "/data.bin", want, rawhttp.Options{})
	if f != nil {
		return f
	}
	if bytes.Equal(m.Body, l.binary) {
		return nil
	}
	if bytes.HasPrefix(m.Body, l.binary) && len(m.Body)-len(l.binary) <= 4 {
		return nil // a line end too many: "hello" and "length" tell
	}
	body := m.Content()
	d := differs(body, l.binary)
	if m.Code() != 200 {
		d = fmt.Sprintf("%q; %s", m.StartLine, d)
	}
	return rubric.Failf(want, "SHA-256 %.8x…: %s%s", sha256.Sum256(body), d, l.State())
}

// alive asks for the page and fails, saying after what, if it is not served.
func (l *lab) alive(t *rubric.T, after string) *rubric.Failure {
	want := "the page is still served after " + after
	m, f := l.get(t, "/HelloWorld.html", rawhttp.Options{})
	if f == nil {
		f = l.answered(m, want)
	}
	if f != nil {
		f.Expected = want
		return f
	}
	if l.Addr == "" && !served(m, l.hello) || l.Addr != "" && m.Code() != 200 {
		return rubric.Failf(want, "%q, %d bytes%s", firstLine(m.Raw), len(m.Raw), l.State())
	}
	return nil
}

func (l *lab) split(t *rubric.T) *rubric.Failure {
	want := "the page, though the request comes in three pieces"
	conn, f := l.dial(t, "")
	if f != nil {
		return f
	}
	defer conn.Close()
	request := l.request("GET", "/HelloWorld.html", "Connection: close")
	cut := []int{len("GET /HelloW"), len("GET /HelloWorld.html HTTP/1.1\r\nHo"), len(request)}
	for i, from := 0, 0; i < len(cut); i++ {
		if _, err := conn.Write([]byte(request[from:cut[i]])); err != nil {
			return rubric.Failf(want, "%s after %d of 3 pieces%s", submission.Reason(err), i, l.State())
		}
		from = cut[i]
		if i < len(cut)-1 {
			// A server that reads once answers or closes now; one that reads on
			// lets the time pass.
			_ = conn.SetReadDeadline(time.Now().Add(250 * time.Millisecond))
			early := make([]byte, 512)
			n, err := conn.Read(early)
			if n > 0 || err != nil && !isTimeout(err) {
				return rubric.Failf(want, "after %d of 3 pieces it had already answered or closed the connection%s", i+1, l.State())
			}
		}
	}
	m := rawhttp.Read(conn, rawhttp.Options{Timeout: l.Timeout})
	if f := l.answered(m, want); f != nil {
		return f
	}
	if l.Addr == "" && !served(m, l.hello) || l.Addr != "" && m.Code() != 200 {
		return rubric.Failf(want, "%q, %d bytes", firstLine(m.Raw), len(m.Raw))
	}
	return nil
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

func (l *lab) five(t *rubric.T) *rubric.Failure {
	for i := range 5 {
		if f := l.alive(t, fmt.Sprintf("%d requests", i)); f != nil {
			return f
		}
	}
	return nil
}

func (l *lab) survive(t *rubric.T) *rubric.Failure {
	garbage := "\x00\xff\xfe garbage \x80\r\n\r\n"
	for _, c := range []struct {
		name string
		send string
		how  string
	}{
		{"a connection that closed without sending a byte", "", "close"},
		{"bytes that are no request", garbage, "answer"},
		{"an empty line instead of a request", "\r\n\r\n", "answer"},
		{"a request line of one word", "GET\r\n\r\n", "answer"},
		{"a request that ended in the middle", "GET /Hello", "close"},
		{"a client that reset the connection during a large file", l.request("GET", "/large.bin"), "reset"},
		{"a client that had sent all it would, and was gone during a large file", l.request("GET", "/large.bin"), "half"},
	} {
		conn, f := l.dial(t, "")
		if f != nil {
			f.Expected = "a connection is accepted before " + c.name
			return f
		}
		_, _ = conn.Write([]byte(c.send))
		switch c.how {
		case "answer":
			// Any answer will do, or none; it must not wait for more for ever, but
			// a reader that waits for a whole request may until we close.
			rawhttp.Read(conn, rawhttp.Options{Timeout: 300 * time.Millisecond})
		case "reset", "half":
			tcp, _ := inner(conn).(*net.TCPConn)
			if tcp != nil && c.how == "half" {
				// The server is told of the end first: then a write to the
				// connection raises SIGPIPE.
				_ = tcp.CloseWrite()
			}
			_ = conn.SetReadDeadline(time.Now().Add(l.Timeout))
			_, _ = conn.Read(make([]byte, 1000))
			if tcp != nil {
				_ = tcp.SetLinger(0)
			}
		}
		conn.Close()
		if f := l.alive(t, c.name); f != nil {
			return f
		}
	}
	return nil
}

func (l *lab) traversal(t *rubric.T) *rubric.Failure {
	if l.Addr != "" {
		return rubric.Skipf("a file outside the root of a server elsewhere is not known")
	}
	if f := l.alive(t, "nothing"); f != nil {
		return f
	}
	rel, err := filepath.Rel(l.root, l.secret)
	if err != nil {
		return rubric.Skipf("%v", err)
	}
	for _, target := range []string{
		"/" + rel,
		"/sub/../" + rel,
		"/sub/" + "../" + rel,
		"/" + strings.ReplaceAll(rel, "..", "%2e%2e"),
		"/" + strings.ReplaceAll(rel, "../", "..%2f"),
		"/" + strings.ReplaceAll(rel, "..", "%2E."),
		"/" + l.secret, // two slashes: an absolute path, if only one is cut off
		"/" + l.secret[1:],
		"/./" + rel,
		"/link.txt",
	} {
		// A server that an earlier target brought down is started again: that is
		// for another check.
		if f := l.Ensure(t); f != nil {
			return f
		}
		m, f := l.get(t, target, rawhttp.Options{})
		if f != nil {
			continue
		}
		if bytes.Contains(m.Raw, bytes.TrimSpace(l.canary)) {
			f := rubric.Failf("404 for "+target+", which names a file outside the root", "the file outside the root was served")
			f.Try = "curl -v --path-as-is 'http://{host}:{port}" + target + "'"
			if target == "/link.txt" {
				f.Hint = "link.txt is a symbolic link in the root that points out of it: resolve the path with realpath before comparing it with the root."
			}
			return f
		}
	}
	return nil
}

func (l *lab) concurrent(t *rubric.T) *rubric.Failure {
	for i, send := range []string{"", "GET /HelloWorld.html HTTP/1.1\r\nHo", ""} {
		conn, f := l.dial(t, fmt.Sprintf("idle client %d", i+1))
		if f != nil {
			return f
		}
		defer conn.Close()
		_, _ = conn.Write([]byte(send))
	}
	time.Sleep(50 * time.Millisecond) // let the server come to them first
	return l.alive(t, "two clients that say nothing and one with half a request, all still connected")
}

func (l *lab) methods(t *rubric.T) *rubric.Failure {
	want := "for HEAD: 200, the fields of the GET, and no body"
	m, f := l.exchange(t, l.request("HEAD", "/HelloWorld.html", "Connection: close"), rawhttp.Options{Bodiless: true, ToEnd: 200 * time.Millisecond})
	if f == nil {
		f = l.answered(m, want)
	}
	if f != nil {
		return f
	}
	switch {
	case m.Code() != 200:
		return rubric.Failf(want, "%q", m.StartLine)
	case len(m.Body) > 0:
		return rubric.Failf(want, "%d bytes of body", len(m.Body))
	case m.Count("Content-Length") > 0 && m.Length() != len(l.hello) && l.Addr == "":
		return rubric.Failf(want, "Content-Length: %s instead of %d, that of the GET", m.Get("Content-Length"), len(l.hello))
	}
	want = "for DELETE: 405 Method Not Allowed with a field Allow"
	m, f = l.exchange(t, l.request("DELETE", "/HelloWorld.html", "Connection: close"), rawhttp.Options{})
	if f == nil {
		f = l.answered(m, want)
	}
	if f != nil {
		return f
	}
	if m.Code() != 405 || m.Get("Allow") == "" {
		return rubric.Failf(want, "%q, Allow: %q", m.StartLine, m.Get("Allow"))
	}
	return nil
}

func (l *lab) keepalive(t *rubric.T) *rubric.Failure {
	conn, f := l.dial(t, "")
	if f != nil {
		return f
	}
	defer conn.Close()
	for i, target := range []string{"/HelloWorld.html", "/HelloWorld.html"} {
		want := fmt.Sprintf("request %d of 2 over one connection is answered", i+1)
		if _, err := conn.Write([]byte(l.request("GET", target))); err != nil {
			return rubric.Failf(want, "%s", submission.Reason(err))
		}
		m := rawhttp.Read(conn, rawhttp.Options{Timeout: l.Timeout})
		if f := l.answered(m, want); f != nil {
			return f
		}
		if m.Code() != 200 {
			return rubric.Failf(want, "%q", m.StartLine)
		}
		if m.Ended {
			return rubric.Failf(want, "the server closed the connection after response %d", i+1)
		}
	}
	return nil
}
