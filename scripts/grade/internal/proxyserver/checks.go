package proxyserver

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net"
	"regexp"
	"strings"
	"time"

	"topdown/scripts/grade/internal/rubric"
	"topdown/scripts/grade/internal/submission"
)

func (l *lab) checks() []rubric.Check {
	const (
		pathForm = "curl -v http://{host}:{port}/{origin}/page.html   ({origin} was the grader's; try python3 -m http.server)"
		proxied  = "curl -v -x http://{host}:{port} http://{origin}/page.html   ({origin} was the grader's; try python3 -m http.server)"
	)
	return rubric.Prepared([]rubric.Check{
		{
			ID: "start", Points: 10, Stage: 1, Title: "starts; a usage line on bad arguments", Run: l.start,
			Requirement: "P2: a usage line and exit 2 on bad arguments; P5: it says when it is ready",
			Hint:        "Check the arguments first: if the port is missing or no number, print how the program is used and exit with 2.",
			Try:         "run your program with the port \"notaport\", then: echo $?",
		},
		{
			ID: "path", Points: 15, Stage: 1, Title: "the path form, with host:port", Run: l.pathForm, Try: pathForm,
			Requirement: "P3: http://localhost:8899/www.example.com/page",
			Hint:        "Cut the first slash off; up to the next slash is host or host:port (80 if there is none), the rest is the path.",
		},
		{
			ID: "absolute", Points: 10, Stage: 1, Title: "the absolute form, as browsers send it", Run: l.absolute, Try: proxied,
			Requirement: "P4: the browser configured to use it", RFC: "RFC 9112, 3.2.2",
			Hint: "The request line is \"GET http://host:port/path HTTP/1.1\": cut \"http://\" off before you look for the host.",
		},
		{
			ID: "image", Points: 10, Stage: 1, Title: "an image arrives unchanged", Run: l.image, Try: proxied,
			Requirement: "P1: GET for all kinds of objects, images included",
			Hint:        "Pass on bytes as they are: receive until the origin is done, no decode(), files in binary mode.",
		},
		{
			ID: "upstream", Points: 10, Stage: 2, Title: "the request to the origin is right", Run: l.upstream,
			Requirement: "`\\n\\n` and no Host field are mistakes; the host is not the whole path", RFC: "RFC 9112, 3.2.1 and RFC 9110, 7.2",
			Hint: "\"GET /path HTTP/1.0\\r\\nHost: host:port\\r\\n\\r\\n\": the path alone, and the origin's host, with the port if it is not 80.",
			Try:  "nc -l 127.0.0.1 8000, and in another terminal: curl http://{host}:{port}/127.0.0.1:8000/page.html",
		},
		{
			ID: "cache", Points: 15, Stage: 3, Title: "the second GET from the cache, one status line", Run: l.cache,
			Requirement: "P8: caching: a hit never contacts the origin", RFC: "RFC 9111, 4",
			Hint: "Keep the response under its URL; when the same URL is asked for again, send what is kept and do not connect to the origin.",
			Try:  "curl the same URL twice, with the origin's log in view",
		},
		{
			ID: "key", Points: 5, Stage: 3, Title: "the cache tells URLs apart", Run: l.key,
			Requirement: "the key is host, port, path and query", RFC: "RFC 9111, 2",
			Hint: "Use the whole URL as key. As a file name take a hash of it (hashlib.sha256): slashes and \"..\" do no harm there.",
			Try:  "curl http://{host}:{port}/{origin}/page?a=1 and ?a=2, twice each",
		},
		{
			ID: "framing", Points: 10, Stage: 2, Title: "404, empty, 304 and 204 without hanging", Run: l.framing, Try: proxied,
			Requirement: "P6: a 404 from the origin is passed on; a response without a body does not hang", RFC: "RFC 9112, 6.3",
			Hint: "Send \"Connection: close\" to the origin and read until it closes, or count Content-Length; 204 and 304 have no body.",
		},
		{
			ID: "dead", Points: 5, Stage: 4, Title: "dead or unknown host: 502 or 504", Run: l.dead,
			Requirement: "P6: a dead host is told within 10 s", RFC: "RFC 9110, 15.6.3 and 15.6.5",
			Hint: "Catch the error of connect() and of the name's resolution, and answer \"HTTP/1.0 502 Bad Gateway\" with a page.",
			Try:  "curl -v http://{host}:{port}/127.0.0.1:9/",
		},
		{
			ID: "files", Points: 10, Stage: 4, Title: "no local file can be read", Run: l.files,
			Requirement: "a cache file named by the URL makes //etc/passwd readable",
			Hint:        "Never open a file whose name comes from the URL: name cache files by a hash, in a folder of their own.",
			Try:         "curl -v --path-as-is http://{host}:{port}//etc/hostname",
		},
		{
			ID: "concurrent", Points: 10, Bonus: true, Stage: 4, Title: "a stalled origin holds up nobody else", Run: l.concurrent,
			Requirement: "P5: several requests at a time", Hint: "A thread for each client.",
			Try: "nc -l 127.0.0.1 8000 & curl http://{host}:{port}/127.0.0.1:8000/ & curl http://{host}:{port}/{origin}/",
		},
		{
			ID: "post", Points: 10, Bonus: true, Stage: 5, Title: "POST: the body arrives, and nothing is cached", Run: l.post,
			Requirement: "P7 (optional): POST with its body", RFC: "RFC 9110, 9.3.3 and RFC 9111, 3",
			Hint: "Read Content-Length bytes behind the client's head and send them behind the origin's; never store or look up a POST.",
			Try:  "curl -v -x http://{host}:{port} --data-binary @file http://{origin}/form",
		},
		{
			ID: "offline", Points: 5, Bonus: true, Stage: 3, Title: "a hit is served when the origin is gone", Run: l.offline,
			Requirement: "P8: a hit never contacts the origin", RFC: "RFC 9111, 4.2",
			Hint: "Look into the cache before you connect to the origin.",
			Try:  "curl a page, stop its server, and curl it again",
		},
		{
			ID: "validate", Points: 5, Bonus: true, Stage: 3, Title: "a stale copy is validated", Run: l.validate,
			Requirement: "validation of stale copies with a conditional GET", RFC: "RFC 9111, 4.3",
			Hint: "When max-age has passed, ask the origin with If-None-Match or If-Modified-Since; on 304 send the stored copy.",
			Try:  "curl a page with \"Cache-Control: max-age=0\" and an ETag twice, and look at the second request",
		},
		{
			ID: "no-store", Points: 5, Bonus: true, Stage: 3, Title: "no-store and private are not kept", Run: l.noStore,
			Requirement: "the origin says what may be stored", RFC: "RFC 9111, 5.2.2",
			Hint: "Do not store a response whose Cache-Control has no-store or, in a shared cache, private.",
			Try:  "curl a page with \"Cache-Control: no-store\" twice: the origin is asked twice",
		},
	}, l.ready, "start", "path")
}

