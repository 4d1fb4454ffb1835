package www

import (
	"bytes"
	"image/png"
	"io/fs"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// pages lists the HTML files of the sample site.
func pages(t *testing.T) map[string]*html.Node {
	t.Helper()
	names, err := fs.Glob(Files, "*.html")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*html.Node{}
	for _, name := range names {
		text, err := fs.ReadFile(Files, name)
		if err != nil {
			t.Fatal(err)
		}
		if all[name], err = html.Parse(bytes.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func TestFiles(t *testing.T) {
	for _, name := range []string{
		"index.html", "HelloWorld.html", "image.html", "image.png", "MyForm.html",
		"403.html", "404.html", "style.css", "favicon.svg", "trace.html",
	} {
		text, err := fs.ReadFile(Files, name)
		if err != nil || len(text) == 0 {
			t.Errorf("%s: %d bytes, %v", name, len(text), err)
		}
	}
}

// TestPages checks what makes a page good for everyone: language, title, a
// layout for phones, labels, alternatives, links that lead somewhere; and that
// none needs another host, nor a script but trace.html, which is one.
func TestPages(t *testing.T) {
	for name, doc := range pages(t) {
		t.Run(name, func(t *testing.T) {
			count := map[string]int{}
			ids := map[string]bool{}
			labelled := map[string]bool{}
			var controls []*html.Node
			for n := range doc.Descendants() {
				if n.Type != html.ElementNode {
					continue
				}
				count[n.Data]++
				if id := attr(n, "id"); id != "" {
					if ids[id] {
						t.Errorf("id %q twice", id)
					}
					ids[id] = true
				}
				switch n.Data {
				case "html":
					if attr(n, "lang") == "" {
						t.Error("no language")
					}
				case "meta":
					count["meta "+attr(n, "charset")+attr(n, "name")]++
				case "script", "iframe", "object", "embed":
					if name != "trace.html" || n.Data != "script" || attr(n, "src") != "" {
						t.Errorf("<%s>", n.Data)
					}
				case "label":
					labelled[attr(n, "for")] = true
				case "input", "textarea", "select":
					if n.Parent.Data != "label" {
						controls = append(controls, n)
					}
				case "img":
					if attr(n, "alt") == "" {
						t.Error("image without alternative text")
					}
				}
				for _, key := range []string{"href", "src", "action"} {
					if link := attr(n, key); link != "" {
						checkLink(t, link)
					}
				}
				for _, a := range n.Attr {
					if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
						t.Errorf("attribute %s", a.Key)
					}
				}
			}
			for _, tag := range []string{"title", "h1", "meta utf-8", "meta viewport"} {
				if count[tag] != 1 {
					t.Errorf("%d times <%s>, want once", count[tag], tag)
				}
			}
			for _, n := range controls {
				if !labelled[attr(n, "id")] {
					t.Errorf("<%s name=%q> has no label", n.Data, attr(n, "name"))
				}
			}
		})
	}
}

// checkLink checks that a link stays on the site and leads to a file of it.
func checkLink(t *testing.T, link string) {
	t.Helper()
	u, err := url.Parse(link)
	switch {
	case err != nil:
		t.Errorf("link %q: %v", link, err)
	case link == "data:,", link == "/", link == "NoSuchPage.html": // no icon; home; missing on purpose
	case u.Scheme != "" || u.Host != "":
		t.Errorf("link %q leaves the site", link)
	default:
		if _, err := fs.Stat(Files, u.Path); err != nil {
			t.Errorf("link %q: %v", link, err)
		}
	}
}

// TestPagesNest checks that every element is closed in its turn: html.Parse
// repairs what is not, and students would copy it.
func TestPagesNest(t *testing.T) {
	void := map[string]bool{"meta": true, "link": true, "input": true, "br": true, "img": true}
	for name := range pages(t) {
		t.Run(name, func(t *testing.T) {
			text, err := fs.ReadFile(Files, name)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(text, []byte("<!DOCTYPE html>\n")) {
				t.Error("no document type")
			}
			var open []string
			for z := html.NewTokenizer(bytes.NewReader(text)); z.Next() != html.ErrorToken; {
				switch token := z.Token(); {
				case token.Type == html.StartTagToken && !void[token.Data]:
					open = append(open, token.Data)
				case token.Type == html.SelfClosingTagToken:
					t.Errorf("<%s/>: HTML has no self-closing tags", token.Data)
				case token.Type == html.EndTagToken:
					if len(open) == 0 || open[len(open)-1] != token.Data {
						t.Fatalf("</%s> closes %q", token.Data, open)
					}
					open = open[:len(open)-1]
				}
			}
			if len(open) > 0 {
				t.Errorf("never closed: %q", open)
			}
		})
	}
}

// TestTracePage: the page is small, and its own rules forbid it to ask another host.
func TestTracePage(t *testing.T) {
	text, err := fs.ReadFile(Files, "trace.html")
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 80_000 {
		t.Errorf("%d bytes, want at most 80,000", len(text))
	}
	for n := range pages(t)["trace.html"].Descendants() {
		if attr(n, "http-equiv") == "Content-Security-Policy" {
			if policy := attr(n, "content"); !strings.HasPrefix(policy, "default-src 'none';") || !strings.Contains(policy, "connect-src 'self';") || strings.Contains(policy, "http") {
				t.Errorf("policy %q", policy)
			}
			return
		}
	}
	t.Error("no content security policy")
}

// An error page is sent for any address, so nothing in it may be relative.
func TestErrorPagesStandAlone(t *testing.T) {
	for _, name := range []string{"403.html", "404.html"} {
		doc := pages(t)[name]
		for n := range doc.Descendants() {
			for _, key := range []string{"href", "src"} {
				if link := attr(n, key); link != "" && link != "/" && link != "data:," {
					t.Errorf("%s: link %q", name, link)
				}
			}
		}
	}
}

func TestImage(t *testing.T) {
	text, err := fs.ReadFile(Files, "image.png")
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 60<<10 {
		t.Errorf("%d bytes, want at most 60 KiB", len(text))
	}
	picture, err := png.Decode(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for n := range pages(t)["image.html"].Descendants() {
		if n.Data == "img" {
			width, height := strconv.Itoa(picture.Bounds().Dx()), strconv.Itoa(picture.Bounds().Dy())
			if attr(n, "width") != width || attr(n, "height") != height {
				t.Errorf("the page says %sx%s, the picture is %sx%s", attr(n, "width"), attr(n, "height"), width, height)
			}
			return
		}
	}
	t.Error("image.html has no picture")
}

func TestStyle(t *testing.T) {
	for _, s := range []string{"</", "<!--", "url(", "@import"} {
		if strings.Contains(Style, s) {
			t.Errorf("the style holds %q, so it cannot stand inside a page", s)
		}
	}
	if !strings.Contains(Style, "prefers-color-scheme: dark") {
		t.Error("no dark mode")
	}
}
