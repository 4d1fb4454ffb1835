package proxy

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"topdown/proxyserver/internal/history"
	"topdown/proxyserver/internal/origin"
)

// TestHistory: what an exchange leaves, with a trace and without; and clients and
// whoever looks do not get into one another's way.
func TestHistory(t *testing.T) {
	h := &history.History{}
	h.Allow(1000, 50)
	_, addr := startProxy(t, func(s *Server, _ *origin.Options) { s.History = h })
	up, _ := answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a=secret\r\n\r\nhello")
	ask := func(i int) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		for range 4 {
			fmt.Fprintf(conn, "GET http://%s/%d HTTP/1.1\r\nHost: x\r\nAuthorization: Basic secret\r\nReferer: http://u:secret@h/\r\n\r\n", up, i)
			answer := make([]byte, 4096)
			for text := ""; !strings.HasSuffix(text, "hello"); {
				n, err := conn.Read(answer)
				if text += string(answer[:n]); err != nil {
					t.Errorf("%q: %v", text, err)
					return
				}
			}
		}
	}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() { ask(i) })
	}
	wg.Go(func() {
		for range 20 {
			for _, r := range h.Since(0, history.Size) {
				h.Find(r.ID)
			}
		}
	})
	wg.Wait()
	waitFor(t, "the last exchange", func() bool {
		all := h.Since(0, history.Size)
		return len(all) == 80 && !slices.ContainsFunc(all, func(r history.Record) bool { return r.UnderWay })
	})
	traces, steps := 0, 0
	for _, r := range h.Since(0, history.Size) {
		r, ok := h.Find(r.ID)
		if !ok || r.Status != 200 || r.Sent != 5 || r.Host != up || r.Word() != "passed on" || r.Client.String() == addr {
			t.Errorf("record %+v", r)
		}
		if r.Trace != nil {
			traces++
			if r.FirstByte <= 0 || r.FirstByte > r.Took || !bytes.Contains(r.Trace, []byte(`"from":"origin"`)) {
				t.Errorf("first byte after %v of %v, trace %s", r.FirstByte, r.Took, r.Trace)
			}
		}
		steps += len(r.Steps)
		if events := r.Events(); bytes.Contains(events, []byte("secret")) || strings.Contains(r.URL(), "secret") {
			t.Errorf("a secret is told: %s %s", r.URL(), events)
		}
	}
	if traces != 50 || steps == 0 {
		t.Errorf("%d traces, %d steps", traces, steps)
	}
}

// TestRevalidate: the next request of a client, and no other, is one that asks.
func TestRevalidate(t *testing.T) {
	s, addr := startProxy(t, nil)
	up, asked := answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
	if s.Revalidate("no URL") || !s.Revalidate("HTTP://"+up+"/a") {
		t.Error("a URL is taken for none, or what is none for one")
	}
	for i, want := range []bool{false, true, false} {
		target := []string{"/other", "/a", "/a"}[i]
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET http://%s%s HTTP/1.1\r\nHost: x\r\n\r\n", up, target)
		if head := <-asked; strings.Contains(head, "Cache-Control: no-cache\r\n") != want {
			t.Errorf("request %d: %s", i, head)
		}
		conn.Close()
	}
	for i := range 3 * maxReloads {
		s.Revalidate(fmt.Sprintf("http://h/%d", i))
	}
	if n := s.reloads.Load(); n > maxReloads {
		t.Errorf("%d URLs wait", n)
	}
}