func (l *lab) start(t *rubric.T) *rubric.Failure {
	if f := l.ensure(t); f != nil {
		return f
	}
	if l.Addr != "" || !l.Has("port") {
		return nil
	}
	// The handout's skeleton looks only whether there is an argument.
	f := l.usage(t, "for the port \"notaport\"", l.Command)
	if f != nil && l.usage(t, "for no port at all", strings.ReplaceAll(l.Command, "{port}", "")) == nil {
		return nil
	}
	return f
}

// usage fails unless a command line that is wrong is answered as it should be.
func (l *lab) usage(t *rubric.T, mistake, command string) *rubric.Failure {
	want := mistake + ": a line that says how the program is used, and exit code 2"
	p, err := l.Start(command, map[string]string{"host": l.Host, "port": "notaport", "dir": l.Work})
	if err != nil {
		return rubric.Failf(want, "%v", err)
	}
	defer p.Stop()
	t.Log.Notef("started: %s", p.Line)
	if !p.Wait(submission.Patience()) {
		return rubric.Failf(want, "it goes on running%s", submission.Printed(p.Output()))
	}
	out := p.Output()
	switch {
	case strings.Contains(out, "Traceback (most recent call last)") || strings.Contains(out, "Exception in thread"):
		return rubric.Failf(want, "it crashed%s", submission.Printed(out))
	case strings.TrimSpace(out) == "":
		return rubric.Failf(want, "%s, and printed nothing", p.Ending())
	case p.ExitCode() != 2:
		return rubric.Failf(want, "%s%s", p.Ending(), submission.Printed(out))
	}
	return nil
}

