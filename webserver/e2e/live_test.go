//go:build unix

package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const liveTag = `<script src="/.live-reload.js"></script>`

// TestLiveReloadInBrowser: an author saves files in the ways that editors have, and
// each time the browser shows the new page without being touched.
func TestLiveReloadInBrowser(t *testing.T) {
	t.Parallel()
	root := writeTree(t, map[string]string{
		"site/index.html": `<!DOCTYPE html><title>one</title><link rel="stylesheet" href="css/a.css"><p>one`, "site/css/a.css": "p { color: rgb(1, 1, 1) }",
		"list/a.txt": "a",
	})
	at := func(name string) string { return filepath.Join(root, name) }
	write := func(name, text string) error { return os.WriteFile(at(name), []byte(text), 0o644) }
	b := openBrowser(t, 800, 600)
	s := start(t, "--root", root, "--live-reload", "--listing")
	shows := func(what, expression string) {
		t.Helper()
		eventually(t, what, func() bool {
			// While a page gives way to the next there is none to ask.
			value, ok := b.ask(`String(` + expression + `)`)
			return ok && value == "true"
		})
	}
	b.open(s.url("/site/"))
	for _, step := range []struct {
		name   string
		change func() error
		shows  string
	}{
		{"written in place", func() error {
			return write("site/index.html", "<title>two</title><link rel=stylesheet href=css/a.css><p>two")
		}, `document.title == "two"`},
		{"renamed over", func() error {
			return errors.Join(write("site/.index.html.swp", "<title>three</title><link rel=stylesheet href=css/a.css><p>three"), os.Rename(at("site/.index.html.swp"), at("site/index.html")))
		}, `document.title == "three"`},
		{"a style sheet", func() error {
			return write("site/css/a.css", "p { color: rgb(2, 2, 2) }")
		}, `getComputedStyle(document.querySelector("p")).color == "rgb(2, 2, 2)"`},
		{"removed", func() error { return os.Rename(at("site/index.html"), at("site/old")) }, `document.body.innerText.includes("old")`},
		{"made again", func() error { return os.Rename(at("site/old"), at("site/index.html")) }, `document.title == "three"`},
		{"the folder renamed away", func() error { return os.Rename(at("site"), at("site.old")) }, `document.title == "404 Not Found"`},
		{"and another in its place", func() error {
			return errors.Join(os.Mkdir(at("next"), 0o755), write("next/index.html", "<title>four</title>"), os.Rename(at("next"), at("site")))
		}, `document.title == "four"`},
	} {
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		shows(step.name, step.shows)
	}
	b.open(s.url("/list/"))
	if err := write("list/b.txt", "b"); err != nil {
		t.Fatal(err)
	}
	shows("a new file in the listing", `document.body.innerText.includes("b.txt")`)
	if text, err := os.ReadFile(at("site/index.html")); err != nil || string(text) != "<title>four</title>" {
		t.Errorf("the file on disk: %q, %v", text, err)
	}
}

// TestLiveReload: what is sent of a page is one whole with its script, for every kind
// of request; waiting is bounded, and nothing of it is there without the flag.
func TestLiveReload(t *testing.T) {
	t.Parallel()
	const page = "<!DOCTYPE html><title>page</title>"
	root := writeTree(t, map[string]string{"p.html": page, "p.html.gz": "not it", "a.css": "a"})
	s := start(t, "--root", root, "--live-reload")
	whole := page + liveTag + "\n"
	r := s.get(t, "/p.html", "Accept-Encoding: gzip")
	if string(r.body) != whole || r.field("Content-Length") != fmt.Sprint(len(whole)) || r.field("Content-Encoding") != "" {
		t.Errorf("%s %q, Content-Length %s", r.Status, r.body, r.field("Content-Length"))
	}
	if h := s.exchange(t, request("HEAD", "/p.html")); h.field("Content-Length") != fmt.Sprint(len(whole)) || h.field("ETag") != r.field("ETag") {
		t.Errorf("HEAD: Content-Length %s, ETag %s", h.field("Content-Length"), h.field("ETag"))
	}
	if r := s.get(t, "/p.html", "Range: bytes=-10"); r.StatusCode != 206 || string(r.body) != whole[len(whole)-10:] {
		t.Errorf("the last bytes: %s %q", r.Status, r.body)
	}
	if r := s.get(t, "/p.html", "If-None-Match: "+r.field("ETag")); r.StatusCode != 304 {
		t.Errorf("If-None-Match: %s", r.Status)
	}
	if r := s.get(t, "/a.css"); string(r.body) != "a" {
		t.Errorf("a style sheet: %q", r.body)
	}
	if r := s.get(t, "/.live-reload.js"); r.StatusCode != 200 || r.field("Content-Type") != "text/javascript; charset=utf-8" {
		t.Errorf("the script: %s, %s", r.Status, r.field("Content-Type"))
	}
	for target, want := range map[string]int{"/.live-reload": 400, "/.live-reload?age=-1": 400, "/.live-reload?age=x": 400, "/.live": 404} {
		if r := s.get(t, target); r.StatusCode != want {
			t.Errorf("%s: %s, want %d", target, r.Status, want)
		}
	}
	if r := s.get(t, "/.live-reload?age=0", "Sec-Fetch-Site: cross-site"); r.StatusCode != 403 {
		t.Errorf("a page of another site: %s", r.Status)
	}
	wait := func() *client {
		c := s.dial(t)
		c.send(request("GET", "/.live-reload?age=0"))
		return c
	}
	// More pages than may wait; the ones that leave make room.
	var pages []*client
	status := ""
	for len(pages) < 100 {
		c := wait()
		head, err := c.peekHead()
		if err != nil {
			t.Fatal(err)
		}
		if status = head[:len("HTTP/1.1 200")]; status != "HTTP/1.1 200" {
			break
		}
		pages = append(pages, c)
	}
	if len(pages) != 64 || status != "HTTP/1.1 503" {
		t.Errorf("%d pages may wait, then %s", len(pages), status)
	}
	for _, c := range pages[1:] {
		c.Close()
	}
	eventually(t, "room for a page", func() bool {
		c := wait()
		defer c.Close()
		head, err := c.peekHead()
		return err == nil && strings.Contains(head, " 200 ")
	})
	writeFile(t, filepath.Join(root, "a.css"), "b")
	if text, err := io.ReadAll(pages[0].r); err != nil || !strings.HasSuffix(string(text), "data: changed\n\n") {
		t.Errorf("after a change: %q, %v", text, err)
	}
	// One that waits does not hold the end up.
	punctual(t, 3*time.Second, func() time.Duration { // 4 s if it is waited for
		s = start(t, "--root", root, "--live-reload")
		c := wait()
		if _, err := c.peekHead(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		s.signal(t, syscall.SIGTERM)
		if code := s.exit(t); code != 0 {
			t.Errorf("exit code %d", code)
		}
		return time.Since(began)
	})
	off := start(t, "--root", root)
	if r := off.get(t, "/p.html", "Accept-Encoding: identity"); string(r.body) != page {
		t.Errorf("without the flag: %q", r.body)
	}
	if r := off.get(t, "/.live-reload.js"); r.StatusCode != 404 {
		t.Errorf("without the flag: the script: %s", r.Status)
	}
}
