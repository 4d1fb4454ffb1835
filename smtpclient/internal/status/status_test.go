package status

import (
	"bufio"
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"topdown/smtpclient/internal/testserver"
)

// serve runs a test server and its page until the test ends.
func serve(t *testing.T) (s *Server, page, smtpAddr string) {
	t.Helper()
	s = &Server{Log: &testserver.Log{}, SMTP: "127.0.0.1:2525", POP3: "127.0.0.1:2110"}
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := testserver.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- s.Serve(ctx, web) }()
	go func() { ended <- (&testserver.Server{Log: s.Log, Password: "lab"}).Serve(ctx, ln, nil) }()
	t.Cleanup(func() {
		cancel()
		for range cap(ended) {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	return s, "http://" + web.Addr().String(), ln.Addr().String()
}

// send sends a mail with the standard library.
func send(t *testing.T, addr, message string) {
	t.Helper()
	if err := smtp.SendMail(addr, nil, "me@lab.test", []string{"you@lab.test"}, []byte(strings.ReplaceAll(message, "\n", "\r\n"))); err != nil {
		t.Fatal(err)
	}
}

func request(t *testing.T, method, url, body string, header map[string]string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	if host := header["Host"]; host != "" {
		r.Host = host
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(text)
}

const hostile = `From: "<img src=x onerror=alert(1)>" <a@lab.test>
Subject: </title><script>alert(1)</script>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=B

--B
Content-Type: text/plain; charset=utf-8

</pre><script>alert(2)</script> Grüße
--B
Content-Type: text/html

<p id=here>Hi</p><img src="cid:pic"><img src="http://elsewhere.test/x"><script>alert(3)</script>
--B
Content-Type: image/png; name="x.png"
Content-ID: <pic>
Content-Transfer-Encoding: base64

iVBORw0KGgo=
--B
Content-Type: application/pdf; name="../../evil"; x="<b>"
Content-Disposition: attachment; filename="../../evil\"<b>.html"

<script>alert(4)</script>
--B--
`

// TestPages shows a hostile mail: all of it is there, and none of it acts.
func TestPages(t *testing.T) {
	_, page, addr := serve(t)
	send(t, addr, hostile)
	list, text := request(t, "GET", page+"/", "", nil)
	if list.StatusCode != 200 || !strings.Contains(text, `<a id="row1" href="/mail/1">&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;</a>`) || !strings.Contains(text, "1 mail, 1 exchange<") {
		t.Errorf("%d %s", list.StatusCode, text)
	}
	if policy := list.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "frame-ancestors 'none'") {
		t.Error(policy)
	}
	_, text = request(t, "GET", page+"/mail/1", "", nil)
	for _, want := range []string{
		"&lt;/pre&gt;&lt;script&gt;alert(2)&lt;/script&gt; Grüße", `<iframe sandbox title=`, `href="/mail/1/part/4"`, "application/pdf",
		"C:</b> MAIL FROM:&lt;me@lab.test&gt;", "S:</b> 250 2.0.0 kept in memory", "me@lab.test to you@lab.test", "<dd>received</dd>",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if scripts := strings.Count(text, "<script"); scripts != 1 {
		t.Errorf("%d scripts, want page.js alone:\n%s", scripts, text)
	}
	for path, want := range map[string]struct{ kind, policy, body string }{
		"/mail/1/html":   {"text/html; charset=utf-8", "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:;", `<img src="data:image/png;base64,iVBORw0KGgo=">`},
		"/mail/1/raw":    {"text/plain; charset=utf-8", "sandbox; default-src 'none'", "Subject: </title><script>alert(1)"},
		"/mail/1/part/4": {"application/octet-stream", "default-src 'none'", "<script>alert(4)</script>"},
	} {
		answer, text := request(t, "GET", page+path, "", nil)
		if answer.Header.Get("Content-Type") != want.kind || !strings.HasPrefix(answer.Header.Get("Content-Security-Policy"), want.policy) || !strings.Contains(text, want.body) || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v\n%s", path, answer.Header, text)
		}
		if name := answer.Header.Get("Content-Disposition"); strings.Contains(path, "part") && (!strings.HasPrefix(name, "attachment;") || strings.ContainsAny(name, "/<")) {
			t.Errorf("%s: %s", path, name)
		}
	}
	for path, code := range map[string]int{"/mail/2": 404, "/mail/x": 404, "/mail/1/part/9": 404, "/mail/2/raw": 404, "/other": 404, "/page/list.html": 404, "/style.css": 200, "/page.js": 200} {
		if answer, _ := request(t, "GET", page+path, "", nil); answer.StatusCode != code {
			t.Errorf("%s: %d, want %d", path, answer.StatusCode, code)
		}
	}
}

var token = regexp.MustCompile(`name="token" value="([^"]+)"`)

// TestGuards lets nobody in but the page itself.
func TestGuards(t *testing.T) {
	s, page, addr := serve(t)
	send(t, addr, "Subject: private-matter\n\nbody\n")
	_, text := request(t, "GET", page+"/", "", nil)
	found := token.FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("no token in\n%s", text)
	}
	form := func(fault, token string) string {
		return url.Values{"fault": {fault}, "token": {token}}.Encode()
	}
	own := map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Origin": page, "Sec-Fetch-Site": "same-origin"}
	with := func(name, value string) map[string]string {
		h := maps.Clone(own)
		h[name] = value
		return h
	}
	for _, tt := range []struct {
		name, method, path, body string
		header                   map[string]string
		code                     int
	}{
		{"typed in", "GET", "/", "", map[string]string{"Sec-Fetch-Site": "none"}, 200},
		{"as localhost", "GET", "/", "", map[string]string{"Host": "localhost:1"}, 200},
		{"as ::1", "GET", "/", "", map[string]string{"Host": "[::1]:1"}, 200},
		{"a rebinding name", "GET", "/", "", map[string]string{"Host": "evil.test"}, 421},
		{"a name that looks alike", "GET", "/mail/1/raw", "", map[string]string{"Host": "localhost.evil.test:8025"}, 421},
		{"another machine's address", "GET", "/events", "", map[string]string{"Host": "192.0.2.1"}, 421},
		{"a page from elsewhere reads", "GET", "/mail/1", "", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"a page of another port reads", "GET", "/mail/1/raw", "", map[string]string{"Sec-Fetch-Site": "same-site"}, 403},
		{"a page from elsewhere listens", "GET", "/events", "", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"without a token", "POST", "/fault", form("550", ""), own, 403},
		{"with a token of another run", "POST", "/fault", form("550", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"), own, 403},
		{"from another origin", "POST", "/fault", form("550", found[1]), with("Origin", "http://evil.test"), 403},
		{"from elsewhere", "POST", "/fault", form("550", found[1]), with("Sec-Fetch-Site", "cross-site"), 403},
		{"by a rebinding name", "POST", "/fault", form("550", found[1]), with("Host", "evil.test"), 421},
		{"an unknown fault", "POST", "/fault", form("999", found[1]), own, 400},
		{"a form without end", "POST", "/fault", "token=" + found[1] + "&fault=550&x=" + strings.Repeat("x", maxForm), own, 403},
		{"by GET", "GET", "/fault?" + form("550", found[1]), "", nil, 405},
		{"another method", "DELETE", "/mail/1", "", own, 405},
	} {
		answer, text := request(t, tt.method, page+tt.path, tt.body, tt.header)
		if answer.StatusCode != tt.code || tt.code != 200 && strings.Contains(text, "private-matter") {
			t.Errorf("%s: %d, want %d\n%s", tt.name, answer.StatusCode, tt.code, text)
		}
		if answer.Header.Get("Cross-Origin-Resource-Policy") != "same-origin" || answer.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v", tt.name, answer.Header)
		}
		if fault := s.Log.Fault(); fault != testserver.NoFault {
			t.Fatalf("%s: switched %q on", tt.name, fault)
		}
	}
	if answer, text := request(t, "POST", page+"/fault", form("550", found[1]), own); answer.StatusCode != 303 || s.Log.Fault() != testserver.Refuse {
		t.Errorf("%d %s %q", answer.StatusCode, text, s.Log.Fault())
	}
	if _, text := request(t, "GET", page+"/", "", nil); !strings.Contains(text, "Switched on: 550") || !strings.Contains(text, `value="550" checked`) {
		t.Errorf("%s", text)
	}
}

// TestEvents tells viewers of changes, and no more than there is room for.
func TestEvents(t *testing.T) {
	_, page, addr := serve(t)
	lines := make(chan string, 100)
	for range maxViewers {
		r, err := http.NewRequestWithContext(t.Context(), "GET", page+"/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		go func() {
			for in := bufio.NewScanner(answer.Body); in.Scan(); {
				lines <- in.Text()
			}
		}()
	}
	expect := func(want string) {
		t.Helper()
		for range maxViewers {
			for {
				select {
				case line := <-lines:
					if line == "" {
						continue
					}
					if line != want {
						t.Fatalf("%q, want %q", line, want)
					}
				case <-time.After(10 * time.Second):
					t.Fatalf("no %q", want)
				}
				break
			}
		}
	}
	expect("data: hello")
	if answer, _ := request(t, "GET", page+"/events", "", nil); answer.StatusCode != 503 {
		t.Errorf("one more viewer: %d", answer.StatusCode)
	}
	send(t, addr, "Subject: news\n\nbody\n")
	expect("data: changed")
}

// FuzzMail shows any mail.
func FuzzMail(f *testing.F) {
	f.Add([]byte(hostile))
	f.Add([]byte("Subject: =?utf-8?q?x?=\r\nContent-Type: text/html\r\n\r\n<p>cid:"))
	s := &Server{Log: &testserver.Log{}}
	handler := s.handler()
	f.Fuzz(func(t *testing.T, data []byte) {
		s.page(httptest.NewRecorder(), "mail.html", struct {
			*mail
			ID                                               int
			Time, Is, Size, EnvelopeFrom, EnvelopeTo, Source string
			Received                                         bool
			Lines                                            []struct{ Who, After, Text string }
		}{mail: readMail(data), Received: true})
		_ = readMail(data).frame()
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = string(data[:min(len(data), 20)])
		handler.ServeHTTP(w, r)
		if w.Code != 200 && w.Code != 421 {
			t.Errorf("%d", w.Code)
		}
	})
}

// TestFrame shows each picture in its place, whatever another one's name begins
// with, and no more of them than there is room for.
func TestFrame(t *testing.T) {
	m := &mail{pictures: map[string]string{"a": "data:A", "a b": "data:AB", "ab": "data:B", "abc": "data:C"}, HTML: `<img src="cid:abc"><img src=cid:ab><img src='CID:a'><img src="cid:a%20b"><img src="cid:x">`}
	if got, want := m.frame(), `<img src="data:C"><img src=data:B><img src='data:A'><img src="data:AB"><img src="cid:x">`; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	m = &mail{pictures: map[string]string{"a": strings.Repeat("x", maxPicture)}, HTML: strings.Repeat("cid:a ", 10_000)}
	if got := len(m.frame()); got > maxFrame+len(m.HTML) {
		t.Errorf("%d bytes", got)
	}
}