func (l *lab) page(path string) []byte {
	body := fmt.Appendf(nil, "<!DOCTYPE html>\n<p>This is %s; the word is %s. Grüße, 你好!</p>\n", path, l.Text(8))
	l.origin.set(path, resource{body: body, fields: fresh + "Content-Type: text/html; charset=utf-8\r\n"})
	return body
}

func (l *lab) pathForm(t *rubric.T) *rubric.Failure {
	if f := l.ensure(t); f != nil {
		return rubric.Skipf("the proxy does not start: %s", f.Seen)
	}
	body := l.page("/dir/page.html")
	want := "the origin's page for GET /" + l.origin.addr() + "/dir/page.html"
	m, f := l.get(t, "/"+l.origin.addr()+"/dir/page.html", "")
	if f == nil {
		f = right(m, body, want)
	}
	if f != nil {
		f.Expected = want
		if f.Hint == "" && len(l.origin.asked("/dir/page.html")) == 0 {
			f.Seen += "; the origin was not asked for /dir/page.html"
		}
		if l.ready(t) == nil && !strings.Contains(l.origin.addr(), ":") {
			f.Hint = "It fetches from port 80 only: what stands behind the colon of host:port is the port to connect to."
		}
	}
	return f
}

func (l *lab) absolute(t *rubric.T) *rubric.Failure {
	body := l.page("/dir/absolute.html")
	want := "the origin's page for GET http://" + l.origin.addr() + "/dir/absolute.html"
	m, f := l.get(t, "http://"+l.origin.addr()+"/dir/absolute.html", l.origin.addr(), "Proxy-Connection: keep-alive", "Connection: close")
	if f == nil {
		f = right(m, body, want)
	}
	if f != nil {
		f.Expected = want
	}
	return f
}

func (l *lab) image(t *rubric.T) *rubric.Failure {
	body := l.Bytes(150_000)
	copy(body, "\x89PNG\r\n\x1a\n\n\r\n\r\n\x00\xff")
	l.origin.set("/picture.png", resource{body: body, fields: fresh + "Content-Type: image/png\r\n"})
	for i := range 2 { // the second time perhaps from the cache
		want := fmt.Sprintf("the %d bytes of /picture.png, SHA-256 %.8x…", len(body), sha256.Sum256(body))
		if i == 1 {
			want += ", the second time as well"
		}
		m, f := l.fetch(t, "/picture.png")
		if f == nil {
			f = right(m, body, want)
			if f != nil && m.Code() == 200 {
				f.Seen = fmt.Sprintf("SHA-256 %.8x…: %s", sha256.Sum256(m.Content()), f.Seen)
			}
		}
		if f != nil {
			f.Expected = want
			if i == 1 && strings.Contains(f.Seen, "second head") {
				return nil // that is for "cache"
			}
			return f
		}
	}
	return nil
}

var originLine = regexp.MustCompile(`^GET (\S+) HTTP/1\.[01]$`)

