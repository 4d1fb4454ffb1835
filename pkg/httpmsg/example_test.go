package httpmsg_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"topdown/pkg/httpmsg"
)

// Reads a request and answers it, as a server does for one connection. The
// request's body begins in the same bufio.Reader where its head ended.
func Example() {
	conn := strings.NewReader("POST /greet HTTP/1.1\r\nHost: example.com\r\nContent-Length: 3\r\n\r\nAda")

	src := bufio.NewReader(conn)
	var req httpmsg.Request
	if err := req.Read(src, httpmsg.Limits{}); err != nil {
		fmt.Println(err)
		return
	}
	name, err := io.ReadAll(httpmsg.NewBody(src, req.Framing, httpmsg.BodyLimits{Size: 1 << 10}))
	if err != nil {
		fmt.Println(err)
		return
	}
	content := "Hello, " + string(name) + "!\n"

	head, err := httpmsg.AppendResponse(nil, &httpmsg.Response{
		Minor: 1, Status: 200, Reason: httpmsg.StatusText(200),
		Fields: httpmsg.Fields{{Name: "Content-Length", Value: fmt.Sprint(len(content))}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(strings.ReplaceAll(string(head), "\r\n", "\n"), content)
	// Output:
	// HTTP/1.1 200 OK
	// Content-Length: 12
	//
	// Hello, Ada!
}

// A request that two readers could understand differently is refused, with the
// status code to answer with.
func ExampleRequest_Read() {
	src := bufio.NewReader(strings.NewReader(
		"GET / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"))
	var req httpmsg.Request
	err := req.Read(src, httpmsg.Limits{})
	if refusal, ok := errors.AsType[*httpmsg.Error](err); ok {
		fmt.Printf("%d %s: %v (RFC %s)\n", refusal.Status, httpmsg.StatusText(refusal.Status), err, refusal.Section)
	}
	// Output: 400 Bad Request: there are two different Content-Lengths (RFC 9112, 6.3)
}

// Where a response's body ends depends on the request's method, too.
func ExampleResponse_Read() {
	const text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
	for _, method := range []string{"GET", "HEAD"} {
		src := bufio.NewReader(strings.NewReader(text))
		var resp httpmsg.Response
		if err := resp.Read(src, method, httpmsg.Limits{}); err != nil {
			fmt.Println(err)
			return
		}
		body, err := io.ReadAll(httpmsg.NewBody(src, resp.Framing, httpmsg.BodyLimits{}))
		fmt.Printf("%s: %d, content %q, %v\n", method, resp.Status, body, err)
	}
	// Output:
	// GET: 200, content "hello", <nil>
	// HEAD: 200, content "", <nil>
}

// Trailer fields are there once the body has been read to its end.
func ExampleBody() {
	src := bufio.NewReader(strings.NewReader("6\r\nhello \r\n5\r\nworld\r\n0\r\nDigest: abc\r\n\r\nwhat follows"))
	body := httpmsg.NewBody(src, httpmsg.Chunked, httpmsg.BodyLimits{Size: 1 << 20})
	content, err := io.ReadAll(body)
	fmt.Printf("%s, %v, %s\n", content, err, body.Trailers.Get("Digest"))
	rest, _ := io.ReadAll(src)
	fmt.Printf("%s\n", rest)
	// Output:
	// hello world, <nil>, abc
	// what follows
}
