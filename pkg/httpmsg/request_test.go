package httpmsg

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// source makes a Source of text that arrives in one piece, or byte by byte.
func source(text string, slowly bool) *bufio.Reader {
	var r io.Reader = strings.NewReader(text)
	if slowly {
		r = iotest.OneByteReader(r)
	}
	return bufio.NewReaderSize(r, 256)
}

// readRequest reads a request both ways and checks that they agree.
func readRequest(t *testing.T, text string, limits Limits) (*Request, error) {
	t.Helper()
	var fast, slow Request
	fastErr := fast.Read(bufio.NewReaderSize(strings.NewReader(text), 128<<10), limits)
	slowErr := slow.Read(source(text, true), limits)
	if fmt.Sprint(fastErr) != fmt.Sprint(slowErr) {
		t.Errorf("at once: %v; byte by byte: %v", fastErr, slowErr)
	}
	if fastErr == nil {
		if diff := cmp.Diff(fast, slow); diff != "" {
			t.Errorf("at once and byte by byte differ:\n%s", diff)
		}
	}
	return &fast, fastErr
}

// status returns the status that an error asks for, 0 for none.
func status(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status
	}
	return 0
}

const host = "Host: example.org\r\n"

func TestGoodRequests(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       Request
	}{
		{
			"smallest", "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
			Request{Method: "GET", Target: "/", Minor: 1, Fields: Fields{{"Host", "a"}}},
		},
		{
			"one leading empty line", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
			Request{Method: "GET", Target: "/", Minor: 1, Fields: Fields{{"Host", "a"}}},
		},
		{
			"order and case are kept", "GET / HTTP/1.1\r\nhOsT: a\r\nB: 2\r\na: 1\r\nb: 3\r\n\r\n",
			Request{Method: "GET", Target: "/", Minor: 1, Fields: Fields{{"hOsT", "a"}, {"B", "2"}, {"a", "1"}, {"b", "3"}}},
		},
		{
			"white space around values", "GET / HTTP/1.1\r\nHost:a\r\nA: \t x y\t \r\nB:\r\n\r\n",
			Request{Method: "GET", Target: "/", Minor: 1, Fields: Fields{{"Host", "a"}, {"A", "x y"}, {"B", ""}}},
		},
		{
			"HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n",
			Request{Method: "GET", Target: "/"},
		},
		{
			"a later minor version counts as 1.1", "GET / HTTP/1.9\r\nHost: a\r\n\r\n",
			Request{Method: "GET", Target: "/", Minor: 1, Fields: Fields{{"Host", "a"}}},
		},
		{
			"bytes above 127 in values", "GET / HTTP/1.1\r\nHost: a\r\nA: \xe9\r\n\r\n",
			Request{Method: "GET", Target: "/", Minor: 1, Fields: Fields{{"Host", "a"}, {"A", "\xe9"}}},
		},
		{
			"empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n",
			Request{Method: "GET", Target: "/", Minor: 1, Fields: Fields{{"Host", ""}}},
		},
		{
			"length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
			Request{Method: "POST", Target: "/", Minor: 1, Fields: Fields{{"Host", "a"}, {"Content-Length", "5"}}, Framing: 5},
		},
		{
			"the same length twice", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\nContent-Length: 5\r\n\r\nhello",
			Request{
				Method: "POST", Target: "/", Minor: 1, Framing: 5,
				Fields: Fields{{"Host", "a"}, {"Content-Length", "5, 5"}, {"Content-Length", "5"}},
			},
		},
		{
			"chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
			Request{
				Method: "POST", Target: "/", Minor: 1, Framing: Chunked,
				Fields: Fields{{"Host", "a"}, {"Transfer-Encoding", "Chunked"}},
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readRequest(t, tt.text, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestRefusedHeads has a case for each way in which a head can be wrong.
func TestRefusedHeads(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       int
	}{
		{"space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
		{"tab before the colon", "GET / HTTP/1.1\r\nHost\t: a\r\n\r\n", 400},
		{"folded line", "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", 400},
		{"line folded with a tab", "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n\tc: d\r\n\r\n", 400},
		{"first field begins with a space", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
		{"no colon", "GET / HTTP/1.1\r\nHost: a\r\nfield\r\n\r\n", 400},
		{"empty name", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400},
		{"name that is no token", "GET / HTTP/1.1\r\nHost: a\r\na(b): c\r\n\r\n", 400},
		{"name above 127", "GET / HTTP/1.1\r\nHost: a\r\n\xe9: c\r\n\r\n", 400},
		{"NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nA: b\x00c\r\n\r\n", 400},
		{"NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nA\x00: b\r\n\r\n", 400},
		{"other control character in a value", "GET / HTTP/1.1\r\nHost: a\r\nA: b\x0bc\r\n\r\n", 400},
		{"DEL in a value", "GET / HTTP/1.1\r\nHost: a\r\nA: b\x7f\r\n\r\n", 400},
		{"bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n", 400},
		{"CR CR LF", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 400},
		{"bare LF after a field", "GET / HTTP/1.1\r\nHost: a\nA: b\r\n\r\n", 400},
		{"bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
		{"bare LF ends the head", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400},
		{"bare LF before the request line", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"bare CR before the request line", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"two leading empty lines", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},

		{"no Host", "GET / HTTP/1.1\r\nA: b\r\n\r\n", 400},
		{"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
		{"two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400},
		{"Host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
		{"Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
		{"Host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400},
		{"Host with a list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400},
		{"Host with a port that is no number", "GET / HTTP/1.1\r\nHost: a:x\r\n\r\n", 400},
		{"Host with a port too high", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", 400},
		{"Host with an open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400},
		{"Host with doubled brackets", "GET / HTTP/1.1\r\nHost: [[::1]\r\n\r\n", 400},
		{"Host with IPv4 in brackets", "GET / HTTP/1.1\r\nHost: [127.0.0.1]\r\n\r\n", 400},

		{"method only", "GET\r\n\r\n", 400},
		{"HTTP/0.9", "GET /\r\n\r\n", 400},
		{"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"space after the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
		{"tab for a space", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"space before the method", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"method that is no token", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"NUL in the target", "GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"DEL in the target", "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"tab in the target", "GET /\t HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"bare CR in the target", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"fragment in the target", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"version in lower case", "GET / http/1.1\r\nHost: a\r\n\r\n", 400},
		{"version of another protocol", "GET / SMTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"version with two digits", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400},
		{"version without a point", "GET / HTTP/11\r\nHost: a\r\n\r\n", 400},
		{"version with a sign", "GET / HTTP/+.1\r\nHost: a\r\n\r\n", 400},
		{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
		{"HTTP/3", "GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505},
		{"HTTP/0.9 by name", "GET / HTTP/0.9\r\n\r\n", 505},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := readRequest(t, tt.text, Limits{})
			if got := status(err); got != tt.want {
				t.Errorf("status %d (%v), want %d", got, err, tt.want)
			}
		})
	}
}

// TestRefusedFraming has a case for each way in which the end of a body can be
// in doubt.
func TestRefusedFraming(t *testing.T) {
	for _, tt := range []struct {
		name, fields string
		want         int
	}{
		{"both", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400},
		{"both, the other way round", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", 400},
		{"coding not chunked", "Transfer-Encoding: gzip\r\n", 400},
		{"chunked not last", "Transfer-Encoding: chunked, gzip\r\n", 400},
		{"chunked not last, on two lines", "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n", 400},
		{"coding empty", "Transfer-Encoding:\r\n", 400},
		{"coding of commas", "Transfer-Encoding: ,\r\n", 400},
		{"chunked with a comma", "Transfer-Encoding: chunked,\r\n", 400},
		{"chunked doubled", "Transfer-Encoding: chunked, chunked\r\n", 400},
		{"chunked doubled, on two lines", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400},
		{"coding unknown", "Transfer-Encoding: cow\r\n", 501},
		{"coding unknown before chunked", "Transfer-Encoding: cow, chunked\r\n", 501},
		{"identity", "Transfer-Encoding: identity\r\n", 501},
		{"known coding before chunked", "Transfer-Encoding: gzip, chunked\r\n", 501},
		{"chunked in quotes", "Transfer-Encoding: \"chunked\"\r\n", 501},
		{"chunked with a parameter", "Transfer-Encoding: chunked;a=b\r\n", 501},

		{"length empty", "Content-Length:\r\n", 400},
		{"length negative", "Content-Length: -1\r\n", 400},
		{"length with plus", "Content-Length: +1\r\n", 400},
		{"length in hex", "Content-Length: 0x1\r\n", 400},
		{"length with a space", "Content-Length: 1 2\r\n", 400},
		{"length with a point", "Content-Length: 1.0\r\n", 400},
		{"length with an underscore", "Content-Length: 1_0\r\n", 400},
		{"length not ASCII", "Content-Length: \xd9\xa1\r\n", 400},
		{"length too large for 63 bits", "Content-Length: 9223372036854775808\r\n", 400},
		{"length of a hundred digits", "Content-Length: " + strings.Repeat("9", 100) + "\r\n", 400},
		{"lengths differ in a list", "Content-Length: 1, 2\r\n", 400},
		{"lengths differ on two lines", "Content-Length: 1\r\nContent-Length: 2\r\n", 400},
		{"length with an empty member", "Content-Length: 1,\r\n", 400},
		{"chunked before an unknown coding", "Transfer-Encoding: chunked, cow\r\n", 400},
		{"length of a comma", "Content-Length: ,\r\n", 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := readRequest(t, "GET / HTTP/1.1\r\n"+host+tt.fields+"\r\n", Limits{})
			if got := status(err); got != tt.want {
				t.Errorf("status %d (%v), want %d", got, err, tt.want)
			}
		})
	}
	t.Run("coding in HTTP/1.0", func(t *testing.T) {
		_, err := readRequest(t, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Limits{})
		if got := status(err); got != 400 {
			t.Errorf("status %d (%v), want 400", got, err)
		}
	})
	t.Run("framing is judged before the method", func(t *testing.T) {
		_, err := readRequest(t, "BREW / HTTP/1.1\r\n"+host+"Content-Length: x\r\n\r\n", Limits{})
		if got := status(err); got != 400 {
			t.Errorf("status %d (%v), want 400", got, err)
		}
	})
}

func TestLimits(t *testing.T) {
	fields := func(n int) string { return strings.Repeat("A: b\r\n", n) }
	for _, tt := range []struct {
		name, text string
		limits     Limits
		want       int
	}{
		{"target of 8,000 bytes", "GET /" + strings.Repeat("a", 7999) + " HTTP/1.1\r\n" + host + "\r\n", Limits{}, 0},
		{"target at the limit", "GET /" + strings.Repeat("a", 8191) + " HTTP/1.1\r\n" + host + "\r\n", Limits{}, 0},
		{"target over the limit", "GET /" + strings.Repeat("a", 8192) + " HTTP/1.1\r\n" + host + "\r\n", Limits{}, 414},
		{"target without end", "GET /" + strings.Repeat("a", 100_000), Limits{}, 414},
		{"method without end", strings.Repeat("A", 100_000), Limits{}, 414},
		{"100 fields", "GET / HTTP/1.1\r\n" + host + fields(99) + "\r\n", Limits{}, 0},
		{"fields at the count", "GET / HTTP/1.1\r\n" + host + fields(199) + "\r\n", Limits{}, 0},
		{"fields over the count", "GET / HTTP/1.1\r\n" + host + fields(200) + "\r\n", Limits{}, 431},
		{"fields at the size", "GET / HTTP/1.1\r\n" + host + "A: " + strings.Repeat("b", 65536-len(host)-5) + "\r\n\r\n", Limits{}, 0},
		{"fields over the size", "GET / HTTP/1.1\r\n" + host + "A: " + strings.Repeat("b", 65536-len(host)-4) + "\r\n\r\n", Limits{}, 431},
		{"field without end", "GET / HTTP/1.1\r\n" + host + "A: " + strings.Repeat("b", 200_000), Limits{}, 431},
		{"fields without end", "GET / HTTP/1.1\r\n" + host + fields(100_000), Limits{}, 431},
		{"own limits", "GET / HTTP/1.1\r\n" + host + fields(3) + "\r\n", Limits{Count: 3}, 431},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := readRequest(t, tt.text, tt.limits)
			if got := status(err); got != tt.want {
				t.Errorf("status %d (%v), want %d", got, err, tt.want)
			}
		})
	}
}

func TestEnds(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       error
	}{
		{"nothing at all", "", io.EOF},
		{"in the request line", "GET / HT", io.ErrUnexpectedEOF},
		{"in the fields", "GET / HTTP/1.1\r\nHost: a\r\n", io.ErrUnexpectedEOF},
		{"in the last line end", "GET / HTTP/1.1\r\nHost: a\r\n\r", io.ErrUnexpectedEOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := readRequest(t, tt.text, Limits{}); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

func TestNextRequestIsLeft(t *testing.T) {
	src := source("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", false)
	var req Request
	for _, want := range []string{"/1", "/2"} {
		if err := req.Read(src, Limits{}); err != nil || req.Target != want {
			t.Fatalf("target %q, error %v; want %q", req.Target, err, want)
		}
	}
	if err := req.Read(src, Limits{}); !errors.Is(err, io.EOF) {
		t.Errorf("error %v, want EOF", err)
	}
}

func TestPersistent(t *testing.T) {
	for _, tt := range []struct {
		minor  int
		fields Fields
		want   bool
	}{
		{1, nil, true},
		{1, Fields{{"Connection", "close"}}, false},
		{1, Fields{{"Connection", "Upgrade, CLOSE"}}, false},
		{1, Fields{{"Connection", "keep-alive"}, {"connection", "close"}}, false},
		{0, nil, false},
		{0, Fields{{"Connection", "Keep-Alive"}}, true},
		{0, Fields{{"Connection", "keep-alive, close"}}, false},
	} {
		req := Request{Minor: tt.minor, Fields: tt.fields}
		if got := req.Persistent(); got != tt.want {
			t.Errorf("HTTP/1.%d %v: %v, want %v", tt.minor, tt.fields, got, tt.want)
		}
	}
}

func TestAllocations(t *testing.T) {
	text := "GET /index.html HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: test\r\n" +
		"Accept: text/html\r\nAccept-Language: en\r\nAccept-Encoding: gzip\r\nConnection: keep-alive\r\n\r\n"
	r := strings.NewReader(text)
	src := bufio.NewReader(r)
	var req Request
	got := testing.AllocsPerRun(100, func() {
		r.Reset(text)
		src.Reset(r)
		if err := req.Read(src, Limits{}); err != nil {
			t.Fatal(err)
		}
	})
	if got > 1 {
		t.Errorf("%v allocations a head, want 1: its text", got)
	}
}

func BenchmarkReadRequest(b *testing.B) {
	text := "GET /index.html HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n"
	r := strings.NewReader(text)
	src := bufio.NewReader(r)
	var req Request
	b.ReportAllocs()
	for b.Loop() {
		r.Reset(text)
		src.Reset(r)
		if err := req.Read(src, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func TestHostOptional(t *testing.T) {
	for head, accepted := range map[string]bool{
		"GET http://a/ HTTP/1.1\r\n\r\n":                       true,
		"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n":            true,
		"GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n": false,
		"GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n":          false,
	} {
		var req Request
		if err := req.Read(bufio.NewReader(strings.NewReader(head)), Limits{HostOptional: true}); (err == nil) != accepted {
			t.Errorf("%q: %v", head, err)
		}
	}
}