func (l *lab) upstream(t *rubric.T) *rubric.Failure {
	l.page("/up/page.html")
	want := "at the origin: \"GET /up/page.html?x=1 HTTP/1.0\" or 1.1, Host: " + l.origin.addr() + ", CRLF, an empty line"
	target, host := l.form(l.origin, "/up/page.html?x=1")
	if _, f := l.get(t, target, host); f != nil {
		f.Expected = want
		return f
	}
	l.origin.mu.Lock()
	var r *request
	for i := range l.origin.requests {
		if strings.Contains(l.origin.requests[i].StartLine, "up/page.html") {
			r = &l.origin.requests[i]
		}
	}
	l.origin.mu.Unlock()
	switch {
	case r == nil:
		return rubric.Failf(want, "no such request came to the origin")
	case !originLine.MatchString(r.StartLine) || r.target != "/up/page.html?x=1":
		f := rubric.Failf(want, "the request line is %q", r.StartLine)
		if strings.Contains(r.target, "://") || strings.Contains(r.target, l.origin.addr()) {
			f.Hint = "The origin gets the path alone, not the whole URL: host and path must be taken apart."
		}
		return f
	case len(r.Faults) > 0:
		return rubric.Failf(want, "%s", strings.Join(r.Faults, "; "))
	case r.Count("Host") != 1:
		return rubric.Failf(want, "%d fields Host", r.Count("Host"))
	case r.Get("Host") != l.origin.addr():
		f := rubric.Failf(want, "Host: %s", r.Get("Host"))
		if name, _, _ := net.SplitHostPort(l.origin.addr()); r.Get("Host") == name {
			f.Hint = "The port is missing: it belongs into Host when it is not 80."
		}
		if r.Get("Host") == l.Address() {
			f.Hint = "That is the proxy's own address: the Host field of the client was passed on; replace it by the origin's host."
		}
		return f
	}
	return nil
}

func (l *lab) cache(t *rubric.T) *rubric.Failure {
	body := l.page("/cached.html")
	for i := range 2 {
		want := "the page, and one request at the origin"
		if i == 1 {
			want = "the same page a second time, with one status line, and still one request at the origin"
		}
		m, f := l.fetch(t, "/cached.html")
		if f == nil {
			f = right(m, body, want)
		}
		if f != nil {
			f.Expected = want
			return f
		}
	}
	if n := len(l.origin.asked("/cached.html")); n != 1 {
		return rubric.Failf("one request at the origin for two at the proxy; the page may be kept for an hour", "%d requests at the origin", n)
	}
	return nil
}

func (l *lab) key(t *rubric.T) *rubric.Failure {
	other, err := newOrigin("origin 2", "127.0.0.1:0")
	if err != nil {
		return rubric.Skipf("%v", err)
	}
	defer other.close()
	other.follow(t.Log)
	origins := []*origin{l.origin, other}
	if l.Box.Isolated {
		_, port, _ := net.SplitHostPort(l.origin.ln.Addr().String())
		third, err := newOrigin("origin 3", net.JoinHostPort("127.0.0.2", port))
		if err == nil {
			defer third.close()
			third.follow(t.Log)
			origins = append(origins, third)
		}
	}
	paths := []string{"/key/page", "/key/page?a=1", "/key/page?a=2", "/other/page", "/key_page"}
	for _, o := range origins {
		for _, path := range paths {
			plain, _, _ := strings.Cut(path, "?")
			o.set(plain, resource{body: []byte(o.name + " has $target\n"), fields: fresh + "Content-Type: text/plain\r\n"})
		}
	}
	for round := range 2 {
		for _, o := range origins {
			for _, path := range paths {
				want := fmt.Sprintf("for http://%s%s: %q", o.addr(), path, o.name+" has "+path)
				target, host := l.form(o, path)
				m, f := l.get(t, target, host)
				if f != nil {
					f.Expected = want
					return f
				}
				if m.Code() != 200 {
					return rubric.Failf(want, "%q", m.StartLine)
				}
				if got := m.Content(); !bytes.Contains(got, []byte(o.name+" has "+path+"\n")) {
					text := strings.TrimSpace(string(clip(got)))
					if i := bytes.LastIndex(got, []byte("origin")); i >= 0 {
						text = strings.TrimSpace(string(got[i:]))
					}
					return rubric.Failf(want, "%q: the cache took another URL for this one (round %d)", text, round+1)
				}
			}
		}
	}
	return nil
}

