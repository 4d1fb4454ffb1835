//go:build unix

package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// axeScript returns the accessibility checker axe: scripts/peers install has npm
// put it where all users find it.
func axeScript(t *testing.T) string {
	t.Helper()
	where, err := exec.Command(realPeer(t, "npm"), "root", "--global").Output()
	if err != nil {
		t.Fatalf("npm root --global: %v", err)
	}
	script, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(where)), "axe-core", "axe.min.js"))
	if err != nil {
		require(t, "npm has no axe-core: "+err.Error())
	}
	return string(script)
}

// accessible has axe look at the page that the browser shows, and reports what it
// finds serious or critical.
func (b *browser) accessible(axe, page string) {
	b.t.Helper()
	b.eval(axe+"; true", nil)
	var report struct {
		Passes     int
		Violations []struct {
			ID, Impact, Help string
			Nodes            []struct{ HTML, FailureSummary string }
		}
	}
	b.eval(`axe.run().then(r => ({passes: r.passes.length, violations: r.violations}))`, &report)
	if report.Passes == 0 {
		b.t.Errorf("%s: axe found nothing to check", page)
	}
	for _, v := range report.Violations {
		var where strings.Builder
		for _, node := range v.Nodes {
			fmt.Fprintf(&where, "\n%.200s\n%s", node.HTML, node.FailureSummary)
		}
		say := b.t.Logf
		if v.Impact == "serious" || v.Impact == "critical" {
			say = b.t.Errorf
		}
		say("%s: %s (%s): %s%s", page, v.ID, v.Impact, v.Help, where.String())
	}
}

// dark has pages drawn as a reader who prefers dark ones sees them.
func (b *browser) dark(on bool) {
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{
		{"name": "prefers-color-scheme", "value": map[bool]string{true: "dark", false: "light"}[on]},
	}})
}

// TestAccessible has every page that the server makes, and those of the sample site,
// looked at by axe: wide and on a phone, light and dark.
func TestAccessible(t *testing.T) {
	t.Parallel()
	axe := axeScript(t)
	root := writeTree(t, map[string]string{
		"list/a file & more.txt": "x", "list/größe.txt": strings.Repeat("x", 5000), "list/sub/deep/y.txt": "y", "list/empty/.hidden": "",
		"list/a-name-that-is-so-long-that-it-needs-more-than-one-line-on-a-phone-and-on-a-desk-too-perhaps.tar.gz": "x",
		"private.txt": "x", "own/page.html": "<form method=post>",
		"send.html": `<!DOCTYPE html><title>send</title><body><form method="post" enctype="multipart/form-data">
			<input name="name" value="Grace"><input name="empty"><input type="file" name="file"></form><script>
			const transfer = new DataTransfer();
			transfer.items.add(new File(["content"], "a.txt"));
			document.forms[0].elements.file.files = transfer.files;
			document.forms[0].submit();</script>`,
	})
	if err := os.Chmod(filepath.Join(root, "private.txt"), 0o600); err != nil {
		t.Fatal(err)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	users := filepath.Join(t.TempDir(), "htpasswd")
	writeFile(t, users, "ada:"+string(hash)+"\n")
	sample := start(t)
	files := start(t, "--root", root, "--listing", "--archive", "--uploads", t.TempDir())
	plain := start(t, "--root", root)
	locked := start(t, "--root", root, "--htpasswd", users)
	b := openBrowser(t, 1200, 900)
	for _, page := range []struct{ name, url, title string }{
		{"index", sample.url("/"), "Web server lab"},
		{"HelloWorld", sample.url("/HelloWorld.html"), "Hello, world"},
		{"image", sample.url("/image.html"), "A page with an image"},
		{"MyForm", sample.url("/MyForm.html"), "Forms"},
		{"trace", sample.url("/trace.html"), "Traces"},
		{"sample-404", sample.url("/nothing"), "404 Not Found"},
		{"listing", files.url("/list/"), "Index of /list/"},
		{"listing-top", files.url("/"), "Index of /"},
		{"listing-deep", files.url("/list/sub/deep/"), "Index of /list/sub/deep/"},
		{"listing-empty", files.url("/list/empty/"), "Index of /list/empty/"},
		{"form-result", files.url("/send.html"), "Received"},
		{"403", files.url("/private.txt"), "403 Forbidden"},
		{"403-directory", plain.url("/list/"), "403 Forbidden"},
		{"404", files.url("/nothing"), "404 Not Found"},
		{"400", files.url("/%00"), "400 Bad Request"},
		{"login-failed", "", "401 Unauthorized"},
	} {
		if page.url == "" {
			// A browser shows it when its reader gives up, which this one has no button for.
			var frames struct {
				FrameTree struct{ Frame struct{ ID string } }
			}
			b.get("Page.getFrameTree", nil, &frames)
			b.call("Page.setDocumentContent", map[string]any{"frameId": frames.FrameTree.Frame.ID, "html": string(locked.get(t, "/").body)})
		} else {
			b.call("Page.navigate", map[string]any{"url": page.url})
		}
		title := ""
		if !within(patience, func() bool {
			title, _ = b.ask("document.readyState == 'complete' ? document.title : ''")
			return title == page.title
		}) {
			t.Errorf("%s: the title is %q, want %q", page.name, title, page.title)
		}
		for i, look := range []string{"wide-light", "phone-dark", "wide-dark", "phone-light"} {
			b.resize(map[bool]int{true: 1200, false: 390}[strings.HasPrefix(look, "wide")], 900)
			b.dark(strings.HasSuffix(look, "dark"))
			if i < 2 { // each width and each set of colors once
				b.accessible(axe, page.name+", "+look)
			}
			b.screenshot("page-" + page.name + "-" + look)
		}
	}
}
