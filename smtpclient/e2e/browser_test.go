//go:build linux

package e2e

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long the browser may take for one thing.
const patience = 30 * time.Second

// installed returns the path of the first of the programs that is there.
func installed(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	lacking(t, names[0]+" is not installed")
	return ""
}

// lacking skips the test, or fails it where the real programs have to be there.
func lacking(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("TOPDOWN_REQUIRE_REAL") == "1" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// browser is a real one, which is told what to do through the pipes of its
// DevTools protocol: descriptors 3 and 4, messages that end with a zero byte.
type browser struct {
	t       *testing.T
	to      *os.File
	mu      sync.Mutex
	id      int
	waiting map[int]chan answer
	session string
}

// answer is what the browser says to a call.
type answer struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// openBrowser starts the browser with an empty page of the given size.
func openBrowser(t *testing.T, width, height int) *browser {
	t.Helper()
	path := installed(t, "chromium", "chromium-browser", "google-chrome")
	theirs, ours := pipe(t)
	read, write := pipe(t)
	cmd := exec.Command(path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
		"--disable-sync", "--no-first-run", "--disable-dev-shm-usage", "--hide-scrollbars",
		"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
		"--user-data-dir="+t.TempDir(), "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{theirs, write}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	write.Close()
	b := &browser{t: t, to: ours, waiting: map[int]chan answer{}}
	t.Cleanup(func() {
		// It writes to its profile to the end, which the test then removes.
		b.call("Browser.close", nil)
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-ended:
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	go b.listen(read)
	var target struct{ TargetID string }
	b.get("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.get("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	b.resize(width, height)
	b.call("Page.enable", nil)
	return b
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

func (b *browser) listen(from *os.File) {
	for in := bufio.NewReader(from); ; {
		message, err := in.ReadBytes(0)
		if err != nil {
			return
		}
		var a answer
		if json.Unmarshal(message[:len(message)-1], &a) == nil && a.ID > 0 {
			b.mu.Lock()
			waits := b.waiting[a.ID]
			delete(b.waiting, a.ID)
			b.mu.Unlock()
			waits <- a
		}
	}
}

// call has the browser do something and returns the result.
func (b *browser) call(method string, params map[string]any) json.RawMessage {
	b.t.Helper()
	result, err := b.ask(method, params)
	if err != nil {
		b.t.Fatal(err)
	}
	return result
}

// ask is call for something that the browser may refuse.
func (b *browser) ask(method string, params map[string]any) (json.RawMessage, error) {
	b.t.Helper()
	b.mu.Lock()
	b.id++
	id, waits := b.id, make(chan answer, 1)
	b.waiting[id] = waits
	b.mu.Unlock()
	text, err := json.Marshal(map[string]any{"id": id, "method": method, "params": params, "sessionId": b.session})
	if b.session == "" {
		text, err = json.Marshal(map[string]any{"id": id, "method": method, "params": params})
	}
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.to.Write(append(text, 0)); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	select {
	case a := <-waits:
		if a.Error != nil {
			return nil, fmt.Errorf("%s: %s", method, a.Error.Message)
		}
		return a.Result, nil
	case <-time.After(patience):
		return nil, fmt.Errorf("%s: no answer in %v", method, patience)
	}
}

func (b *browser) get(method string, params map[string]any, result any) {
	b.t.Helper()
	if err := json.Unmarshal(b.call(method, params), result); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
}

func (b *browser) resize(width, height int) {
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false})
}

// open goes to a page.
func (b *browser) open(url string) {
	b.t.Helper()
	b.call("Page.navigate", map[string]any{"url": url})
	await(b.t, "the page "+url, func() bool {
		return b.holds(fmt.Sprintf(`location.href == %q && document.readyState == "complete"`, url))
	})
}

// eval evaluates an expression of JavaScript in the page, waits if it is a promise,
// and stores what comes of it.
func (b *browser) eval(expression string, value any) {
	b.t.Helper()
	var r struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Exception struct{ Description string }
		}
	}
	b.get("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true}, &r)
	if r.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, r.ExceptionDetails.Exception.Description)
	}
	if value != nil {
		if err := json.Unmarshal(r.Result.Value, value); err != nil {
			b.t.Fatalf("%s: %v", expression, err)
		}
	}
}

// holds tells whether an expression is true in the page. It is not in one that is
// being left.
func (b *browser) holds(expression string) bool {
	b.t.Helper()
	answer, err := b.ask("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true})
	var r struct{ Result struct{ Value any } }
	return err == nil && json.Unmarshal(answer, &r) == nil && r.Result.Value == true
}

// screenshot keeps a picture of the page where TOPDOWN_SCREENSHOTS names a directory.
func (b *browser) screenshot(name string) {
	b.t.Helper()
	dir := os.Getenv("TOPDOWN_SCREENSHOTS")
	if dir == "" {
		return
	}
	var r struct{ Data string }
	b.get("Page.captureScreenshot", map[string]any{"format": "png"}, &r)
	picture, err := base64.StdEncoding.DecodeString(r.Data)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// axeScript returns the accessibility checker axe: scripts/peers install has npm
// put it where all users find it.
func axeScript(t *testing.T) string {
	t.Helper()
	where, err := exec.Command(installed(t, "npm"), "root", "--global").Output()
	if err != nil {
		t.Fatalf("npm root --global: %v", err)
	}
	script, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(where)), "axe-core", "axe.min.js"))
	if err != nil {
		lacking(t, "npm has no axe-core: "+err.Error())
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
