//go:build unix

package e2e_test

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// shows goes to a page, waits until its document holds all of parts, which scripts may
// add, and returns the document.
func (b *browser) shows(url string, parts ...string) (document string) {
	b.t.Helper()
	b.call("Page.navigate", map[string]any{"url": url})
	if !within(patience, func() bool {
		document, _ = b.ask(`document.readyState == "complete" ? document.documentElement.outerHTML : ""`)
		return document != "" && !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(document, part) })
	}) {
		b.t.Errorf("%s does not show all of %q:\n%.5000s", url, parts, document)
	}
	return document
}

// picture has the browser draw the page.
func (b *browser) picture() image.Image {
	b.t.Helper()
	picture, err := png.Decode(bytes.NewReader(b.capture()))
	if err != nil {
		b.t.Fatal(err)
	}
	return picture
}

// colors counts the different colors of a picture: an empty page has one.
func colors(picture image.Image) int {
	seen := map[[3]uint32]bool{}
	b := picture.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			r, g, b, _ := picture.At(x, y).RGBA()
			seen[[3]uint32{r >> 8, g >> 8, b >> 8}] = true
		}
	}
	return len(seen)
}

// TestChromium: a real browser shows the sample pages, a listing and the
// answer to a form, through TLS as well.
func TestChromium(t *testing.T) {
	t.Parallel()
	realPeer(t, "chromium", "chromium-browser", "google-chrome")
	// The sample site once as built in, and once copied into a root beside
	// pages of our own that look into it.
	sample := start(t, "--access-log", "-")
	files := map[string]string{}
	for _, name := range []string{"HelloWorld.html", "image.html", "image.png", "MyForm.html", "style.css", "favicon.svg"} {
		r := sample.get(t, "/"+name)
		if r.StatusCode != 200 {
			t.Fatalf("%s: %s", name, r.Status)
		}
		files[name] = string(r.body)
	}
	files["look.html"] = `<!DOCTYPE html><title>look</title><body><script>
		addEventListener("load", () => {
			const page = document.querySelector("iframe").contentDocument, image = page.images[0];
			document.body.append("seen " + image.naturalWidth + "x" + image.naturalHeight + ", color " +
				getComputedStyle(page.body).fontFamily + ", sheets " + page.styleSheets.length);
		});
		</script><iframe src="image.html"></iframe>`
	// The form is filled in and sent as a person would, by its button.
	fill := `<!DOCTYPE html><title>fill</title><body><iframe src="MyForm.html"></iframe><script>
		addEventListener("load", () => {
			const frame = document.querySelector("iframe"), page = frame.contentDocument, form = page.forms[%d];
			%s
			frame.addEventListener("load", () => document.body.append("received: " + frame.contentDocument.body.textContent));
			form.querySelector("button").click();
		});
		</script>`
	files["fill-get.html"] = fmt.Sprintf(fill, 0, `form.elements.word.value = "ä & b";`)
	files["fill-post.html"] = fmt.Sprintf(fill, 1, `form.elements.name.value = "Ada <b>Löw</b>"; form.elements.message.value = "one\ntwo";`)
	files["fill-file.html"] = fmt.Sprintf(fill, 2, `form.elements.note.value = "with a file";
		const transfer = new frame.contentWindow.DataTransfer();
		transfer.items.add(new frame.contentWindow.File(["content of the file"], "näme & x.txt", {type: "text/plain"}));
		form.elements.file.files = transfer.files;`)
	files["send.html"] = `<!DOCTYPE html><title>send</title><body onload="document.forms[0].submit()">
		<form method="post" action="MyForm.html"><input name="name" value="Grace"><input name="message" value="&lt;script&gt;document.title='hacked'&lt;/script&gt;"></form>`
	files["list/a file & more.txt"] = "x"
	files["list/größe.txt"] = strings.Repeat("x", 5000)
	files["list/sub/y.txt"] = "y"
	s := start(t, "--root", writeTree(t, files), "--listing")

	window := func(t *testing.T) *browser {
		t.Helper()
		return openBrowser(t, 1000, 1200)
	}
	t.Run("HelloWorld.html", func(t *testing.T) {
		t.Parallel()
		b := window(t)
		b.shows(sample.url("/HelloWorld.html"), "<h1>Hello, world!</h1>")
		if n := colors(b.picture()); n < 10 {
			t.Errorf("%d colors on the page", n)
		}
		b.screenshot("HelloWorld")
		sample.stdout.await(t, "the browser in the access log", func(text string) bool {
			return strings.Contains(text, `"GET /HelloWorld.html HTTP/1.1" 200`) && strings.Contains(text, "Chrome") && strings.Contains(text, `"GET /style.css HTTP/1.1" 200`)
		})
	})
	t.Run("page with an image", func(t *testing.T) {
		t.Parallel()
		b := window(t)
		b.shows(s.url("/look.html"), "seen 1200x800", "sheets 1")
		b.open(sample.url("/image.html"))
		if n := colors(b.picture()); n < 50 {
			t.Errorf("%d colors on the page", n)
		}
		b.screenshot("image")
	})
	t.Run("listing", func(t *testing.T) {
		t.Parallel()
		b := window(t)
		b.shows(s.url("/list/"), "a file &amp; more.txt", "größe.txt", "sub")
		if n := colors(b.picture()); n < 10 {
			t.Errorf("%d colors on the page", n)
		}
		b.screenshot("listing")
		b.open(s.url("/"))
		b.screenshot("listing-root")
	})
	t.Run("form", func(t *testing.T) {
		t.Parallel()
		b := window(t)
		for page, parts := range map[string][]string{
			"fill-get.html":  {"received: ", "Three ways to send a form"},
			"fill-post.html": {"received: ", "Ada &lt;b&gt;Löw&lt;/b&gt;", "one", "two"},
			"fill-file.html": {"received: ", "with a file", "näme &amp; x.txt", "19 bytes", sum("content of the file")},
		} {
			b.shows(s.url("/"+page), parts...)
		}
		if document := b.shows(s.url("/send.html"), "<title>Received</title>", "Grace", "&lt;script&gt;"); strings.Contains(document, "<title>hacked") {
			t.Errorf("result page:\n%s", document)
		}
		if n := colors(b.picture()); n < 10 {
			t.Errorf("%d colors on the page", n)
		}
		b.screenshot("form-result")
		b.open(sample.url("/MyForm.html"))
		b.screenshot("form")
	})
	t.Run("404", func(t *testing.T) {
		t.Parallel()
		b := window(t)
		b.shows(sample.url("/nothing/here.html"), "404")
		b.screenshot("404")
	})
	t.Run("TLS", func(t *testing.T) {
		t.Parallel()
		cert, key, _ := certificate(t, t.TempDir())
		s := start(t, "--tls-cert", cert, "--tls-key", key)
		b := window(t)
		b.call("Security.setIgnoreCertificateErrors", map[string]any{"ignore": true})
		b.shows(s.url("/HelloWorld.html"), "<h1>Hello, world!</h1>")
	})
}

