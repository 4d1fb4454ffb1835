package server

import (
	"archive/zip"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestArchive(t *testing.T) {
	files := map[string]string{"d/a.txt": "a", "d/ä \"q\".txt": "b", "d/.hidden": "h", "big/b": strings.Repeat("b", 2000), "site/index.html": "page"}
	addr := serveTree(t, files, func(s *Server) { s.Listing, s.MaxArchive = true, 1000 })
	const host = " HTTP/1.1\nHost: a\n\n"
	resp, body := ask(t, addr, "GET /d/?archive=zip"+host)
	r, err := zip.NewReader(strings.NewReader(body), int64(len(body)))
	if resp.StatusCode != 200 || err != nil || len(r.File) != 2 {
		t.Fatalf("%s, %v, %v", resp.Status, err, r)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/zip", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Accept-Ranges": "", "ETag": "",
		"Content-Disposition": `attachment; filename="d.zip"; filename*=UTF-8''d.zip`,
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if resp, _ := ask(t, addr, "HEAD /d/?archive=tar.gz"+host); resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/gzip" {
		t.Errorf("HEAD: %s", resp.Status)
	}
	// Without chunks its end is the connection's.
	if resp, old := ask(t, addr, "GET /d/?archive=zip HTTP/1.0\nConnection: keep-alive\n\n"); !resp.Close || len(old) != len(body) {
		t.Errorf("HTTP/1.0: it closes: %v, %d bytes, want %d", resp.Close, len(old), len(body))
	}
	for target, want := range map[string]int{"/big/?archive=zip": 403, "/site/?archive=zip": 200, "/d?archive=zip": 301, "/d/?archive=rar": 400, "/nowhere/?archive=zip": 404} {
		resp, _ := ask(t, addr, "GET "+target+host)
		if resp.StatusCode != want || resp.Header.Get("Content-Disposition") != "" {
			t.Errorf("%s: %s, want %d and no archive", target, resp.Status, want)
		}
	}
	conn, in := dial(t, addr)
	for range 3 { // the connection goes on
		if _, body := askOn(t, conn, in, "GET /d/?archive=tar.gz"+host); !strings.HasPrefix(body, "\x1f\x8b") {
			t.Errorf("on a kept connection: %.10q", body)
		}
	}
	off := serveTree(t, files, func(s *Server) { s.Listing = true })
	if resp, _ := ask(t, off, "GET /d/?archive=zip"+host); resp.StatusCode != 404 {
		t.Errorf("without archives: %s, want 404", resp.Status)
	}
	if _, body := ask(t, off, "GET /d/"+host); strings.Contains(body, "archive=") {
		t.Error("without archives, the listing offers one")
	}
	if _, body := ask(t, addr, "GET /d/"+host); !strings.Contains(body, `href="?archive=zip"`) {
		t.Error("the listing has no link to the archive")
	}
}

// TestArchivesAtOnce: clients that do not read hold their share of archives, and give
// it back when they go.
func TestArchivesAtOnce(t *testing.T) {
	addr := serveTree(t, map[string]string{"d/a.png": string(make([]byte, 64<<20))}, func(s *Server) { s.Listing, s.MaxArchive = true, 1<<30 })
	const request = "GET /d/?archive=zip HTTP/1.1\nHost: a\n\n"
	var slow []io.Closer
	for range archivesOfOne {
		conn, r := dial(t, addr)
		conn.Write([]byte(strings.ReplaceAll(request, "\n", "\r\n")))
		if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		slow = append(slow, conn)
	}
	if resp, _ := ask(t, addr, request); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("one more: %s, want 503", resp.Status)
	}
	if resp, _ := ask(t, addr, "GET /d/ HTTP/1.1\nHost: a\n\n"); resp.StatusCode != 200 {
		t.Errorf("the listing meanwhile: %s", resp.Status)
	}
	for _, conn := range slow {
		conn.Close()
	}
	for deadline := time.Now().Add(patience); ; {
		resp, _ := ask(t, addr, strings.Replace(request, "GET", "HEAD", 1))
		if resp.StatusCode == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("when they are gone: %s", resp.Status)
		}
	}
}

func TestAttachment(t *testing.T) {
	for name, want := range map[string]string{
		"a.zip":        `attachment; filename="a.zip"; filename*=UTF-8''a.zip`,
		"a b;c.zip":    `attachment; filename="a b;c.zip"; filename*=UTF-8''a%20b%3Bc.zip`,
		"größe.zip":    `attachment; filename="gr__e.zip"; filename*=UTF-8''gr%C3%B6%C3%9Fe.zip`,
		`a"b\c%41.zip`: `attachment; filename="a_b_c_41.zip"; filename*=UTF-8''a%22b%5Cc%2541.zip`,
		"a\r\nb.zip":   `attachment; filename="a__b.zip"; filename*=UTF-8''a%0D%0Ab.zip`,
	} {
		if got := attachment(name); got != want {
			t.Errorf("%q:\n%s, want\n%s", name, got, want)
		}
		if bytes.ContainsAny([]byte(attachment(name)), "\r\n") {
			t.Errorf("%q: a line end", name)
		}
	}
}