func (l *lab) framing(t *rubric.T) *rubric.Failure {
	tagged := []byte("a page with an entity tag\n")
	l.origin.set("/empty", resource{fields: "Content-Type: text/plain\r\n"})
	l.origin.set("/tagged", resource{body: tagged, tag: `"tag-1"`, fields: "Cache-Control: no-cache\r\n"})
	l.origin.set("/none", resource{code: 204})
	for _, c := range []struct {
		name, path string
		codes      []int
		fields     []string
		body       []byte
	}{
		{"a 404 with its page", "/missing", []int{404}, nil, []byte("no such page")},
		{"a 200 with an empty body", "/empty", []int{200}, nil, nil},
		{"a 304 for a client that has the page", "/tagged", []int{304, 200}, []string{`If-None-Match: "tag-1"`}, nil},
		{"a 204 without a body", "/none", []int{204}, nil, nil},
	} {
		want := c.name + ", whole and at once"
		// A browser keeps its connection alive, and so may the origin.
		m, f := l.fetch(t, c.path, append(c.fields, "Connection: keep-alive")...)
		if f != nil {
			f.Expected = want
			return f
		}
		ok := false
		for _, code := range c.codes {
			ok = ok || m.Code() == code
		}
		switch {
		case !ok:
			return rubric.Failf(want, "%q", m.StartLine)
		case m.TimedOut:
			return rubric.Failf(want, "the response did not come to an end within %v", l.Timeout)
		case c.body != nil && !bytes.Contains(m.Content(), c.body):
			return rubric.Failf(want, "the body is %q", clip(m.Content()))
		case m.Code() == 200 && c.path == "/empty" && len(m.Content()) > 0:
			return rubric.Failf(want, "the body is %q", clip(m.Content()))
		}
	}
	return nil
}

func (l *lab) dead(t *rubric.T) *rubric.Failure {
	hosts := []string{fmt.Sprintf("127.0.0.1:%d", l.ClosedPort())}
	if l.Box.Isolated {
		hosts = append(hosts, "no-such-host.invalid")
	}
	for i, addr := range hosts {
		want := "502 or 504 within 10 s for a host where nothing listens, " + addr
		if i == 1 {
			want = "502 or 504 within 10 s for a host that does not exist, " + addr
		}
		target, host := l.formOf(addr, "/")
		if host == "" {
			host = l.Address()
		}
		request := "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"
		m, f := l.exchange(t, []byte(request), 10*time.Second)
		if f != nil {
			f.Expected = want
			return f
		}
		if m.Code() != 502 && m.Code() != 504 {
			return rubric.Failf(want, "%q", clip(m.Raw))
		}
	}
	return nil
}

func (l *lab) files(t *rubric.T) *rubric.Failure {
	for _, target := range []string{
		"/../canary.txt",
		"/../../canary.txt",
		"/" + l.secret,
		l.secret,
		"file://" + l.secret,
		"/file://" + l.secret,
		"/" + strings.ReplaceAll("../canary.txt", "..", "%2e%2e"),
		"http://" + l.secret,
		"http://../canary.txt",
	} {
		if f := l.ensure(t); f != nil {
			return rubric.Skipf("the proxy does not start: %s", f.Seen)
		}
		m, f := l.get(t, target, "")
		if f == nil && bytes.Contains(m.Raw, l.canary) {
			f := rubric.Failf("an error for GET "+target, "the content of %s, a file of this machine", l.secret)
			f.Try = "curl -v --path-as-is 'http://{host}:{port}" + target + "'"
			return f
		}
	}
	return nil
}

func (l *lab) concurrent(t *rubric.T) *rubric.Failure {
	l.origin.set("/stalled", resource{body: []byte("never\n"), stall: true})
	body := l.page("/quick.html")
	target, host := l.form(l.origin, "/stalled")
	if host == "" {
		host = l.Address()
	}
	conn, err := net.DialTimeout("tcp", l.Address(), l.Timeout)
	if err != nil {
		return rubric.Failf("a connection is accepted", "%s", submission.Reason(err))
	}
	defer conn.Close()
	_, _ = t.Log.Wrap(conn, "first client").Write([]byte("GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"))
	for begin := time.Now(); len(l.origin.asked("/stalled")) == 0 && time.Since(begin) < l.Timeout; {
		time.Sleep(10 * time.Millisecond)
	}
	want := "a second client gets its page, while the first waits for an origin that sends nothing"
	m, f := l.fetch(t, "/quick.html")
	if f == nil {
		f = right(m, body, want)
	}
	if f != nil {
		f.Expected = want
	}
	return f
}

