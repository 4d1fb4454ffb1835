package httpmsg

import (
	"bufio"
	"bytes"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzRequest checks that whatever is read can be written and comes back the
// same, and that it makes no difference how it arrives.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"\r\nPOST /a?b HTTP/1.0\r\nContent-Length: 5\r\nX: \t y \r\n\r\nhello",
		"POST http://a:80/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\nT: u\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\nContent-Length: 1\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		req, err := readRequest(t, string(text), Limits{})
		if err != nil {
			return
		}
		head, err := AppendRequest(nil, req)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := readRequest(t, string(head), Limits{})
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%q", err, head)
		}
		if diff := cmp.Diff(req, again); diff != "" {
			t.Errorf("it came back different:\n%s", diff)
		}
		if _, err := ParseTarget(req.Method, req.Target); err != nil && status(err) != 400 {
			t.Errorf("target: %v", err)
		}
	})
}

// FuzzResponse is FuzzRequest for responses.
func FuzzResponse(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.0 404\r\nA: b\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nTransfer-Encoding: cow, chunked\r\n\r\n",
	} {
		f.Add([]byte(seed), "GET")
	}
	f.Fuzz(func(t *testing.T, text []byte, method string) {
		var resp, again Response
		if err := resp.Read(source(string(text), false), method, Limits{}); err != nil {
			return
		}
		if resp.Framing < UntilClose {
			t.Errorf("framing %d", resp.Framing)
		}
		head, err := AppendResponse(nil, &resp)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if err := again.Read(source(string(head), true), method, Limits{}); err != nil {
			t.Fatalf("what was written cannot be read: %v\n%q", err, head)
		}
		if diff := cmp.Diff(resp, again); diff != "" {
			t.Errorf("it came back different:\n%s", diff)
		}
	})
}

// FuzzBody checks that a body reads the same however it arrives, keeps to its
// limit and, written again in chunks, comes back the same.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{
		"5\r\nhello\r\n0\r\n\r\n",
		"5;a=\"b\";c\r\nhello\r\n0\r\nA: b\r\n\r\nNEXT",
		"ffffffffffffffff\r\n",
	} {
		f.Add([]byte(seed), int64(Chunked))
	}
	f.Add([]byte("hello"), int64(5))
	f.Fuzz(func(t *testing.T, text []byte, framing int64) {
		if framing < int64(UntilClose) {
			return
		}
		const limit = 1 << 16
		limits := BodyLimits{Size: limit}
		src := bufio.NewReaderSize(bytes.NewReader(text), 256)
		body := NewBody(src, Framing(framing), limits)
		got, err := io.ReadAll(body)
		slow := NewBody(source(string(text), true), Framing(framing), limits)
		slowGot, slowErr := io.ReadAll(slow)
		if !bytes.Equal(got, slowGot) && err == nil || status(err) != status(slowErr) || (err == nil) != (slowErr == nil) {
			t.Fatalf("at once %q, %v; byte by byte %q, %v", got, err, slowGot, slowErr)
		}
		if len(got) > limit {
			t.Fatalf("%d bytes came through the limit", len(got))
		}
		if err != nil {
			return
		}
		out, err := AppendLastChunk(AppendChunk(nil, got), body.Trailers)
		if err != nil {
			t.Fatalf("trailers that were read cannot be written: %v", err)
		}
		back := NewBody(bufio.NewReader(bytes.NewReader(out)), Chunked, BodyLimits{Trailers: 1 << 20})
		gotBack, err := io.ReadAll(back)
		if err != nil || !bytes.Equal(got, gotBack) {
			t.Fatalf("came back as %q, %v", gotBack, err)
		}
		if diff := cmp.Diff(body.Trailers, back.Trailers); diff != "" {
			t.Errorf("trailers came back different:\n%s", diff)
		}
	})
}

// endless is a client that never stops.
type endless struct{ piece string }

func (e endless) Read(p []byte) (int, error) { return copy(p, e.piece), nil }

func TestEndlessPeersTakeNoMemory(t *testing.T) {
	for _, tt := range []struct{ start, piece string }{
		{"", "a"},
		{"GET / HTTP/1.1\r\n", "A: b\r\n"},
		{"GET / HTTP/1.1\r\nA: ", "a"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var req Request
		err := req.Read(bufio.NewReader(io.MultiReader(strings.NewReader(tt.start), endless{tt.piece})), Limits{})
		runtime.ReadMemStats(&after)
		if s := status(err); s != 414 && s != 431 {
			t.Errorf("%q without end: %v", tt.piece, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
			t.Errorf("%q without end took %d bytes of memory", tt.piece, used)
		}
	}
}