// TestForeignPage: a page of another site, open in the same browser, sends a form
// with a file to the server that its reader runs for himself. Nothing is stored;
// the same page served by that server itself may.
func TestForeignPage(t *testing.T) {
	t.Parallel()
	realPeer(t, "chromium", "chromium-browser", "google-chrome")
	const page = `<!DOCTYPE html><title>page</title><body><form method="post" enctype="multipart/form-data" target="result" action="%s">
		<input type="file" name="f"><button>go</button></form><iframe name="result"></iframe><script>
		const transfer = new DataTransfer();
		transfer.items.add(new File(["content"], "planted.txt"));
		document.forms[0].elements.f.files = transfer.files;
		document.querySelector("button").click();
		</script>`
	uploads := t.TempDir()
	s := start(t, "--root", writeTree(t, map[string]string{"own.html": fmt.Sprintf(page, "/alive.txt")}), "--uploads", uploads, "--access-log", "-")
	b := openBrowser(t, 1000, 1200)
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, page, s.url("/alive.txt"))
	}))
	defer evil.Close()
	for i, test := range []struct {
		url  string
		want int // files in the upload directory afterwards
	}{{evil.URL + "/", 0}, {strings.Replace(evil.URL, "127.0.0.1", "localhost", 1) + "/", 0}, {s.url("/own.html"), 1}} {
		b.open(test.url)
		s.stdout.await(t, "the form's answer in the access log", func(text string) bool {
			return strings.Count(text, "POST /alive.txt HTTP/1.1") > i
		})
		files, err := os.ReadDir(uploads)
		if err != nil || len(files) != test.want {
			t.Errorf("after %s: %d files are stored, want %d; %v", test.url, len(files), test.want, err)
		}
	}
}

// TestUploadInListing: the form of a listing stores files, by its button without
// script (as curl sends it), and by dropping them on the page, with a bar.
func TestUploadInListing(t *testing.T) {
	t.Parallel()
	realPeer(t, "chromium", "chromium-browser", "google-chrome")
	uploads := t.TempDir()
	s := start(t, "--listing", "--uploads", uploads, "--root", writeTree(t, map[string]string{
		"list/a.txt": "a",
		"drop.html": `<!DOCTYPE html><title>drop</title><body><iframe src="list/"></iframe><script>
			const frame = document.querySelector("iframe");
			frame.addEventListener("load", () => {
				const page = frame.contentWindow, transfer = new page.DataTransfer();
				transfer.items.add(new page.File(["x".repeat(1000000)], "dropped.bin"));
				let bar = false;
				new page.MutationObserver(() => { bar = bar || !!page.document.querySelector("progress"); }).observe(page.document.body, {childList: true, subtree: true});
				page.document.body.dispatchEvent(new page.DragEvent("drop", {dataTransfer: transfer, bubbles: true}));
				setInterval(() => { document.title = "bar " + bar + ", " + page.document.getElementById("said").textContent; }, 20);
			});
			</script>`,
	}))
	b := openBrowser(t, 1000, 1200)
	b.shows(s.url("/drop.html"), "<title>bar true, Stored: dropped.bin</title>")
	body := "--X\r\nContent-Disposition: form-data; name=file; filename=plain.txt\r\n\r\nhello\r\n--X--\r\n"
	if r := s.exchange(t, post("/list/", "multipart/form-data; boundary=X", body)); r.StatusCode != 200 || !strings.Contains(string(r.body), "plain.txt") {
		t.Errorf("the form without script: %s", r.Status)
	}
	for name, size := range map[string]int64{"dropped.bin": 1000000, "plain.txt": 5} {
		if info, err := os.Stat(filepath.Join(uploads, name)); err != nil || info.Size() != size {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	b.open(s.url("/list/"))
	b.screenshot("listing-upload")
}