func (l *lab) post(t *rubric.T) *rubric.Failure {
	l.origin.set("/form", resource{body: []byte("thank you\n"), fields: fresh})
	body := append([]byte("name=Alice&text=\r\n\r\n"), l.Bytes(20_000)...)
	target, host := l.form(l.origin, "/form")
	if host == "" {
		host = l.Address()
	}
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", target, host, len(body))
	for i := range 2 {
		want := fmt.Sprintf("POST %d: 200, and the %d bytes of the body at the origin", i+1, len(body))
		m, f := l.exchange(t, append([]byte(head), body...), l.Timeout)
		if f == nil {
			f = right(m, []byte("thank you\n"), want)
		}
		if f != nil {
			f.Expected = want
			return f
		}
		asked := l.origin.asked("/form")
		if len(asked) != i+1 {
			return rubric.Failf(want, "%d requests at the origin: the answer to a POST came from the cache", len(asked))
		}
		if !strings.HasPrefix(asked[i].StartLine, "POST ") {
			return rubric.Failf(want, "the origin got %q", asked[i].StartLine)
		}
		got := asked[i].body
		if asked[i].Chunked() {
			continue // well framed, or the origin would not have answered
		}
		if !bytes.Equal(got, body) {
			return rubric.Failf(want, "%d bytes at the origin", len(got))
		}
	}
	return nil
}

func (l *lab) offline(t *rubric.T) *rubric.Failure {
	other, err := newOrigin("origin 4", "127.0.0.1:0")
	if err != nil {
		return rubric.Skipf("%v", err)
	}
	defer other.close()
	other.follow(t.Log)
	body := []byte("still here, " + l.Text(8) + "\n")
	other.set("/hit.html", resource{body: body, fields: fresh + "Content-Type: text/html\r\n"})
	target, host := l.form(other, "/hit.html")
	for i := range 2 {
		want := "the page"
		if i == 1 {
			other.close()
			t.Log.Notef("the origin is gone")
			want = "the page from the cache, though the origin is gone"
		}
		m, f := l.get(t, target, host)
		if f == nil {
			f = right(m, body, want)
		}
		if f != nil {
			f.Expected = want
			return f
		}
	}
	return nil
}

func (l *lab) validate(t *rubric.T) *rubric.Failure {
	body := []byte("to be validated, " + l.Text(8) + "\n")
	l.origin.set("/stale.html", resource{
		body: body, tag: `"v1"`,
		fields: "Cache-Control: max-age=0\r\nLast-Modified: Sat, 01 Nov 2025 10:00:00 GMT\r\nContent-Type: text/html\r\n",
	})
	for range 2 {
		m, f := l.fetch(t, "/stale.html")
		if f == nil {
			f = right(m, body, "200 and the page")
		}
		if f != nil {
			return f
		}
	}
	asked := l.origin.asked("/stale.html")
	want := "the second time the origin is asked with If-None-Match or If-Modified-Since: max-age=0 has passed"
	if len(asked) < 2 {
		return rubric.Failf(want, "it was not asked again: a stale copy was sent")
	}
	if r := asked[len(asked)-1]; r.Get("If-None-Match") == "" && r.Get("If-Modified-Since") == "" {
		return rubric.Failf(want, "the second request has neither")
	}
	return nil
}

func (l *lab) noStore(t *rubric.T) *rubric.Failure {
	for _, directive := range []string{"no-store", "private, max-age=3600"} {
		word, _, _ := strings.Cut(directive, ",")
		path := "/" + word + ".html"
		body := []byte("not to be kept, " + l.Text(8) + "\n")
		l.origin.set(path, resource{body: body, fields: "Cache-Control: " + directive + "\r\nContent-Type: text/html\r\n"})
		for range 2 {
			m, f := l.fetch(t, path)
			if f == nil {
				f = right(m, body, "200 and the page")
			}
			if f != nil {
				return f
			}
		}
		if n := len(l.origin.asked(path)); n != 2 {
			return rubric.Failf("two requests at the origin for two at the proxy, since Cache-Control is "+directive, "%d", n)
		}
	}
	return nil
}
