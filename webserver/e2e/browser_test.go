//go:build unix

package e2e_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

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
	path := realPeer(t, "chromium", "chromium-browser", "google-chrome")
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
			return nil, errors.New(a.Error.Message)
		}
		return a.Result, nil
	case <-time.After(patience):
		b.t.Fatalf("%s: no answer in %v", method, patience)
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
