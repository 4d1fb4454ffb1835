//go:build linux

package e2e

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// startTestserver runs the program's test server with its page.
func startTestserver(t *testing.T) (smtp, page string) {
	t.Helper()
	cmd := exec.Command(binary, "testserver", "--smtp-addr", "127.0.0.1:0", "--pop3-addr", "127.0.0.1:0", "--web", "127.0.0.1:0", "--log-level", "error")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the test server ends with %v", err)
		}
	})
	lines := bufio.NewReader(stdout)
	for _, want := range []struct {
		pattern string
		to      *string
	}{{`^SMTP on (\S+), POP3 on \S+; every mailbox's password is lab\n$`, &smtp}, {`^What it receives is on (http://127\.0\.0\.1:\d+/)\n$`, &page}} {
		line, err := lines.ReadString('\n')
		found := regexp.MustCompile(want.pattern).FindStringSubmatch(line)
		if err != nil || found == nil {
			t.Fatalf("%q, %v", line, err)
		}
		*want.to = found[1]
	}
	return smtp, page
}

// TestWeb watches in a browser what the test server receives, and switches its
// faults on there.
func TestWeb(t *testing.T) {
	t.Parallel()
	axe := axeScript(t)
	smtp, page := startTestserver(t)
	b := openBrowser(t, 1200, 900)
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		elsewhere.Add(1)
		fmt.Fprint(w, "<!DOCTYPE html><title>elsewhere</title>")
	}))
	defer other.Close()
	looks := func(name string) {
		t.Helper()
		for i, look := range []string{"wide-light", "phone-dark", "wide-dark", "phone-light"} {
			b.resize(map[bool]int{true: 1200, false: 390}[strings.HasPrefix(look, "wide")], 900)
			b.dark(strings.HasSuffix(look, "dark"))
			if i < 2 { // each width and each set of colors once
				b.accessible(axe, name+", "+look)
			}
			b.screenshot("mail-" + name + "-" + look)
		}
		b.resize(1200, 900)
		b.dark(false)
	}
	text := func(selector string) string {
		var s string
		b.eval(fmt.Sprintf(`document.querySelector(%q)?.innerText ?? ""`, selector), &s)
		return s
	}
	b.open(page)
	b.eval(`window.same = true`, nil) // a page that is loaded again forgets this
	looks("empty")

	picture := write(t, filepath.Join(t.TempDir(), "dot.png"), dot, 0o600)
	html := `<h1 id="title">Grüße</h1><p>A mail with a picture: <img id="pic" alt="a dot" src="cid:dot.png" width="64" height="64">
		<img src="` + other.URL + `/tracker.png" alt="">
		<script src="` + other.URL + `/script.js"></script><script>document.getElementById("title").textContent = "it ran"</script>
		<meta http-equiv="refresh" content="0;url=` + other.URL + `/refresh">
		<link rel="stylesheet" href="` + other.URL + `/style.css"><iframe src="` + other.URL + `/frame"></iframe>
		<form action="` + other.URL + `/form"><button>go</button></form>`
	from := []string{"send", "-q", "--server", smtp, "--from", "Ada <ada@lab.test>", "--to", "you@lab.test"}
	if code, _, errOut := program(t, append(from, "--subject", "Größe – <b>你好</b>", "--text", "The text.\nIts second line.", "--html", html, "--inline", picture, "--attach", picture+":name=report.png")...); code != 0 {
		t.Fatalf("%d %s", code, errOut)
	}
	await(t, "the row", func() bool { return text("#row1") == "Größe – <b>你好</b>" })
	var same bool
	if b.eval(`window.same === true`, &same); !same {
		t.Error("the page was loaded again")
	}
	if got := text("#count"); got != "1 mail, 1 exchange" {
		t.Error(got)
	}
	// Focus stays where it is when the list changes.
	b.eval(`document.getElementById("row1").focus()`, nil)
	if code, _, _ := program(t, append(from, "--subject", "The second", "--text", "x", "--cc", "reject@lab.test")...); code != 79 {
		t.Fatal(code)
	}
	await(t, "the second row", func() bool { return text("#row2") == "The second" })
	var focus string
	if b.eval(`document.activeElement.id`, &focus); focus != "row1" {
		t.Errorf("the focus is on %q", focus)
	}
	looks("list")
	b.eval(`document.querySelector("summary").click()`, nil)
	looks("form")

	b.open(page + "mail/1")
	if got := text("#text + pre"); strings.TrimSpace(got) != "The text.\nIts second line." {
		t.Errorf("text: %q", got)
	}
	if got := text("#lines"); !strings.Contains(got, "C: RCPT TO:<you@lab.test>") || !strings.Contains(got, "S: 250 2.0.0 kept in memory") {
		t.Errorf("dialogue: %q", got)
	}
	looks("mail")
	// The HTML stands in a frame of its own, which its page cannot look into: it is
	// looked at as a page.
	b.open(page + "mail/1/html")
	if got := text("#title"); got != "Grüße" {
		t.Errorf("HTML: %q", got)
	}
	var width int
	if b.eval(`document.getElementById("pic").naturalWidth`, &width); width != 1 {
		t.Errorf("the mail's own picture is %d wide", width)
	}
	b.open(page + "mail/1/raw")
	if got := text("body"); !strings.Contains(got, "MIME-Version: 1.0") || !strings.Contains(got, "filename=report.png") {
		t.Errorf("source: %q", got)
	}
	if n := elsewhere.Load(); n > 0 {
		t.Errorf("%d requests went elsewhere", n)
	}

	// By keys alone: to the faults, the second of them, switched on.
	b.open(page)
	press := func(key string, code int, text string) {
		t.Helper()
		b.call("Input.dispatchKeyEvent", map[string]any{"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text})
		b.call("Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": key, "code": key, "windowsVirtualKeyCode": code})
	}
	focused := func(what string) {
		t.Helper()
		if !b.holds(fmt.Sprintf(`document.activeElement.matches(%q)`, what)) {
			t.Fatalf("%s does not have the focus", what)
		}
	}
	press("Tab", 9, "")
	focused("summary")
	press("Enter", 13, "\r")
	press("Tab", 9, "")
	focused("input[type=radio]")
	press("ArrowDown", 40, "")
	press("Tab", 9, "")
	focused("button")
	press("Enter", 13, "\r")
	await(t, "the fault by keys", func() bool {
		return b.holds(`document.readyState == "complete" && document.getElementById("now")?.innerText.startsWith("Switched on: 450")`)
	})

	// Each fault, and what the client makes of it.
	b.open(page)
	for _, tt := range []struct {
		fault string
		args  []string
		code  int
		is    string // what the list says
	}{
		{"450", nil, 75, "no mail: 450 4.2.0"},
		{"550", nil, 69, "no mail: 550 5.1.1"},
		{"drop", nil, 80, "received, and the client was not told"},
		{"slow", []string{"--timeout", "2s"}, 75, "going on"},
		{"", nil, 0, "received"},
	} {
		b.eval(fmt.Sprintf(`document.querySelector('input[value=%q]').click(); window.same = false`, tt.fault), nil)
		b.eval(`setTimeout(() => document.querySelector("button").click())`, nil)
		await(t, "the fault "+tt.fault, func() bool {
			return b.holds(fmt.Sprintf(`document.readyState == "complete" && window.same === undefined && document.querySelector("input:checked")?.value === %q &&
				(document.getElementById("now").innerText == "The server does everything right.") == %t`, tt.fault, tt.fault == ""))
		})
		code, _, errOut := program(t, append(append(append([]string{}, from...), "--subject", "Fault "+tt.fault, "--text", "x"), tt.args...)...)
		if code != tt.code {
			t.Errorf("%s: %d, want %d: %s", tt.fault, code, tt.code, errOut)
		}
		await(t, "what became of it", func() bool { return strings.HasPrefix(text("#exchanges li:first-child .is"), tt.is) })
	}
	looks("faults")
}

