//go:build unix

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"topdown/proxyserver/internal/redistest"
)

var livePage = regexp.MustCompile(`(?m)^  live page:  (http://[0-9.:]+)/$`)

// startLive starts a proxy with a live page, and returns the page's origin and
// its token.
func startLive(t *testing.T, args ...string) (p *running, page, token string) {
	t.Helper()
	p = start(t, nil, append([]string{"--addr", "127.0.0.1:0", "--cache-dir", t.TempDir(), "--status-addr", "127.0.0.1:0"}, args...)...)
	waitFor(t, "the page's address", func() bool { return livePage.MatchString(p.stdout.String()) })
	page = livePage.FindStringSubmatch(p.stdout.String())[1]
	found := regexp.MustCompile(`data-token="([^"]+)"`).FindStringSubmatch(askPage(t, "GET", page+"/", nil, nil).text)
	if found == nil {
		t.Fatal("the page has no token")
	}
	return p, page, found[1]
}

type pageAnswer struct {
	status int
	header http.Header
	text   string
}

// askPage sends a request to the live page.
func askPage(t *testing.T, method, url string, fields map[string]string, body io.Reader) pageAnswer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range fields {
		req.Header.Set(name, value)
		if name == "Host" {
			req.Host = value
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return pageAnswer{resp.StatusCode, resp.Header, string(text)}
}

// liveOrigin answers what the path says: how long it may be stored, and so on.
func liveOrigin(t *testing.T) string {
	t.Helper()
	o := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Set-Cookie", "id=secret1")
		w.Header().Set("ETag", `"v1"`)
		switch {
		case strings.HasPrefix(r.URL.Path, "/no-store"):
			w.Header().Set("Cache-Control", "no-store")
		case strings.HasPrefix(r.URL.Path, "/no-cache"):
			w.Header().Set("Cache-Control", "no-cache")
		default:
			w.Header().Set("Cache-Control", "max-age=3600")
		}
		if r.Header.Get("If-None-Match") == `"v1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		if r.URL.Path == "/slow" {
			time.Sleep(20 * time.Millisecond) // a time that a bar can show
		}
		if r.URL.Path == "/spy" {
			// What a page that came through the proxy may try.
			fmt.Fprintf(w, `<!DOCTYPE html><title>spy</title><script>onload = async () => {
				const got = [];
				for (const url of new URLSearchParams(location.search).getAll("try")) {
					try { const r = await fetch(url); got.push(r.status + " " + (await r.text()).length); } catch { got.push("nothing"); }
				}
				document.title = "spied " + got.join();
			}</script>`)
			return
		}
		io.WriteString(w, strings.Repeat("hello ", 100))
	}))
	t.Cleanup(o.Close)
	return o.URL
}

// get asks the proxy for url.
func (r *running) get(url string) {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nCookie: id=secret2\r\nUser-Agent: test\r\nAccept: */*\r\nConnection: close\r\n\r\n", url)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err = io.Copy(io.Discard, resp.Body); err != nil {
		r.t.Fatal(err)
	}
}

// texts returns the texts of what a selector finds in the page.
func (b *browser) texts(selector string) (texts []string) {
	b.t.Helper()
	quoted, err := json.Marshal(selector)
	if err != nil {
		b.t.Fatal(err)
	}
	b.eval(`[...document.querySelectorAll(`+string(quoted)+`)].map(e => e.textContent)`, &texts)
	return texts
}

// click presses what a selector finds first.
func (b *browser) click(selector string) {
	b.t.Helper()
	quoted, err := json.Marshal(selector)
	if err != nil {
		b.t.Fatal(err)
	}
	b.eval(`document.querySelector(`+string(quoted)+`).click()`, nil)
}

// TestLivePage: rows come while one watches, one opens, its URL is purged, and
// the next request is a miss.
func TestLivePage(t *testing.T) {
	t.Parallel()
	p, page, _ := startLive(t)
	o := liveOrigin(t)
	p.get(o + "/slow") // it is there for who comes later
	b := openBrowser(t, 1280, 900)
	b.open(page + "/")
	words := func() string { return strings.Join(b.texts("#rows .word"), " ") }
	waitFor(t, "the exchange of before", func() bool { return words() == "miss" })
	p.get(o + "/slow")
	p.get(o + "/no-cache")
	p.get(o + "/no-cache")
	p.get("http://127.0.0.1:1/") // nobody listens there
	p.get("http://" + p.addr + "/")
	waitFor(t, "rows, without reload", func() bool { return words() == "refused failed revalidated miss hit miss" })

	// The miss of /slow tells how it came about.
	b.click("#rows tr:last-child .word")
	waitFor(t, "what it is about", func() bool { return len(b.texts(".heads pre")) == 4 })
	var download string
	b.eval(`document.querySelector(".acts a").href`, &download)
	detail := strings.Join(b.texts(".detail"), "")
	for _, part := range []string{
		"RFC 9111, 4: nothing is stored under " + o + "/slow", "name", "connect", "first byte", "client → proxy", "origin → proxy",
		"GET /slow HTTP/1.1", "Cache-Control: max-age=3600", "Cookie: (hidden)", "Set-Cookie: (hidden)", "fwd=uri-miss", "cache.(*query).lookup",
	} {
		if !strings.Contains(detail, part) {
			t.Errorf("%q is not told: %s", part, detail)
		}
	}
	if strings.Contains(detail, "secret") {
		t.Errorf("a secret is shown: %s", detail)
	}
	axe := axeScript(t)
	b.accessible(axe, "wide, light")
	b.screenshot("live-wide-light")
	b.resize(390, 900)
	b.dark(true)
	b.accessible(axe, "phone, dark")
	b.screenshot("live-phone-dark")
	b.dark(false)
	b.screenshot("live-phone-light")
	b.resize(1280, 900)
	b.dark(true)
	b.screenshot("live-wide-dark")
	b.dark(false)

	b.click(".acts button") // Purge
	waitFor(t, "the purge", func() bool { return strings.Join(b.texts(".acts [role=status]"), "") == "1 removed" })
	p.get(o + "/slow")
	waitFor(t, "the next miss", func() bool { return strings.HasPrefix(words(), "miss refused") })
	b.click(".acts button:nth-child(2)") // Revalidate next time
	waitFor(t, "the mark", func() bool {
		return strings.Join(b.texts(".acts [role=status]"), "") == "the next request asks the origin"
	})
	p.get(o + "/slow")
	p.get(o + "/slow")
	waitFor(t, "a revalidation, then hits", func() bool { return strings.HasPrefix(words(), "hit revalidated miss refused") })

	// Search, and words.
	b.eval(`{ const s = document.getElementById("search"); s.value = "no-cache"; s.dispatchEvent(new Event("input")) }`, nil)
	if got := words(); got != "revalidated miss" {
		t.Errorf("search: %q", got)
	}
	b.click("#words .miss")
	if got := words(); got != "miss" {
		t.Errorf("search and word: %q", got)
	}
	// The keyboard.
	b.click("#words .miss")
	b.eval(`{ const s = document.getElementById("search"); s.value = ""; s.dispatchEvent(new Event("input")) }`, nil)
	key := func(key string) { b.call("Input.dispatchKeyEvent", map[string]any{"type": "keyDown", "key": key}) }
	b.eval(`document.querySelector("#rows .word").focus()`, nil)
	key("ArrowDown")
	key("ArrowDown")
	var focus string
	b.eval(`document.activeElement.getAttribute("aria-label")`, &focus)
	if focus != "miss, GET "+o+"/slow" {
		t.Errorf("the focus is on %q", focus)
	}
	key("/")
	if b.eval(`document.activeElement.id`, &focus); focus != "search" {
		t.Errorf("the focus is on %q", focus)
	}
	opensInViewer(t, b, askPage(t, "GET", download, nil, nil).text)
}

// opensInViewer has trace.html of the web server draw a trace.
func opensInViewer(t *testing.T, b *browser, trace string) {
	t.Helper()
	www := filepath.Join("..", "..", "webserver", "www")
	if _, err := os.Stat(filepath.Join(www, "trace.html")); err != nil {
		t.Logf("the web server's folder is not beside this one: the trace is not drawn")
		return
	}
	files := http.FileServer(http.Dir(www))
	viewer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/exchange.ndjson" {
			io.WriteString(w, trace)
			return
		}
		files.ServeHTTP(w, r)
	}))
	defer viewer.Close()
	b.open(viewer.URL + "/trace.html?file=exchange.ndjson")
	want := strings.Count(trace, "\n") - 1
	var drawn struct {
		Events, Arrows int
		Text           string
	}
	waitFor(t, "the trace in the viewer", func() bool {
		b.eval(`({events: +document.body.dataset.events, arrows: +document.body.dataset.arrows, text: document.body.textContent})`, &drawn)
		return drawn.Events == want
	})
	if drawn.Arrows < 6 || !strings.Contains(drawn.Text, "GET /slow HTTP/1.1") || !strings.Contains(drawn.Text, "nothing is stored under") {
		t.Errorf("%d arrows for %d events: %s", drawn.Arrows, want, drawn.Text)
	}
	b.screenshot("live-exchange")
}

// TestLivePageStores: the tile of the store tells what is in it, also where the
// store is shared, and when that is down.
func TestLivePageStores(t *testing.T) {
	t.Parallel()
	o := liveOrigin(t)
	own, ownPage, _ := startLive(t)
	engine := redistest.Start(t)
	// The machine may be busy with other tests, the engine with it.
	shared, sharedPage, _ := startLive(t, "--store", engine.URL("live:"), "--store-timeout", "2s")
	b := openBrowser(t, 1280, 900)
	tile := func() string { return strings.Join(b.texts("#stored b, #stored small"), " ") }
	look := func(want string) {
		t.Helper()
		waitFor(t, "the tile with "+want, func() bool { return regexp.MustCompile(want).MatchString(tile()) })
		b.screenshot("live-store")
	}
	own.get(o + "/one")
	own.get(o + "/two")
	b.open(ownPage + "/")
	look(`^\d+ kB 2 stored$`)
	b.open(sharedPage + "/")
	stored := regexp.MustCompile(`^\d+(\.\d)? kB [1-9] here, shared up$`)
	waitFor(t, "something stored in the shared store", func() bool {
		shared.get(o + "/one") // again where the engine was too busy to take it
		return stored.MatchString(tile())
	})
	b.screenshot("live-store")
	engine.Kill()
	look(`^\d+(\.\d)? kB \d here, shared down$`)
}

// TestLivePageIsForItsUserAlone: what a web page could send gets nothing.
func TestLivePageIsForItsUserAlone(t *testing.T) {
	t.Parallel()
	p, page, token := startLive(t)
	o := liveOrigin(t)
	p.get(o + "/page")
	own := strings.TrimPrefix(page, "http://")
	navigation := map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
	post := func(fields map[string]string) map[string]string {
		fields["X-Token"] = token
		return fields
	}
	for _, tt := range []struct {
		name, method, path string
		fields             map[string]string
		want               int
	}{
		{"the user", "GET", "/exchange/1?token=" + token, nil, 200},
		{"a link to the page", "GET", "/", navigation, 200},
		{"a rebinding host", "GET", "/", map[string]string{"Host": "evil.example:8898"}, 421},
		{"a rebinding host with token", "GET", "/exchange/1?token=" + token, map[string]string{"Host": "evil.example"}, 421},
		{"without token", "GET", "/exchange/1", nil, 403},
		{"a wrong token", "GET", "/events?token=x", nil, 403},
		{"a cross-site fetch", "GET", "/", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}, 403},
		{"a cross-site frame", "GET", "/", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, 403},
		{"a cross-site link to events", "GET", "/events?token=" + token, navigation, 403},
		{"the same site, another port", "GET", "/", map[string]string{"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403},
		{"a foreign Origin", "GET", "/", map[string]string{"Origin": "http://evil.example"}, 403},
		{"a POST without token", "POST", "/purge", nil, 403},
		{"a POST with the token in the URL", "POST", "/purge?token=" + token, nil, 403},
		{"a POST of another origin", "POST", "/purge", post(map[string]string{"Origin": "http://" + p.addr}), 403},
		{"a POST of another site", "POST", "/revalidate", post(map[string]string{"Sec-Fetch-Site": "cross-site"}), 403},
		{"a POST of the page", "POST", "/purge", post(map[string]string{"Origin": page, "Sec-Fetch-Site": "same-origin"}), 200},
		{"a GET for a POST", "GET", "/purge?token=" + token, nil, 405},
		{"no such exchange", "GET", "/exchange/77?token=" + token, nil, 404},
		{"nothing there", "GET", "/x", nil, 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := askPage(t, tt.method, page+tt.path, tt.fields, strings.NewReader(o+"/page"))
			if got.status != tt.want {
				t.Errorf("%d, want %d: %s", got.status, tt.want, got.text)
			}
			if got.status >= 400 && strings.Contains(got.text, token) {
				t.Error("the token is told")
			}
			for name, want := range map[string]string{
				"Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			} {
				if got := got.header.Get(name); got != want {
					t.Errorf("%s: %q", name, got)
				}
			}
			if policy := got.header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") {
				t.Errorf("policy %q", policy)
			}
		})
	}
	// Nor does the proxy lead there, in any of its ways.
	_, port, _ := net.SplitHostPort(own)
	for _, host := range []string{own, "localhost:" + port, "0.0.0.0:" + port, "[::ffff:127.0.0.1]:" + port} {
		for _, request := range []string{
			"GET http://" + host + "/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
			"GET /" + host + "/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
			"CONNECT " + host + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n",
		} {
			conn, err := net.Dial("tcp", p.addr)
			if err != nil {
				t.Fatal(err)
			}
			conn.SetDeadline(time.Now().Add(patience))
			io.WriteString(conn, request)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			refused := resp.StatusCode == 403 && request[0] == 'C' // the port, for the address is nobody's to see
			if !refused && (resp.StatusCode != 502 || !strings.Contains(resp.Header.Get("Proxy-Status"), "own")) {
				t.Errorf("%q: %d, %s", request, resp.StatusCode, resp.Header.Get("Proxy-Status"))
			}
			conn.Close()
		}
	}
}

// TestLivePageFromAPage: a page that came through the proxy tries to read the
// live page, in a browser that uses the proxy for everything.
func TestLivePageFromAPage(t *testing.T) {
	t.Parallel()
	p, page, token := startLive(t)
	o := liveOrigin(t)
	b := openBrowser(t, 800, 600, "--proxy-server="+p.addr, "--proxy-bypass-list=<-loopback>")
	try := "?try=" + strings.Join([]string{page + "/", page + "/exchange/1?token=" + token, page + "/proxy.pac"}, "&try=")
	b.open(o + "/spy" + try)
	spied := func() (title string) {
		waitFor(t, "what the page could read", func() bool {
			b.eval("document.title", &title)
			return strings.HasPrefix(title, "spied")
		})
		return title
	}
	if got := spied(); got != "spied nothing,nothing,nothing" {
		t.Errorf("through the proxy: %s", got)
	}
	direct := openBrowser(t, 800, 600)
	direct.open(o + "/spy" + try)
	b = direct
	if got := spied(); got != "spied nothing,nothing,nothing" {
		t.Errorf("past the proxy: %s", got)
	}
}

// TestLivePageDetails: what programs get from it.
func TestLivePageDetails(t *testing.T) {
	t.Parallel()
	p, page, token := startLive(t)
	o := liveOrigin(t)
	p.get(o + "/page")
	p.get(o + "/page")
	var trace pageAnswer
	waitFor(t, "the trace of a hit", func() bool {
		trace = askPage(t, "GET", page+"/exchange/2?token="+token, nil, nil)
		return strings.Contains(trace.text, `"fate":"hit"`)
	})
	if got := trace.header.Get("Content-Disposition"); got != `attachment; filename="exchange-2.ndjson"` {
		t.Errorf("Content-Disposition %q", got)
	}
	first, rest, _ := strings.Cut(trace.text, "\n")
	if !strings.HasPrefix(first, `{"trace":"topdown","version":1,"lab":"proxyserver","at":"proxy"`) || strings.Contains(rest, "secret") ||
		!strings.Contains(rest, `"rfc":9111,"section":"4.2"`) {
		t.Errorf("trace:\n%s", trace.text)
	}
	for line := range strings.Lines(trace.text) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
	pac := askPage(t, "GET", page+"/proxy.pac", nil, nil)
	if pac.header.Get("Content-Type") != "application/x-ns-proxy-autoconfig" || !strings.Contains(pac.text, `return "PROXY `+p.addr+`"`) {
		t.Errorf("proxy.pac: %s\n%s", pac.header.Get("Content-Type"), pac.text)
	}
}

// TestLivePageAddress: where it is, if nobody says where.
func TestLivePageAddress(t *testing.T) {
	t.Parallel()
	// That the usual port is taken costs nothing but the page.
	for {
		ln, err := net.Listen("tcp", "127.0.0.1:8898")
		p := start(t, []string{"PROXYSERVER_STATUS_ADDR="}, "--addr", "127.0.0.1:0", "--no-cache")
		waitFor(t, "a word about the page", func() bool { return regexp.MustCompile(`(?m)^  live page: .*\n`).MatchString(p.stdout.String()) })
		if err == nil {
			ln.Close()
		} else if !strings.Contains(p.stdout.String(), "live page:  none") {
			p.stop() // somebody else's proxy had the port, and has ended since
			continue
		}
		const taken = "  live page:  none, 127.0.0.1:8898 is taken (--status-addr names another)\n"
		if !strings.HasSuffix(p.stdout.String(), taken) {
			t.Errorf("with the usual port taken:\n%s", p.stdout)
		}
		if p.stderr.String() != "" {
			t.Errorf("stderr: %s", p.stderr)
		}
		break
	}
	// Nor does the service have it anywhere else.
	unit, err := os.ReadFile(filepath.Join("..", "proxyserver.service"))
	if err != nil {
		t.Fatal(err)
	}
	flags := regexp.MustCompile(`"FLAGS=--addr (127\.0\.0\.1):\d+"`).FindSubmatch(unit)
	if flags == nil || bytes.Contains(unit, []byte("status-addr")) {
		t.Error("the service listens elsewhere than on loopback, or has its page elsewhere")
	}
	for _, tt := range []struct {
		name string
		env  []string
		args []string
	}{
		{"off", nil, []string{"--status-addr", "off"}},
		{"empty", []string{"PROXYSERVER_STATUS_ADDR="}, []string{"--status-addr", ""}},
		{"by the environment", []string{"PROXYSERVER_STATUS_ADDR=off"}, nil},
		{"lab", []string{"PROXYSERVER_STATUS_ADDR="}, []string{"--lab"}},
		{"public", []string{"PROXYSERVER_STATUS_ADDR="}, []string{"--addr", "0.0.0.0:0", "--allow-client", "127.0.0.0/8"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out lines
			cmd := exec.Command(program(t), append([]string{"--addr", "127.0.0.1:0", "--no-cache"}, tt.args...)...)
			cmd.Env, cmd.Stdout, cmd.Stderr = append([]string{}, tt.env...), &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "the ready lines", func() bool { return strings.Contains(out.String(), "path style:") })
			cmd.Process.Signal(syscall.SIGTERM)
			if err := cmd.Wait(); err != nil || strings.Contains(out.String(), "live page") {
				t.Errorf("%v, printed:\n%s", err, &out)
			}
		})
	}
}

// TestLivePageWithoutCache: it shows exchanges, and has nothing to purge.
func TestLivePageWithoutCache(t *testing.T) {
	t.Parallel()
	p, page, token := startLive(t, "--no-cache")
	o := liveOrigin(t)
	p.get(o + "/page")
	got := askPage(t, "POST", page+"/purge", map[string]string{"X-Token": token}, bytes.NewReader([]byte(o+"/page")))
	if got.status != 409 || !strings.Contains(got.text, "no cache") {
		t.Errorf("%d %s", got.status, got.text)
	}
}
