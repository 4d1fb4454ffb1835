package server

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestLentBytesReachASlowReader: a download that is lent to the kernel waits for a
// client that reads late, and arrives whole.
func TestLentBytesReachASlowReader(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 500_000)
	addr := serveTree(t, map[string]string{"f.bin": text}, nil)
	conn, r := dial(t, addr)
	io.WriteString(conn, "GET /f.bin HTTP/1.1\r\nHost: a\r\n\r\n")
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	// As long as the client has not read, the end is kept back: the rest is not
	// even a promise that the file has stayed the same.
	time.Sleep(300 * time.Millisecond)
	local, remote := conn.LocalAddr().(*net.TCPAddr).AddrPort(), conn.RemoteAddr().(*net.TCPAddr).AddrPort()
	if n, found, err := unread(local, remote); err == nil && (!found || n >= len(text)-lastPiece) {
		t.Errorf("%d bytes of %d wait to be read (found: %v), want the last piece to be kept back", n, len(text), found)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != text {
		t.Errorf("%d of %d bytes, %v", len(body), len(text), err)
	}
}
