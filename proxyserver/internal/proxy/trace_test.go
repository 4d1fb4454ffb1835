package proxy

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"

	"topdown/proxyserver/internal/origin"
)

// transcript is a buffer for several goroutines.
type transcript struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// A trace shows both sides' heads without what is secret in them, and without
// bytes that a terminal would obey; the exchange itself has everything.
func TestTraceHidesSecrets(t *testing.T) {
	addr, asked := answering(t, "HTTP/1.1 200 OK\r\nSet-Cookie: id=secret1\r\nX-Odd: a\x9b31m\r\nContent-Length: 5\r\n\r\nhello")
	shown := new(transcript)
	_, proxy := startProxy(t, func(s *Server, _ *origin.Options) { s.Trace = shown })
	resp, body := get(t, proxy, "GET http://"+addr+"/page HTTP/1.1\r\nHost: x\r\nAuthorization: Basic secret2\r\n"+
		"Cookie: id=secret3\r\nProxy-Authorization: Basic secret4\r\nReferer: http://me:secret5@example.org/\r\n\r\n")
	if resp.StatusCode != 200 || body != "hello" || resp.Header.Get("Set-Cookie") != "id=secret1" {
		t.Fatalf("answer %d %q, Set-Cookie %q", resp.StatusCode, body, resp.Header.Get("Set-Cookie"))
	}
	if head := <-asked; !strings.Contains(head, "secret2") || !strings.Contains(head, "secret3") {
		t.Errorf("the origin got\n%s", head)
	}
	waitFor(t, "the trace of the answer", func() bool { return strings.Contains(shown.String(), "client < HTTP/1.1 200 OK") })
	text := shown.String()
	for _, want := range []string{"client > GET http://" + addr + "/page", "origin > GET /page", "origin < HTTP/1.1 200 OK", "Cookie: (hidden)", "Authorization: (hidden)", "Set-Cookie: (hidden)", "http://me:(hidden)@example.org/"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the trace", want)
		}
	}
	if strings.Contains(text, "secret") || strings.Contains(text, "\x9b") {
		t.Errorf("the trace shows too much:\n%q", text)
	}
}

// The same for explain, of an origin that asks for cookies to be set.
func TestExplainHidesSecrets(t *testing.T) {
	addr, _ := answering(t, "HTTP/1.1 200 OK\r\nSet-Cookie: id=secret\r\nContent-Length: 5\r\n\r\nhello")
	s, _ := startProxy(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out strings.Builder
	if err := s.Explain(ctx, "http://"+addr+"/page", &out); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); strings.Contains(text, "secret") || !strings.Contains(text, "Set-Cookie: (hidden)") || !strings.Contains(text, "5 bytes of content") {
		t.Errorf("explain:\n%s", text)
	}
}
