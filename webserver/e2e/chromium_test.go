//go:build unix

package e2e_test

import (
	"context"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// chromium runs the real browser headless on a fresh profile, kept off every
// network but loopback, and returns what it prints.
func chromium(t *testing.T, args ...string) string {
	t.Helper()
	path := realPeer(t, "chromium", "chromium-browser", "google-chrome")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, append([]string{
		"--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
		"--disable-sync", "--no-first-run", "--disable-dev-shm-usage", "--hide-scrollbars", "--ignore-certificate-errors",
		"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
		"--user-data-dir=" + t.TempDir(), "--virtual-time-budget=8000", "--window-size=1000,1200",
	}, args...)...)
	cmd.WaitDelay = 5 * time.Second
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("chromium %q: %v\n%s", args, err, stderr.String())
	}
	return string(out)
}

// screenshot lets the browser draw a page, to a file that stays when
// TOPDOWN_SCREENSHOTS names a directory, and returns the picture.
func screenshot(t *testing.T, name, url string) image.Image {
	t.Helper()
	dir := os.Getenv("TOPDOWN_SCREENSHOTS")
	if dir == "" {
		dir = t.TempDir()
	} else if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name+".png")
	chromium(t, "--screenshot="+path, url)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	picture, err := png.Decode(f)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
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

	t.Run("HelloWorld.html", func(t *testing.T) {
		t.Parallel()
		dom := chromium(t, "--dump-dom", sample.url("/HelloWorld.html"))
		if !strings.Contains(dom, "<h1>Hello, world!</h1>") {
			t.Errorf("DOM:\n%s", dom)
		}
		if n := colors(screenshot(t, "HelloWorld", sample.url("/HelloWorld.html"))); n < 10 {
			t.Errorf("%d colors on the page", n)
		}
		sample.stdout.await(t, "the browser in the access log", func(text string) bool {
			return strings.Contains(text, `"GET /HelloWorld.html HTTP/1.1" 200`) && strings.Contains(text, "Chrome") && strings.Contains(text, `"GET /style.css HTTP/1.1" 200`)
		})
	})
	t.Run("page with an image", func(t *testing.T) {
		t.Parallel()
		if dom := chromium(t, "--dump-dom", s.url("/look.html")); !strings.Contains(dom, "seen 1200x800") || !strings.Contains(dom, "sheets 1") {
			t.Errorf("DOM:\n%s", dom)
		}
		if n := colors(screenshot(t, "image", sample.url("/image.html"))); n < 50 {
			t.Errorf("%d colors on the page", n)
		}
	})
	t.Run("listing", func(t *testing.T) {
		t.Parallel()
		dom := chromium(t, "--dump-dom", s.url("/list/"))
		for _, name := range []string{"a file &amp; more.txt", "größe.txt", "sub"} {
			if !strings.Contains(dom, name) {
				t.Errorf("no %q in the DOM:\n%s", name, dom)
			}
		}
		if n := colors(screenshot(t, "listing", s.url("/list/"))); n < 10 {
			t.Errorf("%d colors on the page", n)
		}
		screenshot(t, "listing-root", s.url("/"))
	})
	t.Run("form", func(t *testing.T) {
		t.Parallel()
		for page, shows := range map[string][]string{
			"fill-get.html":  {"received: ", "Three ways to send a form"},
			"fill-post.html": {"received: ", "Ada &lt;b&gt;Löw&lt;/b&gt;", "one", "two"},
			"fill-file.html": {"received: ", "with a file", "näme &amp; x.txt", "19 bytes", sum("content of the file")},
		} {
			dom := chromium(t, "--dump-dom", s.url("/"+page))
			for _, show := range shows {
				if !strings.Contains(dom, show) {
					t.Errorf("%s: no %q in the DOM:\n%s", page, show, dom)
				}
			}
		}
		dom := chromium(t, "--dump-dom", s.url("/send.html"))
		if !strings.Contains(dom, "Grace") || !strings.Contains(dom, "&lt;script&gt;") || strings.Contains(dom, "<title>hacked") {
			t.Errorf("result page:\n%s", dom)
		}
		if n := colors(screenshot(t, "form-result", s.url("/send.html"))); n < 10 {
			t.Errorf("%d colors on the page", n)
		}
		screenshot(t, "form", sample.url("/MyForm.html"))
	})
	t.Run("404", func(t *testing.T) {
		t.Parallel()
		if dom := chromium(t, "--dump-dom", sample.url("/nothing/here.html")); !strings.Contains(dom, "404") {
			t.Errorf("DOM:\n%s", dom)
		}
		screenshot(t, "404", sample.url("/nothing/here.html"))
	})
	t.Run("TLS", func(t *testing.T) {
		t.Parallel()
		cert, key, _ := certificate(t, t.TempDir())
		s := start(t, "--tls-cert", cert, "--tls-key", key)
		if dom := chromium(t, "--dump-dom", s.url("/HelloWorld.html")); !strings.Contains(dom, "<h1>Hello, world!</h1>") {
			t.Errorf("DOM:\n%s", dom)
		}
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
	s := start(t, "--root", writeTree(t, map[string]string{"own.html": fmt.Sprintf(page, "/alive.txt")}), "--uploads", uploads)
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, page, s.url("/alive.txt"))
	}))
	defer evil.Close()
	for _, test := range []struct {
		url  string
		want int // files in the upload directory afterwards
	}{{evil.URL, 0}, {strings.Replace(evil.URL, "127.0.0.1", "localhost", 1), 0}, {s.url("/own.html"), 1}} {
		chromium(t, "--dump-dom", test.url)
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
	if dom := chromium(t, "--dump-dom", s.url("/drop.html")); !strings.Contains(dom, "<title>bar true, Stored: dropped.bin</title>") {
		t.Errorf("DOM:\n%.2000s", dom)
	}
	body := "--X\r\nContent-Disposition: form-data; name=file; filename=plain.txt\r\n\r\nhello\r\n--X--\r\n"
	if r := s.exchange(t, post("/list/", "multipart/form-data; boundary=X", body)); r.StatusCode != 200 || !strings.Contains(string(r.body), "plain.txt") {
		t.Errorf("the form without script: %s", r.Status)
	}
	for name, size := range map[string]int64{"dropped.bin": 1000000, "plain.txt": 5} {
		if info, err := os.Stat(filepath.Join(uploads, name)); err != nil || info.Size() != size {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	screenshot(t, "listing-upload", s.url("/list/"))
}
