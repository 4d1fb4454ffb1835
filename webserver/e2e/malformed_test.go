//go:build unix

package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// after says what becomes of the connection when the response is there.
type after int

const (
	closes after = iota // it closes, and nothing else was answered
	stays               // the request that follows is answered
	either              // one of the two
)

// malformed is a request on the wire and the answer that it gets. A request
// for /alive.txt always follows it: only a connection that stays answers that.
type malformed struct {
	name  string
	wire  string
	want  string // allowed statuses; "none" allows a close without a reply
	after after
	// end closes the sending side instead of sending another request.
	end bool
}

// chunkedPost is a POST with a chunked body.
func chunkedPost(body string) string {
	return request("POST", "/form.html", "Transfer-Encoding: chunked") + body
}

// framingTable holds the section Framing of the specification.
func framingTable() []malformed {
	const five = "hello"
	withLength := func(values ...string) string {
		fields := make([]string, len(values))
		for i, v := range values {
			fields[i] = "Content-Length: " + v
		}
		return request("POST", "/form.html", fields...) + five
	}
	withCoding := func(values ...string) string {
		fields := make([]string, len(values))
		for i, v := range values {
			fields[i] = "Transfer-Encoding: " + v
		}
		return request("POST", "/form.html", fields...) + "5\r\nhello\r\n0\r\n\r\n"
	}
	table := []malformed{
		// Transfer-Encoding and Content-Length: the classic ways of smuggling.
		{name: "CL.TE", wire: request("POST", "/form.html", "Content-Length: 6", "Transfer-Encoding: chunked") + "0\r\n\r\nG", want: "400"},
		{name: "TE.CL", wire: request("POST", "/form.html", "Transfer-Encoding: chunked", "Content-Length: 4") + "0\r\n\r\n", want: "400"},
		{name: "TE and CL 0", wire: request("POST", "/form.html", "Transfer-Encoding: chunked", "Content-Length: 0") + "0\r\n\r\n", want: "400"},
		{name: "TE and CL in GET", wire: request("GET", "/alive.txt", "Transfer-Encoding: chunked", "Content-Length: 5") + "0\r\n\r\n", want: "400"},
		{name: "TE and bad CL", wire: request("POST", "/form.html", "Transfer-Encoding: chunked", "Content-Length: x") + "0\r\n\r\n", want: "400"},
		{name: "smuggled request behind CL.TE", wire: request("POST", "/form.html", "Content-Length: 57", "Transfer-Encoding: chunked") + "0\r\n\r\nGET /alive.txt HTTP/1.1\r\nHost: x\r\nX-Smuggled: yes\r\n\r\n", want: "400"},
		{name: "TE in HTTP/1.0", wire: "POST /form.html HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", want: "400"},
		{name: "TE in HTTP/1.0 keep-alive", wire: "POST /form.html HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", want: "400"},
		{name: "TE in HTTP/1.0 GET", wire: "GET /alive.txt HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", want: "400"},
		// Framing goes before the method: 400 beats 405 and 501.
		{name: "TE and CL in DELETE", wire: request("DELETE", "/alive.txt", "Transfer-Encoding: chunked", "Content-Length: 5") + "0\r\n\r\n", want: "400"},
		{name: "TE and CL in an unknown method", wire: request("FROB", "/alive.txt", "Transfer-Encoding: chunked", "Content-Length: 5") + "0\r\n\r\n", want: "400"},
		{name: "bad CL in PUT", wire: request("PUT", "/alive.txt", "Content-Length: abc"), want: "400"},
		{name: "two lengths in PATCH", wire: request("PATCH", "/alive.txt", "Content-Length: 1", "Content-Length: 2") + "ab", want: "400"},
		{name: "last coding gzip in DELETE", wire: request("DELETE", "/alive.txt", "Transfer-Encoding: chunked, identity") + "0\r\n\r\n", want: "400"},
		{name: "bad CL for a missing page", wire: request("POST", "/missing", "Content-Length: 5x") + five, want: "400"},
		{name: "bad CL with OPTIONS *", wire: request("OPTIONS", "*", "Content-Length: +0"), want: "400"},

		// Transfer-Encoding alone.
		{name: "TE identity", wire: withCoding("identity"), want: "400|501"},
		{name: "TE empty", wire: withCoding(""), want: "400"},
		{name: "TE only commas", wire: withCoding(",,"), want: "400"},
		{name: "TE chunked, identity", wire: withCoding("chunked, identity"), want: "400"},
		{name: "TE chunked, gzip", wire: withCoding("chunked, gzip"), want: "400"},
		{name: "TE chunked twice in a list", wire: withCoding("chunked, chunked"), want: "400"},
		{name: "TE chunked in two fields", wire: withCoding("chunked", "chunked"), want: "400"},
		{name: "TE chunked then gzip in two fields", wire: withCoding("chunked", "gzip"), want: "400"},
		{name: "TE xchunked", wire: withCoding("xchunked"), want: "400|501"},
		{name: "TE chunkedx", wire: withCoding("chunkedx"), want: "400|501"},
		{name: "TE gzip", wire: withCoding("gzip"), want: "400|501"},
		{name: "TE unknown, chunked", wire: withCoding("xyz, chunked"), want: "501"},
		{name: "TE unknown, chunked in two fields", wire: withCoding("xyz", "chunked"), want: "501"},
		{name: "TE quoted", wire: withCoding(`"chunked"`), want: "400|501"},
		{name: "TE chunk ed", wire: withCoding("chunk ed"), want: "400|501"},
		{name: "TE with vertical tab", wire: withCoding("\vchunked"), want: "400"},
		{name: "TE with NUL", wire: withCoding("chunked\x00"), want: "400"},
		{name: "TE space before colon", wire: request("POST", "/form.html", "Transfer-Encoding : chunked", "Content-Length: 5") + five, want: "400"},
		{name: "TE on a folded line", wire: request("POST", "/form.html", "Transfer-Encoding:", " chunked") + "0\r\n\r\n", want: "400"},
		{name: "TE behind a bare LF", wire: request("POST", "/form.html", "X: y\nTransfer-Encoding: chunked") + "0\r\n\r\n", want: "400"},
		{name: "TE behind a bare CR", wire: request("POST", "/form.html", "X: y\rTransfer-Encoding: chunked") + "0\r\n\r\n", want: "400"},

		// Content-Length.
		{name: "CL letters", wire: withLength("five"), want: "400"},
		{name: "CL plus", wire: withLength("+5"), want: "400"},
		{name: "CL minus", wire: withLength("-5"), want: "400"},
		{name: "CL minus zero", wire: withLength("-0"), want: "400"},
		{name: "CL hex", wire: withLength("0x5"), want: "400"},
		{name: "CL fraction", wire: withLength("5.0"), want: "400"},
		{name: "CL exponent", wire: withLength("5e0"), want: "400"},
		{name: "CL underscore", wire: withLength("0_5"), want: "400"},
		{name: "CL empty", wire: withLength(""), want: "400"},
		{name: "CL inner space", wire: withLength("5 5"), want: "400"},
		{name: "CL trailing letter", wire: withLength("5a"), want: "400"},
		{name: "CL other digits", wire: withLength("\u0665"), want: "400"},
		{name: "CL list of two", wire: withLength("5, 6"), want: "400"},
		{name: "CL list with empty", wire: withLength("5,"), want: "400"},
		{name: "CL two fields", wire: withLength("5", "6"), want: "400"},
		{name: "CL two fields, other order", wire: withLength("6", "5"), want: "400"},
		{name: "CL three fields", wire: withLength("5", "5", "4"), want: "400"},
		{name: "CL over 64 bits", wire: withLength("18446744073709551621"), want: "400"},
		{name: "CL over 63 bits", wire: withLength("9223372036854775813"), want: "400"},
		{name: "CL very many digits", wire: withLength(strings.Repeat("9", 400)), want: "400"},
		{name: "CL space before colon", wire: request("POST", "/form.html", "Content-Length : 5") + five, want: "400"},

		// Over the limit of 1 MiB, which this server is started with.
		{name: "CL over the limit", wire: request("POST", "/form.html", "Content-Length: 2000000") + strings.Repeat("x", 2_000_000), want: "413"},
		{name: "CL of 63 bits", wire: withLength("9223372036854775807"), want: "413|400"},
		{name: "CL over the limit, expecting", wire: request("POST", "/form.html", "Content-Length: 2000000", "Expect: 100-continue"), want: "413"},
		{name: "chunks over the limit", wire: chunkedPost(strings.Repeat("8000\r\n"+strings.Repeat("x", 0x8000)+"\r\n", 64) + "0\r\n\r\n"), want: "413"},
		{name: "one chunk over the limit", wire: chunkedPost("200000\r\n" + strings.Repeat("x", 0x200000) + "\r\n0\r\n\r\n"), want: "413"},
		{name: "chunk size of 63 bits", wire: chunkedPost("7fffffffffffffff\r\nxx"), want: "413|400"},

		// Expectations: no 100 before an error.
		{name: "unknown expectation", wire: request("GET", "/alive.txt", "Expect: 200-ok"), want: "417", after: either},
		{name: "empty expectation", wire: request("GET", "/alive.txt", "Expect: "), want: "200|417", after: either},
		{name: "two expectations", wire: request("POST", "/form.html", "Content-Length: 5", "Expect: 100-continue, x") + five, want: "417", after: either},
		{name: "expecting with bad framing", wire: request("POST", "/form.html", "Expect: 100-continue", "Content-Length: 5", "Transfer-Encoding: chunked"), want: "400"},
		{name: "expecting with bad length", wire: request("POST", "/form.html", "Expect: 100-continue", "Content-Length: 5x"), want: "400"},
		{name: "expecting without Host", wire: "POST /form.html HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", want: "400"},
		{name: "expecting for a method not allowed", wire: request("PUT", "/form.html", "Expect: 100-continue", "Content-Length: 5"), want: "405", after: either},
		{name: "expecting for a missing page", wire: request("POST", "/missing", "Expect: 100-continue", "Content-Length: 5"), want: "404", after: either},

		// A body that never comes whole: 400 or a plain close.
		{name: "truncated body", wire: request("POST", "/form.html", "Content-Length: 10") + five, want: "400|none", end: true},
		{name: "truncated chunk", wire: chunkedPost("a\r\nhello"), want: "400|none", end: true},
		{name: "truncated chunk size", wire: chunkedPost("a"), want: "400|none", end: true},
		{name: "no last chunk", wire: chunkedPost("5\r\nhello\r\n"), want: "400|none", end: true},
		{name: "no end of trailers", wire: chunkedPost("5\r\nhello\r\n0\r\n"), want: "400|none", end: true},
		{name: "truncated head", wire: "GET /alive.txt HTTP/1.1\r\nHost: x\r\n", want: "400|none", end: true},
		{name: "truncated request line", wire: "GET /alive", want: "400|none", end: true},
		{name: "nothing at all", wire: "", want: "none", end: true},
		{name: "only an empty line", wire: "\r\n", want: "400|none", end: true},

		// Well-formed neighbours: the tests above must not win by refusing all.
		{name: "CL", wire: withLength("5"), want: "200", after: stays},
		{name: "CL with leading zeros", wire: withLength("00005"), want: "200", after: stays},
		{name: "CL same twice", wire: withLength("5", "5"), want: "200|400", after: either},
		{name: "CL same in a list", wire: withLength("5, 5"), want: "200|400", after: either},
		{name: "CL between blanks", wire: withLength(" \t5\t "), want: "200", after: stays},
		{name: "CL in GET", wire: request("GET", "/alive.txt", "Content-Length: 5") + five, want: "200", after: stays},
		{name: "TE in GET", wire: request("GET", "/alive.txt", "Transfer-Encoding: chunked") + "5\r\nhello\r\n0\r\n\r\n", want: "200", after: stays},
		{name: "TE capital letters", wire: withCoding("Chunked"), want: "200", after: stays},
		{name: "TE behind a tab", wire: withCoding("\tchunked \t"), want: "200", after: stays},
		{name: "TE with an empty element", wire: withCoding(", chunked"), want: "200|400", after: either},
		{name: "Content_Length is another field", wire: request("GET", "/alive.txt", "Content_Length: 5"), want: "200", after: stays},
	}
	chunks := []struct{ name, body, want string }{
		{"0x", "0x5\r\nhello\r\n0\r\n\r\n", "400"},
		{"underscore", "0_5\r\nhello\r\n0\r\n\r\n", "400"},
		{"plus", "+5\r\nhello\r\n0\r\n\r\n", "400"},
		{"minus", "-5\r\nhello\r\n0\r\n\r\n", "400"},
		{"leading space", " 5\r\nhello\r\n0\r\n\r\n", "400"},
		{"leading tab", "\t5\r\nhello\r\n0\r\n\r\n", "400"},
		{"trailing space", "5 \r\nhello\r\n0\r\n\r\n", "400"},
		{"inner space", "0 5\r\nhello\r\n0\r\n\r\n", "400"},
		{"not a digit", "g\r\nhello\r\n0\r\n\r\n", "400"},
		{"no size", "\r\nhello\r\n0\r\n\r\n", "400"},
		{"only an extension", ";a=b\r\nhello\r\n0\r\n\r\n", "400"},
		{"17 digits", "10000000000000005\r\nhello\r\n0\r\n\r\n", "400"},
		{"overflow", "ffffffffffffffff5\r\nhello\r\n0\r\n\r\n", "400"},
		{"negative as 64 bits", "ffffffffffffffff\r\nhello\r\n0\r\n\r\n", "400|413"},
		{"data too long", "5\r\nhelloX\r\n0\r\n\r\n", "400"},
		{"data too short", "5\r\nhell\r\n0\r\n\r\n", "400"},
		{"no CRLF after the data", "5\r\nhello0\r\n\r\n", "400"},
		{"LF after the data", "5\r\nhello\n0\r\n\r\n", "400"},
		{"CR after the data", "5\r\nhello\r0\r\n\r\n", "400"},
		{"LF after the size", "5\nhello\r\n0\r\n\r\n", "400"},
		{"CR after the size", "5\rhello\r\n0\r\n\r\n", "400"},
		{"LF after the last size", "5\r\nhello\r\n0\n\r\n", "400"},
		{"LF at the end", "5\r\nhello\r\n0\r\n\n", "400"},
		{"NUL in the size", "5\x00\r\nhello\r\n0\r\n\r\n", "400"},
		{"extension with LF", "5;a\nb\r\nhello\r\n0\r\n\r\n", "400"},
		{"extension with CR", "5;a\rb\r\nhello\r\n0\r\n\r\n", "400"},
		{"extension with NUL", "5;a\x00\r\nhello\r\n0\r\n\r\n", "400"},
		{"extension without a name", "5;=b\r\nhello\r\n0\r\n\r\n", "400"},
		{"extension empty", "5;\r\nhello\r\n0\r\n\r\n", "400"},
		{"extension with an open quote", "5;a=\"b\r\nhello\r\n0\r\n\r\n", "400"},
		{"extension without a semicolon", "5 a=b\r\nhello\r\n0\r\n\r\n", "400"},
		{"extension of 1 MiB", "5;a=" + strings.Repeat("b", 1<<20) + "\r\nhello\r\n0\r\n\r\n", "400|413|431"},
		{"very many extensions", strings.Repeat("1;abcdefgh=abcdefgh\r\nx\r\n", 40_000) + "0\r\n\r\n", "400|413|431"},
		{"trailer without a colon", "5\r\nhello\r\n0\r\ntrailer\r\n\r\n", "400"},
		{"trailer with space before the colon", "5\r\nhello\r\n0\r\nX : y\r\n\r\n", "400"},
		{"trailer folded", "5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n", "400"},
		{"trailer with LF", "5\r\nhello\r\n0\r\nX: y\nZ: z\r\n\r\n", "400"},
		{"trailer with NUL", "5\r\nhello\r\n0\r\nX: \x00\r\n\r\n", "400"},
		{"trailer of 1 MiB", "5\r\nhello\r\n0\r\nX: " + strings.Repeat("y", 1<<20) + "\r\n\r\n", "400|413|431"},
		{"very many trailers", "5\r\nhello\r\n0\r\n" + strings.Repeat("X: y\r\n", 100_000) + "\r\n", "400|413|431"},
	}
	for _, c := range chunks {
		table = append(table, malformed{name: "chunk: " + c.name, wire: chunkedPost(c.body), want: c.want})
	}
	good := []struct{ name, body string }{
		{"plain", "5\r\nhello\r\n0\r\n\r\n"},
		{"capital digit", "A\r\nhellohello\r\n0\r\n\r\n"},
		{"leading zeros", "0005\r\nhello\r\n000\r\n\r\n"},
		{"extension", "5;a\r\nhello\r\n0;b=c\r\n\r\n"},
		{"extension with blanks", "5 ; a = b\r\nhello\r\n0\r\n\r\n"},
		{"quoted extension", "5;a=\"\\\"; b\"\r\nhello\r\n0\r\n\r\n"},
		{"trailer", "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"},
		{"framing in trailers is not merged", "5\r\nhello\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: gzip\r\nHost: y\r\n\r\n"},
		{"empty", "0\r\n\r\n"},
	}
	for _, c := range good {
		want, then := "200", stays
		if strings.HasPrefix(c.name, "framing") {
			want, then = "200|400", either // forbidden to send, free to refuse
		}
		table = append(table, malformed{name: "good chunk: " + c.name, wire: chunkedPost(c.body), want: want, after: then})
	}
	return table
}

