//go:build unix

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestUploadInBrowser: a reader of a listing sends files by the form's button, without
// script and with it, and by dropping them on the page, and sees how far they are.
func TestUploadInBrowser(t *testing.T) {
	t.Parallel()
	b := openBrowser(t, 1000, 800)
	uploads, mine := t.TempDir(), t.TempDir()
	s := start(t, "--listing", "--uploads", uploads, "--root", writeTree(t, map[string]string{"list/a.txt": "a"}))
	file := func(name string, size int) string {
		path := filepath.Join(mine, name)
		writeFile(t, path, string(noise(size)))
		return path
	}
	arrived := func(name string, size int) {
		t.Helper()
		if text, err := os.ReadFile(filepath.Join(uploads, name)); err != nil || string(text) != string(noise(size)) {
			t.Errorf("%s: %d bytes are stored, want %d; %v", name, len(text), size, err)
		}
	}
	wait := func(what, expression, want string) {
		t.Helper()
		got := ""
		if !within(patience, func() bool { got, _ = b.ask(expression); return got == want }) {
			t.Fatalf("%s: %q, want %q", what, got, want)
		}
	}
	const said = `document.getElementById("said").textContent`
	press := `document.querySelector("form button").click(); true`

	b.call("Emulation.setScriptExecutionDisabled", map[string]any{"value": true})
	b.open(s.url("/list/"))
	b.choose(file("one.bin", 100_000), file("two.bin", 1000))
	b.eval(press, nil)
	wait("without script", "document.title", "Received")
	arrived("one.bin", 100_000)
	arrived("two.bin", 1000)
	b.screenshot("upload-without-script")
	b.call("Emulation.setScriptExecutionDisabled", map[string]any{"value": false})

	// Slow enough for the bar to be seen on its way.
	b.call("Network.enable", nil)
	b.call("Network.emulateNetworkConditions", map[string]any{"offline": false, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 2 << 20})
	const size = 2 << 20
	for name, send := range map[string]func(path string){
		"button.bin": func(path string) { b.choose(path); b.eval(press, nil) },
		"drop.bin":   func(path string) { b.drop(path) },
	} {
		b.open(s.url("/list/"))
		b.eval(`window.bars = []; new MutationObserver(() => {
			const bar = document.querySelector("progress");
			if (bar) bars.push(bar.value);
		}).observe(document.getElementById("said"), {childList: true, subtree: true, attributes: true}); true`, nil)
		send(file(name, size))
		eventually(t, "the bar", func() bool {
			shown, _ := b.ask(`String(bars.some(at => at > 0 && at < 1))`)
			return shown == "true"
		})
		b.screenshot("upload-" + name)
		wait(name, said, "Stored: "+name)
		arrived(name, size)
		var bars []float64
		b.eval("bars", &bars)
		if !slices.IsSorted(bars) {
			t.Errorf("%s: the bar goes back: %v", name, bars)
		}
	}
	// What the server refuses, or would refuse, is said where the reader looks.
	small := start(t, "--listing", "--uploads", t.TempDir(), "--upload-max", "20KiB", "--upload-quota", "5KiB", "--root", writeTree(t, map[string]string{"list/a.txt": "a"}))
	b.open(small.url("/list/"))
	b.drop(file("large.bin", 10_000))
	wait("a file that is too large", said, fmt.Sprintf("The server refused it: %d Content Too Large", 413))
	b.drop(file("larger.bin", 30_000))
	wait("a file that is too large for the form", said, "That is too much at a time: nothing was sent.")
	b.screenshot("upload-too-large")
}
