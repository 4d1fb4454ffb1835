package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// malformedRequests are requests that must be refused, and never reach an
// origin: O is the origin's address.
var malformedRequests = []struct {
	name, request string
	want          int
}{
	{"length and chunked", "POST http://O/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"chunked and length", "POST http://O/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400},
	{"two lengths", "POST http://O/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400},
	{"two lengths in one", "POST http://O/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 6\r\n\r\nhello!", 400},
	{"negative length", "POST http://O/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400},
	{"signed length", "POST http://O/ HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello", 400},
	{"hexadecimal length", "POST http://O/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\nhello", 400},
	{"huge length", "POST http://O/ HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
	{"empty length", "POST http://O/ HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n", 400},
	{"length with a space", "POST http://O/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1 1\r\n\r\n", 400},
	{"chunked in HTTP/1.0", "POST http://O/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"chunked not last", "POST http://O/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400},
	{"chunked twice", "POST http://O/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400},
	{"chunked on two lines", "POST http://O/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"empty coding", "POST http://O/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n\r\n", 400},
	{"unknown coding", "POST http://O/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501},
	{"identity coding", "POST http://O/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n", 501},
	{"coding in quotes", "POST http://O/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 501},
	{"coding after a vertical tab", "POST http://O/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", 400},
	{"space before the colon", "POST http://O/ HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nhello", 400},
	{"tab before the colon", "GET http://O/ HTTP/1.1\r\nHost: x\r\nX\t: 5\r\n\r\n", 400},
	{"folded line", "GET http://O/ HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n", 400},
	{"space before the first field", "GET http://O/ HTTP/1.1\r\n Host: x\r\n\r\n", 400},
	{"no colon", "GET http://O/ HTTP/1.1\r\nHost: x\r\nXabc\r\n\r\n", 400},
	{"empty field name", "GET http://O/ HTTP/1.1\r\nHost: x\r\n: a\r\n\r\n", 400},
	{"field name with a space", "GET http://O/ HTTP/1.1\r\nHost: x\r\nX Y: a\r\n\r\n", 400},
	{"field name with a slash", "GET http://O/ HTTP/1.1\r\nHost: x\r\nX/Y: a\r\n\r\n", 400},
	{"NUL in a value", "GET http://O/ HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n", 400},
	{"control character in a value", "GET http://O/ HTTP/1.1\r\nHost: x\r\nX: a\x01b\r\n\r\n", 400},
	{"bare CR in a value", "GET http://O/ HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n", 400},
	{"bare LF", "GET http://O/ HTTP/1.1\nHost: x\n\n", 400},
	{"one bare LF", "GET http://O/ HTTP/1.1\r\nHost: x\nX: a\r\n\r\n", 400},
	{"DEL in a value", "GET http://O/ HTTP/1.1\r\nHost: x\r\nX: \x7f\r\n\r\n", 400},
	{"no Host", "GET http://O/ HTTP/1.1\r\n\r\n", 400},
	{"two Hosts", "GET http://O/ HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400},
	{"Host with a path", "GET http://O/ HTTP/1.1\r\nHost: x/y\r\n\r\n", 400},
	{"Host with a user", "GET http://O/ HTTP/1.1\r\nHost: a@b\r\n\r\n", 400},
	{"Host list", "GET http://O/ HTTP/1.1\r\nHost: a, b\r\n\r\n", 400},
	{"Host with a bad port", "GET http://O/ HTTP/1.1\r\nHost: a:b\r\n\r\n", 400},
	{"fragment", "GET http://O/#a HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	{"control character in the target", "GET http://O/\x01 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	{"NUL in the target", "GET http://O/\x00 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	{"space in the target", "GET http://O/a b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	{"tab for a space", "GET\thttp://O/\tHTTP/1.1\r\nHost: x\r\n\r\n", 400},
	{"two spaces", "GET  http://O/ HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	{"user in the URL", "GET http://a:b@O/ HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	{"no host in the URL", "GET http:///x HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	{"only a port in the URL", "GET http://:80/ HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	{"bad port in the URL", "GET http://127.0.0.1:99999/ HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	{"backslash in the host", "GET http://O\\@x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	{"file URL", "GET file:///etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	{"file URL with a host", "GET file://O/etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	{"unknown scheme", "GET gopher://O/ HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	{"relative target", "GET index.html HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	{"asterisk for GET", "GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	{"authority for GET", "GET O HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	{"method no token", "G(T http://O/ HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	{"no version", "GET http://O/\r\nHost: x\r\n\r\n", 400},
	{"lower-case version", "GET http://O/ http/1.1\r\nHost: x\r\n\r\n", 400},
	{"version with two digits", "GET http://O/ HTTP/1.10\r\nHost: x\r\n\r\n", 400},
	{"version 2", "GET http://O/ HTTP/2.0\r\nHost: x\r\n\r\n", 505},
	{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
	{"TLS on a plain port", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400},
	{"only spaces", "   \r\n\r\n", 400},
	{"chunk size with a sign", "POST http://O/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n", 400},
	{"chunk size with 0x", "POST http://O/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", 400},
	{"chunk size too large", "POST http://O/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400},
	{"chunk without CRLF", "POST http://O/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n", 400},
	{"chunk line with a bare LF", "POST http://O/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", 400},
	{"chunk extension with a control character", "POST http://O/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\x01\r\nhello\r\n0\r\n\r\n", 400},
	{"trailer without a colon", "POST http://O/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nabc\r\n\r\n", 400},
	{"target too long", "GET http://O/" + strings.Repeat("a", 9000) + " HTTP/1.1\r\nHost: x\r\n\r\n", 414},
	{"fields too large", "GET http://O/ HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 70000) + "\r\n\r\n", 431},
	{"too many fields", "GET http://O/ HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: a\r\n", 300) + "\r\n", 431},
	{"expectation", "POST http://O/ HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\nContent-Length: 1\r\n\r\na", 417},
	{"TRACE with content", "TRACE http://O/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na", 400},
	{"CONNECT with content", "CONNECT O HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na", 400},
	{"CONNECT with a path", "CONNECT O/x HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	{"Max-Forwards no number", "OPTIONS http://O/ HTTP/1.1\r\nHost: x\r\nMax-Forwards: -1\r\n\r\n", 400},
}

func TestMalformedRequests(t *testing.T) {
	if len(malformedRequests) < 60 {
		t.Fatalf("%d cases", len(malformedRequests))
	}
	complete := make(chan string, 100)
	addr := startOrigin(t, func(conn net.Conn, r *bufio.Reader) {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if _, err = io.ReadAll(req.Body); err != nil {
			return // a request with broken content may begin, but must not look whole
		}
		complete <- req.Method + " " + req.RequestURI
		io.WriteString(conn, hello)
	})
	_, proxy := startProxy(t, func(s *Server, _ *originOptions) {
		s.Rules.ConnectPorts = []uint16{mustPort(addr)}
		s.BodyTimeout = 5 * time.Second
	})
	for _, tt := range malformedRequests {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, proxy)
			c.send(strings.ReplaceAll(tt.request, "O/", addr+"/"))
			resp, err := http.ReadResponse(c.r, &http.Request{Method: "GET"})
			if err != nil {
				t.Fatalf("no answer: %v", err)
			}
			if _, err = io.ReadAll(resp.Body); err != nil {
				t.Errorf("read the page: %v", err)
			}
			if resp.StatusCode != tt.want {
				t.Errorf("answer %d, want %d", resp.StatusCode, tt.want)
			}
			// Nothing after it is read as another request.
			if resp.Close {
				rest, _ := io.ReadAll(c.r)
				if len(rest) > 0 {
					t.Errorf("another answer: %q", rest)
				}
			} else if tt.want != 417 && !strings.Contains(tt.name, "CONNECT") && !strings.Contains(tt.name, "Max-Forwards") {
				t.Error("the connection stays open")
			}
			select {
			case head := <-complete:
				t.Errorf("the origin got %s", head)
			default:
			}
		})
	}
	if resp, _ := get(t, proxy, "GET http://"+addr+"/ HTTP/1.1\r\nHost: x\r\n\r\n"); resp.StatusCode != 200 {
		t.Errorf("afterwards: %d", resp.StatusCode)
	}
}

// malformedResponses must be answered with 502, or with a transfer that breaks
// off where the head is good and the content is not.
var malformedResponses = []struct{ name, response string }{
	{"nothing", ""},
	{"no HTTP", "hello\r\n\r\n"},
	{"status line alone", "HTTP/1.1 200 OK\r\n"},
	{"half a head", "HTTP/1.1 200 OK\r\nContent-Le"},
	{"length and chunked", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"},
	{"two lengths in one", "HTTP/1.1 200 OK\r\nContent-Length: 5,6\r\n\r\nhello!"},
	{"negative length", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello"},
	{"signed length", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello"},
	{"hexadecimal length", "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello"},
	{"huge length", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello"},
	{"empty length", "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nhello"},
	{"length in words", "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello"},
	{"chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"chunked twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"},
	{"gzip under chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
	{"bare LF", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"},
	{"one bare LF", "HTTP/1.1 200 OK\r\nX: a\nContent-Length: 5\r\n\r\nhello"},
	{"bare CR in a value", "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 5\r\n\r\nhello"},
	{"NUL in a value", "HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 5\r\n\r\nhello"},
	{"control character in a value", "HTTP/1.1 200 OK\r\nX: a\x1bb\r\nContent-Length: 5\r\n\r\nhello"},
	{"DEL in a value", "HTTP/1.1 200 OK\r\nX: \x7f\r\nContent-Length: 5\r\n\r\nhello"},
	{"folded line", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 5\r\n\r\nhello"},
	{"folded with a tab", "HTTP/1.1 200 OK\r\nX: a\r\n\tb\r\nContent-Length: 5\r\n\r\nhello"},
	{"space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello"},
	{"tab before the colon", "HTTP/1.1 200 OK\r\nX\t: 5\r\nContent-Length: 5\r\n\r\nhello"},
	{"no colon", "HTTP/1.1 200 OK\r\nhello\r\nContent-Length: 5\r\n\r\nhello"},
	{"empty field name", "HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 5\r\n\r\nhello"},
	{"field name with a space", "HTTP/1.1 200 OK\r\nX Y: x\r\nContent-Length: 5\r\n\r\nhello"},
	{"field name with a bracket", "HTTP/1.1 200 OK\r\nX[]: x\r\nContent-Length: 5\r\n\r\nhello"},
	{"space before the status line", " HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
	{"empty line before the status line", "\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
	{"lower-case version", "http/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
	{"version 2", "HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
	{"version 2, short", "HTTP/2 200\r\nContent-Length: 5\r\n\r\nhello"},
	{"version 0.9", "HTTP/0.9 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
	{"version with two digits", "HTTP/1.11 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
	{"no version", "200 OK\r\nContent-Length: 5\r\n\r\nhello"},
	{"other protocol", "ICY 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
	{"no status", "HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"},
	{"two digits", "HTTP/1.1 20 OK\r\nContent-Length: 5\r\n\r\nhello"},
	{"four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\nhello"},
	{"signed status", "HTTP/1.1 +20 OK\r\nContent-Length: 5\r\n\r\nhello"},
	{"status in letters", "HTTP/1.1 abc OK\r\nContent-Length: 5\r\n\r\nhello"},
	{"status 000", "HTTP/1.1 000 OK\r\nContent-Length: 5\r\n\r\nhello"},
	{"two spaces before the status", "HTTP/1.1  200 OK\r\nContent-Length: 5\r\n\r\nhello"},
	{"tab before the status", "HTTP/1.1\t200 OK\r\nContent-Length: 5\r\n\r\nhello"},
	{"control character in the reason", "HTTP/1.1 200 O\x01K\r\nContent-Length: 5\r\n\r\nhello"},
	{"NUL in the reason", "HTTP/1.1 200 O\x00K\r\nContent-Length: 5\r\n\r\nhello"},
	{"head too large", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 70000) + "\r\nContent-Length: 5\r\n\r\nhello"},
	{"too many fields", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: a\r\n", 300) + "Content-Length: 5\r\n\r\nhello"},
	{"status line too long", "HTTP/1.1 200 " + strings.Repeat("a", 10000) + "\r\nContent-Length: 5\r\n\r\nhello"},
	{"upgrade unasked", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"},
	{"endless interim responses", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100)},
	{"interim and nothing", "HTTP/1.1 103 Early Hints\r\n\r\n"},
	{"TLS alert", "\x15\x03\x01\x00\x02\x02\x0a"},
	{"SSH banner", "SSH-2.0-OpenSSH_9.2\r\n"},
	{"SMTP banner", "220 mail.example ESMTP\r\n"},
	{"short content", "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"},
	{"chunked, no chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{"chunked, short chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello"},
	{"chunked, no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"},
	{"chunked, last chunk cut", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"},
	{"chunk size with 0x", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n"},
	{"chunk size with a sign", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n"},
	{"chunk size with a space", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n"},
	{"chunk size empty", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n"},
	{"chunk size too large", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\nhello\r\n0\r\n\r\n"},
	{"chunk line with a bare LF", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n"},
	{"chunk without CRLF", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n"},
	{"chunk extension too long", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=" + strings.Repeat("b", 20000) + "\r\nhello\r\n0\r\n\r\n"},
	{"trailer without a colon", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nabc\r\n\r\n"},
	{"trailers too large", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n" + strings.Repeat("X: aaaaaaaaaaaaa\r\n", 1000) + "\r\n"},
}

func TestMalformedResponses(t *testing.T) {
	if len(malformedResponses) < 60 {
		t.Fatalf("%d cases", len(malformedResponses))
	}
	_, proxy := startProxy(t, nil)
	for _, tt := range malformedResponses {
		t.Run(tt.name, func(t *testing.T) {
			addr := startOrigin(t, func(conn net.Conn, r *bufio.Reader) {
				readHead(r)
				io.WriteString(conn, tt.response)
				conn.(*net.TCPConn).CloseWrite()
				io.Copy(io.Discard, r)
			})
			c := dial(t, proxy)
			c.send("GET http://" + addr + "/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			raw, _ := io.ReadAll(io.LimitReader(c.r, 1<<20))
			resp := lastResponse(raw)
			if resp == nil {
				return // closed without a whole head: broken, and seen to be
			}
			body, err := io.ReadAll(resp.Body)
			switch {
			case resp.StatusCode == 502 && err == nil && strings.Contains(resp.Header.Get("Proxy-Status"), "error="):
			case resp.StatusCode == 200 && err != nil:
			default:
				t.Errorf("answer %d %q, error %v", resp.StatusCode, body, err)
			}
		})
	}
	addr, _ := answering(t, hello)
	if resp, _ := get(t, proxy, "GET http://"+addr+"/ HTTP/1.1\r\nHost: x\r\n\r\n"); resp.StatusCode != 200 {
		t.Errorf("afterwards: %d", resp.StatusCode)
	}
}

// lastResponse returns the first response that is not interim, nil if its head
// is not whole.
func lastResponse(raw []byte) *http.Response {
	r := bufio.NewReader(bytes.NewReader(raw))
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: "GET"})
		if err != nil {
			return nil
		}
		if resp.StatusCode >= 200 {
			return resp
		}
	}
}

// Pairs of requests of which a lenient reader would see another number than a
// strict one: the second must never be answered as a request of its own.
func TestSmuggling(t *testing.T) {
	paths := make(chan string, 100)
	addr := startOrigin(t, func(conn net.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if _, err = io.ReadAll(req.Body); err != nil {
				return
			}
			paths <- req.URL.Path
			io.WriteString(conn, hello)
		}
	})
	_, proxy := startProxy(t, func(s *Server, _ *originOptions) { s.BodyTimeout = 5 * time.Second })
	hidden := "GET http://" + addr + "/hidden HTTP/1.1\r\nHost: x\r\n\r\n"
	for _, tt := range []struct{ name, first string }{
		{"CL.TE", "POST http://" + addr + "/first HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"TE.CL", "POST http://" + addr + "/first HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"},
		{"TE with a tab", "POST http://" + addr + "/first HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\tchunked\r\nContent-Length: 0\r\n\r\n"},
		{"TE obfuscated", "POST http://" + addr + "/first HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\nContent-Length: 0\r\n\r\n"},
		{"TE folded", "POST http://" + addr + "/first HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\nContent-Length: 0\r\n\r\n"},
		{"TE with a space", "POST http://" + addr + "/first HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\nContent-Length: 0\r\n\r\n"},
		{"two lengths", "POST http://" + addr + "/first HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 90\r\n\r\n"},
		{"chunk extension with LF", "POST http://" + addr + "/first HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0;\n\r\n\r\n"},
		{"bare CR line end", "POST http://" + addr + "/first HTTP/1.1\r\nHost: x\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"length named in Connection", "POST http://" + addr + "/first HTTP/1.1\r\nHost: x\r\nConnection: Content-Length\r\nContent-Length: " + fmt.Sprint(len(hidden)) + "\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, proxy)
			c.send(tt.first + hidden)
			c.Conn.(*net.TCPConn).CloseWrite()
			answers, _ := io.ReadAll(c.r)
			if n := bytes.Count(answers, []byte("HTTP/1.1 ")); n > 1 {
				t.Errorf("%d answers: %q", n, answers)
			}
			for len(paths) > 0 {
				if path := <-paths; path == "/hidden" {
					t.Error("the hidden request reached the origin")
				}
			}
		})
	}
}
