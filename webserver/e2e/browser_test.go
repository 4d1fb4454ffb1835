//go:build unix

package e2e_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// chromium is a real browser, which is told what to do through the pipes of its
// DevTools protocol: descriptors 3 and 4, messages that end with a zero byte. The
// first test that needs one starts it, and all share it: to start it takes longer
// than most of what they ask of it.
type chromium struct {
	to      *os.File
	mu      sync.Mutex
	id      int
	waiting map[int]chan answer
	end     func()
}

// browser is a window of it with cookies and a cache of its own.
type browser struct {
	*chromium
	t                *testing.T
	context, session string
}

// answer is what the browser says to a call.
type answer struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// shared is the browser of all tests, nil until it is needed; runTests ends it.
var shared struct {
	sync.Mutex
	*chromium
}

// startChromium starts the browser at path, kept off every network but loopback.
func startChromium(path string) (*chromium, error) {
	profile, err := os.MkdirTemp("", "webserver-e2e-browser-")
	if err != nil {
		return nil, err
	}
	theirs, to, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	from, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
		"--disable-sync", "--no-first-run", "--disable-dev-shm-usage", "--hide-scrollbars",
		"--disable-background-timer-throttling", "--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding",
		"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
		"--user-data-dir="+profile, "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{theirs, write}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	theirs.Close()
	write.Close()
	c := &chromium{to: to, waiting: map[int]chan answer{}}
	go c.listen(from)
	c.end = func() {
		// It writes to its profile to the end, which is then removed.
		_, _ = to.WriteString(`{"id": 0, "method": "Browser.close"}` + "\x00")
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-ended:
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			<-ended
		}
		to.Close()
		from.Close()
		os.RemoveAll(profile)
	}
	return c, nil
}

// openBrowser opens an empty page of the given size.
func openBrowser(t *testing.T, width, height int) *browser {
	t.Helper()
	path := realPeer(t, "chromium", "chromium-browser", "google-chrome")
	shared.Lock()
	if shared.chromium == nil {
		c, err := startChromium(path)
		if err != nil {
			shared.Unlock()
			t.Fatal(err)
		}
		shared.chromium = c
	}
	b := &browser{chromium: shared.chromium, t: t}
	shared.Unlock()
	var made struct{ BrowserContextID, TargetID, SessionID string }
	b.get("Target.createBrowserContext", nil, &made)
	b.context = made.BrowserContextID
	t.Cleanup(func() {
		b.session = ""
		b.call("Target.disposeBrowserContext", map[string]any{"browserContextId": b.context})
	})
	b.get("Target.createTarget", map[string]any{"url": "about:blank", "browserContextId": b.context, "newWindow": true}, &made)
	b.get("Target.attachToTarget", map[string]any{"targetId": made.TargetID, "flatten": true}, &made)
	b.session = made.SessionID
	b.resize(width, height)
	b.call("Page.enable", nil)
	return b
}

func (c *chromium) listen(from *os.File) {
	for in := bufio.NewReader(from); ; {
		message, err := in.ReadBytes(0)
		if err != nil {
			return
		}
		var a answer
		if json.Unmarshal(message[:len(message)-1], &a) == nil && a.ID > 0 {
			c.mu.Lock()
			waits := c.waiting[a.ID]
			delete(c.waiting, a.ID)
			c.mu.Unlock()
			waits <- a
		}
	}
}

// browserPatience is how long the browser may take for one thing. To look through a
// page with axe, on a machine that is busy with the other tests, takes it half a minute.
const browserPatience = 3 * time.Minute

// call has the browser do something and returns the result.
func (b *browser) call(method string, params map[string]any) json.RawMessage {
	b.t.Helper()
	result, err := b.try(method, params)
	if err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	return result
}

// try is call of what the browser may have reasons to refuse.
func (b *browser) try(method string, params map[string]any) (json.RawMessage, error) {
	b.t.Helper()
	b.mu.Lock()
	b.id++
	id, waits := b.id, make(chan answer, 1)
	b.waiting[id] = waits
	b.mu.Unlock()
	message := map[string]any{"id": id, "method": method, "params": params}
	if b.session != "" {
		message["sessionId"] = b.session
	}
	text, err := json.Marshal(message)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.to.Write(append(text, 0)); err != nil { // all of it, or none: a file writes for one at a time
		b.t.Fatalf("%s: %v", method, err)
	}
	select {
	case a := <-waits:
		if a.Error != nil {
			return nil, errors.New(a.Error.Message)
		}
		return a.Result, nil
	case <-time.After(browserPatience):
		b.t.Fatalf("%s: no answer in %v", method, browserPatience)
	}
	return nil, nil
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
	eventually(b.t, "the page "+url, func() bool {
		at, ok := b.ask(`location.href + " " + document.readyState`)
		return ok && at == url+" complete"
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

// ask is eval of an expression whose value is text, for a page that may just be going
// away: then it is not ok.
func (b *browser) ask(expression string) (value string, ok bool) {
	b.t.Helper()
	var r struct {
		Result           struct{ Value any }
		ExceptionDetails any
	}
	result, err := b.try("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true})
	if err != nil || json.Unmarshal(result, &r) != nil {
		return "", false
	}
	value, ok = r.Result.Value.(string)
	return value, ok && r.ExceptionDetails == nil
}

// capture has the browser draw the page as a PNG.
func (b *browser) capture() []byte {
	b.t.Helper()
	var r struct{ Data []byte }
	b.get("Page.captureScreenshot", map[string]any{"format": "png"}, &r)
	return r.Data
}

// screenshot keeps a picture of the page where TOPDOWN_SCREENSHOTS names a directory.
func (b *browser) screenshot(name string) {
	b.t.Helper()
	dir := os.Getenv("TOPDOWN_SCREENSHOTS")
	if dir == "" {
		return
	}
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, name+".png"), b.capture(), 0o644)); err != nil {
		b.t.Fatal(err)
	}
}

// choose puts files into the page's first file input, as its dialog would.
func (b *browser) choose(files ...string) {
	b.t.Helper()
	var document struct{ Root struct{ NodeID int } }
	b.get("DOM.getDocument", nil, &document)
	var input struct{ NodeID int }
	b.get("DOM.querySelector", map[string]any{"nodeId": document.Root.NodeID, "selector": "input[type=file]"}, &input)
	b.call("DOM.setFileInputFiles", map[string]any{"files": files, "nodeId": input.NodeID})
}

// drop drags files over the page and lets go of them there.
func (b *browser) drop(files ...string) {
	b.t.Helper()
	for _, step := range []string{"dragEnter", "dragOver", "drop"} {
		b.call("Input.dispatchDragEvent", map[string]any{
			"type": step, "x": 200, "y": 200, "data": map[string]any{"items": []any{}, "files": files, "dragOperationsMask": 1},
		})
	}
}
