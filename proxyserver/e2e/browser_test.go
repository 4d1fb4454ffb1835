//go:build unix

package e2e

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"maps"
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
	on      map[string]func(json.RawMessage) // by event; mu guards it
}

// answer is what the browser says to a call, or an event.
type answer struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// openBrowser starts the browser with an empty page of the given size; flags are
// added to its own.
func openBrowser(t *testing.T, width, height int, flags ...string) *browser {
	t.Helper()
	path := need(t, "chromium")
	theirs, ours := pipe(t)
	read, write := pipe(t)
	cmd := exec.Command(path, append(flags, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
		"--disable-sync", "--no-first-run", "--disable-dev-shm-usage", "--hide-scrollbars",
		"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
		"--user-data-dir="+t.TempDir(), "--remote-debugging-pipe", "about:blank")...)
	cmd.ExtraFiles = []*os.File{theirs, write}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	write.Close()
	b := &browser{t: t, to: ours, waiting: map[int]chan answer{}, on: map[string]func(json.RawMessage){}}
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
		if json.Unmarshal(message[:len(message)-1], &a) != nil {
			continue
		}
		b.mu.Lock()
		waits, on := b.waiting[a.ID], b.on[a.Method]
		delete(b.waiting, a.ID)
		b.mu.Unlock()
		if waits != nil {
			waits <- a
		} else if on != nil {
			go on(a.Params)
		}
	}
}

// logIn has the browser give a user name and password to every proxy and server
// that asks.
func (b *browser) logIn(user, password string) {
	b.t.Helper()
	paused := func(answer string, params map[string]any) func(json.RawMessage) {
		return func(event json.RawMessage) {
			var request struct{ RequestID string }
			if json.Unmarshal(event, &request) == nil {
				params := maps.Clone(params)
				params["requestId"] = request.RequestID
				b.send(answer, params) // a request that is gone meanwhile needs no answer
			}
		}
	}
	b.mu.Lock()
	b.on["Fetch.requestPaused"] = paused("Fetch.continueRequest", map[string]any{})
	b.on["Fetch.authRequired"] = paused("Fetch.continueWithAuth", map[string]any{
		"authChallengeResponse": map[string]any{"response": "ProvideCredentials", "username": user, "password": password},
	})
	b.mu.Unlock()
	b.call("Fetch.enable", map[string]any{"handleAuthRequests": true})
}

// send has the browser do something; the answer comes to waits.
func (b *browser) send(method string, params map[string]any) (waits chan answer) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.id++
	id := b.id
	waits = make(chan answer, 1)
	b.waiting[id] = waits
	text, err := json.Marshal(map[string]any{"id": id, "method": method, "params": params, "sessionId": b.session})
	if b.session == "" {
		text, err = json.Marshal(map[string]any{"id": id, "method": method, "params": params})
	}
	if err != nil {
		b.t.Error(err)
	} else if _, err = b.to.Write(append(text, 0)); err != nil {
		b.t.Errorf("%s: %v", method, err)
	}
	return waits
}

// call has the browser do something and returns the result.
func (b *browser) call(method string, params map[string]any) json.RawMessage {
	b.t.Helper()
	select {
	case a := <-b.send(method, params):
		if a.Error != nil {
			b.t.Fatalf("%s: %s", method, a.Error.Message)
		}
		return a.Result
	case <-time.After(patience):
		b.t.Fatalf("%s: no answer in %v", method, patience)
	}
	return nil
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
	waitFor(b.t, "the page "+url, func() bool {
		// A page that is just going away has no answer.
		select {
		case a := <-b.send("Runtime.evaluate", map[string]any{"expression": `location.href + " " + document.readyState`, "returnByValue": true}):
			var r struct{ Result struct{ Value string } }
			return a.Error == nil && json.Unmarshal(a.Result, &r) == nil && r.Result.Value == url+" complete"
		case <-time.After(patience):
			return false
		}
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
