package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/origin"
)

// late is a transport that has not let go of the first request's content when
// the second request comes on the same connection.
type late struct {
	t     *testing.T
	first io.Reader
}

func (l *late) Exchange(_ context.Context, req *exchange.Request) (*exchange.Response, error) {
	if l.first == nil {
		l.first = req.Body
		if _, err := io.CopyN(io.Discard, req.Body, int64(req.Framing)); err != nil {
			l.t.Errorf("read the first content: %v", err)
		}
	} else {
		if n, err := l.first.Read(make([]byte, 100)); n != 0 || err == nil {
			l.t.Errorf("the first upload read %d bytes of the second request, %v", n, err)
		}
		content, err := io.ReadAll(req.Body)
		if string(content) != "second" || err != nil {
			l.t.Errorf("the second content: %q, %v", content, err)
		}
	}
	return &exchange.Response{Status: 200, Reason: "OK", Body: io.NopCloser(strings.NewReader(""))}, nil
}

// An upload still under way must not be read into the next request's body.
func TestLateUpload(t *testing.T) {
	_, proxy := startProxy(t, func(s *Server, _ *origin.Options) { s.Transport = &late{t: t} })
	c := dial(t, proxy)
	for _, content := range []string{"first", "second"} {
		c.send(fmt.Sprintf("POST http://example.org/ HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(content), content))
		if resp, _ := c.receive("POST"); resp.StatusCode != 200 || resp.Close {
			t.Fatalf("answer %d, close: %v", resp.StatusCode, resp.Close)
		}
	}
}

// The same with an origin that answers before it reads the content: what
// follows on the connection, if it is kept, is whole and in order.
func TestEarlyAnswers(t *testing.T) {
	addr := startOrigin(t, func(conn net.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			early := req.URL.Path == "/early"
			if early {
				io.WriteString(conn, hello)
			}
			content, err := io.ReadAll(req.Body)
			if err != nil {
				return
			}
			if !early {
				fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(content), content)
			}
		}
	})
	_, proxy := startProxy(t, nil)
	kept := 0
	c := dial(t, proxy)
	post := func(path, content string) string {
		c.send(fmt.Sprintf("POST http://%s%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", addr, path, len(content), content))
		resp, body := c.receive("POST")
		if resp.StatusCode != 200 {
			t.Fatalf("%s: answer %d", path, resp.StatusCode)
		}
		if resp.Close {
			c.Close()
			c = dial(t, proxy)
		} else {
			kept++
		}
		return body
	}
	for i := range 100 {
		post("/early", strings.Repeat("a", 1000+i*300))
		want := strings.Repeat("b", 1000+i*300)
		if got := post("/echo", want); got != want {
			t.Fatalf("round %d: %d bytes came back of %d, %d of them of the request before", i, len(got), len(want), strings.Count(got, "a"))
		}
	}
	if kept == 0 {
		t.Error("no connection was kept: this shows nothing")
	}
}