// headTable holds the section Head of the specification.
func headTable() []malformed {
	get := func(fields ...string) string { return request("GET", "/alive.txt", fields...) }
	line := func(l string) string { return l + "\r\nHost: x\r\n\r\n" }
	host := func(values ...string) string {
		head := "GET /alive.txt HTTP/1.1\r\n"
		for _, v := range values {
			head += "Host: " + v + "\r\n"
		}
		return head + "\r\n"
	}
	many := func(n int, format string) []string {
		fields := make([]string, n)
		for i := range fields {
			fields[i] = fmt.Sprintf(format, i)
		}
		return fields
	}
	return []malformed{
		// Fields.
		{name: "space before the colon", wire: get("X : y"), want: "400"},
		{name: "tab before the colon", wire: get("X\t: y"), want: "400"},
		{name: "space before the colon of Host", wire: "GET /alive.txt HTTP/1.1\r\nHost : x\r\n\r\n", want: "400"},
		{name: "folded line", wire: get("X: y", " z"), want: "400"},
		{name: "folded line with a tab", wire: get("X: y", "\tz"), want: "400"},
		{name: "folded Host", wire: "GET /alive.txt HTTP/1.1\r\nHost:\r\n x\r\n\r\n", want: "400"},
		{name: "leading space in the first field", wire: "GET /alive.txt HTTP/1.1\r\n Host: x\r\n\r\n", want: "400"},
		{name: "only a space in a line", wire: get(" "), want: "400"},
		{name: "no colon", wire: get("nonsense"), want: "400"},
		{name: "no colon in the last line", wire: get("X: y", "z"), want: "400"},
		{name: "empty name", wire: get(": y"), want: "400"},
		{name: "name with a space", wire: get("X Y: z"), want: "400"},
		{name: "name with a bracket", wire: get("X(Y): z"), want: "400"},
		{name: "name with a slash", wire: get("X/Y: z"), want: "400"},
		{name: "name with a quote", wire: get(`"X": z`), want: "400"},
		{name: "name not ASCII", wire: get("Grüße: z"), want: "400"},
		{name: "name with NUL", wire: get("X\x00: z"), want: "400"},
		{name: "name with DEL", wire: get("X\x7f: z"), want: "400"},
		{name: "value with NUL", wire: get("X: a\x00b"), want: "400"},
		{name: "value with SOH", wire: get("X: a\x01b"), want: "400"},
		{name: "value with ESC", wire: get("X: \x1b[31m"), want: "400"},
		{name: "value with DEL", wire: get("X: a\x7fb"), want: "400"},
		{name: "value with VT", wire: get("X: a\vb"), want: "400"},
		{name: "bare CR in a value", wire: get("X: a\rb"), want: "400"},
		{name: "CR CR LF", wire: get("X: a\r"), want: "400"},
		{name: "bare LF after a field", wire: get("X: a\nY: b"), want: "400"},
		{name: "bare LF after the request line", wire: "GET /alive.txt HTTP/1.1\nHost: x\r\n\r\n", want: "400"},
		{name: "bare LF at the end of the head", wire: "GET /alive.txt HTTP/1.1\r\nHost: x\r\n\n", want: "400"},
		{name: "bare LF all over", wire: "GET /alive.txt HTTP/1.1\nHost: x\n\n", want: "400"},
		{name: "bare CR for lines", wire: "GET /alive.txt HTTP/1.1\rHost: x\r\r", want: "400"},
		{name: "LF CR", wire: "GET /alive.txt HTTP/1.1\n\rHost: x\n\r\n\r", want: "400"},

		// Host.
		{name: "no Host", wire: host(), want: "400"},
		{name: "two Hosts", wire: host("a", "b"), want: "400"},
		{name: "same Host twice", wire: host("a", "a"), want: "400"},
		{name: "Host with a space", wire: host("a b"), want: "400"},
		{name: "Host with a path", wire: host("a/b"), want: "400"},
		{name: "Host with a scheme", wire: host("http://a"), want: "400"},
		{name: "Host with a query", wire: host("a?b"), want: "400"},
		{name: "Host with a fragment", wire: host("a#b"), want: "400"},
		{name: "Host with a user", wire: host("u@a"), want: "400"},
		{name: "Host with a backslash", wire: host(`a\b`), want: "400"},
		{name: "Host with a bad port", wire: host("a:b"), want: "400"},
		{name: "Host with two ports", wire: host("a:1:2"), want: "400"},
		{name: "Host with an open bracket", wire: host("[::1"), want: "400"},
		{name: "Host with text after the bracket", wire: host("[::1]x"), want: "400"},
		{name: "Host with a bad escape", wire: host("a%zz"), want: "400"},
		{name: "Host with angle brackets", wire: host("<a>"), want: "400"},

		// Request line.
		{name: "HTTP/0.9", wire: "GET /alive.txt\r\n", want: "400"},
		{name: "HTTP/0.9 with fields", wire: line("GET /alive.txt"), want: "400"},
		{name: "only a method", wire: line("GET"), want: "400"},
		{name: "two spaces", wire: line("GET  /alive.txt HTTP/1.1"), want: "400"},
		{name: "two spaces before the version", wire: line("GET /alive.txt  HTTP/1.1"), want: "400"},
		{name: "a fourth word", wire: line("GET /alive.txt HTTP/1.1 x"), want: "400"},
		{name: "trailing space", wire: line("GET /alive.txt HTTP/1.1 "), want: "400"},
		{name: "leading space", wire: line(" GET /alive.txt HTTP/1.1"), want: "400"},
		{name: "tabs", wire: line("GET\t/alive.txt\tHTTP/1.1"), want: "400"},
		{name: "NUL in the method", wire: line("G\x00T /alive.txt HTTP/1.1"), want: "400"},
		{name: "method not a token", wire: line("G@T /alive.txt HTTP/1.1"), want: "400"},
		{name: "method not ASCII", wire: line("GÉT /alive.txt HTTP/1.1"), want: "400"},
		{name: "method with a colon", wire: line("GET: /alive.txt HTTP/1.1"), want: "400"},
		{name: "BOM", wire: line("\ufeffGET /alive.txt HTTP/1.1"), want: "400"},
		{name: "bare CR in the request line", wire: line("GET /alive.txt\r HTTP/1.1"), want: "400"},
		{name: "very long method", wire: line(strings.Repeat("G", 100_000) + " / HTTP/1.1"), want: "400|414|431|501"},
		{name: "endless request line", wire: strings.Repeat("G", 1<<20), want: "400|414|431|501"},

		// Version.
		{name: "version in small letters", wire: line("GET /alive.txt http/1.1"), want: "400"},
		{name: "version without a minor", wire: line("GET /alive.txt HTTP/1"), want: "400"},
		{name: "version with an empty minor", wire: line("GET /alive.txt HTTP/1."), want: "400"},
		{name: "version with three parts", wire: line("GET /alive.txt HTTP/1.1.1"), want: "400"},
		{name: "version with a leading zero", wire: line("GET /alive.txt HTTP/01.1"), want: "400"},
		{name: "version with two digits", wire: line("GET /alive.txt HTTP/1.10"), want: "400"},
		{name: "version with a plus", wire: line("GET /alive.txt HTTP/+1.1"), want: "400"},
		{name: "version with letters", wire: line("GET /alive.txt HTTP/1.x"), want: "400"},
		{name: "version with a comma", wire: line("GET /alive.txt HTTP/1,1"), want: "400"},
		{name: "version of another protocol", wire: line("GET /alive.txt HTTPS/1.1"), want: "400"},
		{name: "version with a slash missing", wire: line("GET /alive.txt HTTP1.1"), want: "400"},
		{name: "version RTSP", wire: line("OPTIONS * RTSP/1.0"), want: "400"},
		{name: "version SIP", wire: line("OPTIONS sip:x SIP/2.0"), want: "400"},
		{name: "version 0.9 said aloud", wire: line("GET /alive.txt HTTP/0.9"), want: "505"},
		{name: "version 2.0", wire: line("GET /alive.txt HTTP/2.0"), want: "505"},
		{name: "version 3.0", wire: line("GET /alive.txt HTTP/3.0"), want: "505"},
		{name: "version 9.9", wire: line("GET /alive.txt HTTP/9.9"), want: "505"},
		{name: "HTTP/2 preface", wire: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", want: "505"},

		// Other protocols.
		{name: "ClientHello", wire: "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03\r\n\r\n", want: "400"},
		{name: "SSH", wire: "SSH-2.0-OpenSSH_9.2\r\n", want: "400"},
		{name: "SMTP", wire: "EHLO x.example\r\n", want: "400"},
		{name: "SOCKS 5", wire: "\x05\x01\x00\r\n\r\n", want: "400"},
		{name: "noise", wire: "\x00\xff\xfe\x80\x00\r\n\x01\x02\r\n\r\n", want: "400"},

		// Sizes.
		{name: "field of 100 KB", wire: get("X: " + strings.Repeat("y", 100_000)), want: "431"},
		{name: "field of 1 MiB", wire: get("X: " + strings.Repeat("y", 1<<20)), want: "431"},
		{name: "name of 100 KB", wire: get(strings.Repeat("X", 100_000) + ": y"), want: "400|431"},
		{name: "endless name", wire: "GET /alive.txt HTTP/1.1\r\n" + strings.Repeat("X", 1<<20), want: "400|431"},
		{name: "fields of 100 KB in all", wire: get(many(100, "X-%d: "+strings.Repeat("y", 1_000))...), want: "431"},
		{name: "100,000 fields", wire: get(many(100_000, "X-%d: y")...), want: "431"},
		{name: "too many fields in a POST", wire: request("POST", "/form.html", append(many(100_000, "X-%d: y"), "Content-Length: 5")...) + "hello", want: "431"},
		{name: "too large and without Host", wire: "GET /alive.txt HTTP/1.1\r\nX: " + strings.Repeat("y", 100_000) + "\r\n\r\n", want: "400|431"},

		// Order of the checks: what is wrong with the message beats the method.
		{name: "DELETE without Host", wire: "DELETE /alive.txt HTTP/1.1\r\n\r\n", want: "400"},
		{name: "unknown method with folding", wire: request("FROB", "/alive.txt", "X: y", " z"), want: "400"},
		{name: "missing page without Host", wire: "GET /missing HTTP/1.1\r\n\r\n", want: "400"},

		// Well-formed neighbours.
		{name: "one leading empty line", wire: "\r\n" + get(), want: "200", after: stays},
		{name: "some leading empty lines", wire: "\r\n\r\n\r\n" + get(), want: "200|400", after: either},
		{name: "leading bare LF", wire: "\n" + get(), want: "200|400", after: either},
		{name: "no space after the colon", wire: "GET /alive.txt HTTP/1.1\r\nHost:x\r\nX:y\r\n\r\n", want: "200", after: stays},
		{name: "empty value", wire: get("X:", "Y: "), want: "200", after: stays},
		{name: "tab in a value", wire: get("X:\ta\tb\t"), want: "200", after: stays},
		{name: "obs-text in a value", wire: get("X: \xe4\xf6\xfc"), want: "200", after: stays},
		{name: "every tchar in a name", wire: get("!#$%&'*+-.^_`|~09azAZ: y"), want: "200", after: stays},
		{name: "field twice", wire: get("X: y", "X: z"), want: "200", after: stays},
		{name: "100 fields", wire: get(many(99, "X-%d: y")...), want: "200", after: stays},
		{name: "fields of 60,000 bytes", wire: get("X: "+strings.Repeat("y", 30_000), "Z: "+strings.Repeat("z", 29_900)), want: "200", after: stays},
		{name: "HTTP/1.2 is HTTP/1.1 to us", wire: line("GET /alive.txt HTTP/1.2"), want: "200|505", after: either},
		{name: "Host in capitals with a port", wire: host("A.LOCALHOST:8080"), want: "200", after: stays},
		{name: "Host IPv4", wire: host("127.0.0.1:80"), want: "200", after: stays},
		{name: "Host IPv6", wire: host("[::1]:80"), want: "200", after: stays},
		{name: "Host with an empty port", wire: host("a:"), want: "200", after: stays},
		{name: "Host with an escape", wire: host("a%2db"), want: "200", after: stays},
		{name: "Host with an underscore", wire: host("my_host"), want: "200", after: stays},
		{name: "empty Host", wire: host(""), want: "200|400", after: either},
		{name: "unknown method", wire: request("FROB", "/alive.txt"), want: "501", after: either},
		{name: "method in small letters", wire: request("get", "/alive.txt"), want: "501", after: either},
	}
}

// TestMalformed sends each request of the two tables with another one behind
// it, and asks after each, on a connection of its own, whether the server is
// alive. No error may be heralded by 100 Continue: the first response counts.
func TestMalformed(t *testing.T) {
	t.Parallel()
	table := append(framingTable(), headTable()...)
	count := 0
	for _, m := range table {
		if !strings.HasPrefix(m.want, "200") {
			count++
		}
	}
	if count < 80 {
		t.Errorf("%d malformed requests, want 80 or more", count)
	}
	root := writeTree(t, map[string]string{"form.html": "<form method=post>"})
	plainAndTLS(t, func(t *testing.T, s *server) {
		t.Helper()
		for _, m := range table {
			t.Run(m.name, func(t *testing.T) {
				m.test(t, s)
				s.alive(t)
			})
		}
	}, "--root", root, "--max-body", "1MiB")
}

func (m malformed) test(t *testing.T, s *server) {
	t.Helper()
	c := s.dial(t)
	defer c.Close()
	if m.end {
		if _, err := c.Write([]byte(m.wire)); err != nil {
			t.Fatal(err)
		}
		if err := c.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
	} else {
		c.send(m.wire + request("GET", "/alive.txt", "X-Follows: yes"))
	}
	method, _, _ := strings.Cut(strings.TrimSpace(m.wire), " ")
	r, err := c.read(method)
	if errors.Is(err, errNoReply) && statuses(strings.ReplaceAll(m.want, "none", "0"), 0) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if !statuses(m.want, r.StatusCode) {
		t.Fatalf("status %d, want %s; body %.200q", r.StatusCode, m.want, r.body)
	}
	// What is said in Connection holds: a client relies on it.
	if m.after == closes && !r.Close {
		t.Errorf("a response before a close without Connection: close:\n%s", r.head)
	}
	if m.after == closes || m.after == either && r.Close {
		c.mustClose(t)
		return
	}
	if m.end {
		return
	}
	next, err := c.read("GET")
	switch {
	case err != nil:
		t.Errorf("the request that follows: %v", err)
	case next.StatusCode != 200 || string(next.body) != aliveText:
		t.Errorf("the request that follows: %s %.200q", next.Status, next.body)
	}
}

// TestErrorReplySurvives: a client that goes on sending a body that is not
// wanted can still read the status, whether it reads while it writes or only
// when all is written. A close with unread data would reset the connection and
// take the reply with it (section 9.6 of RFC 9112).
func TestErrorReplySurvives(t *testing.T) {
	t.Parallel()
	root := writeTree(t, map[string]string{"form.html": "<form method=post>"})
	plainAndTLS(t, func(t *testing.T, s *server) {
		t.Helper()
		for _, size := range []int{1_500_000, 8_000_000} {
			length := fmt.Sprintf("Content-Length: %d", size)
			body := strings.Repeat("x", size)
			for head, want := range map[string]string{
				request("POST", "/form.html", length):                               "413",
				request("POST", "/form.html", length, "Transfer-Encoding: chunked"): "400",
				request("PUT", "/form.html", length):                                "405|413",
				request("POST", "/missing", length):                                 "404|413",
				request("FROB", "/form.html", length):                               "501|413",
				request("POST", "/form.html", length, "Bad : field"):                "400",
			} {
				for range 3 {
					c := s.dial(t)
					if size < 2_000_000 {
						_, _ = io.WriteString(c, head+body)
					} else {
						c.send(head + body)
					}
					r, err := c.read("POST")
					if err != nil {
						t.Errorf("%.40q with %d bytes: %v", head, size, err)
					} else if !statuses(want, r.StatusCode) {
						t.Errorf("%.40q with %d bytes: status %d, want %s", head, size, r.StatusCode, want)
					}
					c.Close()
				}
			}
		}
		s.alive(t)
	}, "--root", root, "--max-body", "1MiB")
}