// TestWebCrossSite has a page from elsewhere try to read and to command the page.
func TestWebCrossSite(t *testing.T) {
	t.Parallel()
	smtp, page := startTestserver(t)
	if code, _, errOut := program(t, "send", "-q", "--server", smtp, "--from", "a@lab.test", "--to", "b@lab.test", "--subject", "private-matter", "--text", "x"); code != 0 {
		t.Fatal(errOut)
	}
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!DOCTYPE html><title>evil</title><form method="post" action="%[1]sfault" target="frame"><input name="fault" value="550"></form>
			<iframe name="frame"></iframe><iframe id="framed" src="%[1]s"></iframe><script src="%[1]spage.js" onload="window.script = 'loaded'" onerror="window.script = 'refused'"></script>`, page)
	}))
	defer evil.Close()
	b := openBrowser(t, 800, 600)
	for _, origin := range []string{evil.URL, strings.Replace(evil.URL, "127.0.0.1", "localhost", 1)} { // the same site, and another
		b.open(origin + "/")
		var got struct{ Read, Blind, Script, Posted, Events string }
		b.eval(fmt.Sprintf(`(async () => {
			const tried = async (f) => { try { return String(await f()); } catch { return "refused"; } };
			const page = %q;
			const events = new EventSource(page + "events");
			const heard = new Promise((r) => { events.onmessage = () => r("read"); events.onerror = () => r("refused"); });
			return {
				read: await tried(async () => (await fetch(page + "mail/1/raw")).text()),
				blind: await tried(async () => (await (await fetch(page, {mode: "no-cors"})).text()) || "nothing"),
				posted: await tried(async () => (await fetch(page + "fault", {method: "POST", body: new URLSearchParams({fault: "550"})})).status),
				events: await heard,
				script: window.script,
			};
		})()`, page), &got)
		if got.Read != "refused" || got.Blind != "nothing" && got.Blind != "refused" || got.Posted != "refused" || got.Events != "refused" || got.Script != "refused" {
			t.Errorf("from %s: %+v", origin, got)
		}
		b.eval(`document.forms[0].submit()`, nil)
	}
	for _, host := range []string{"evil.test", "localhost.evil.test:80"} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", page, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("%s: %d", host, answer.StatusCode)
		}
	}
	b.open(page)
	if !b.holds(`document.getElementById("now").innerText == "The server does everything right."`) {
		t.Error("a fault is switched on")
	}
	if code, _, errOut := program(t, "send", "-q", "--server", smtp, "--from", "a@lab.test", "--to", "b@lab.test", "--subject", "s", "--text", "x", "--timeout", time.Minute.String()); code != 0 {
		t.Errorf("the server was commanded: %d %s", code, errOut)
	}
}

// dot is a picture of one pixel.
const dot = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89" +
	"\x00\x00\x00\rIDATx\x9cc\xf8\xcf\xc0\xf0\x1f\x00\x05\x00\x01\xff\x89\x99=\x1d\x00\x00\x00\x00IEND\xaeB`\x82"
