//go:build unix

package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// traceEvent is as much of an event as these tests need.
type traceEvent struct{ From, To, What, Text, Transport string }

func (e traceEvent) arrow() bool {
	return e.What == "line" || e.What == "bytes" || e.What == "datagram" || e.What == "state" && e.To != ""
}

// readTrace returns the events of a trace.
func readTrace(t *testing.T, text string) []traceEvent {
	t.Helper()
	var events []traceEvent
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		var e traceEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			events = append(events, e)
		}
	}
	return events
}

// hooks are functions of these tests in the page. Exports are kept and not saved.
const hooks = `
	window.hitKey = key => document.getElementById("stage").dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
	URL.createObjectURL = blob => { window.exported = blob; return "about:blank"; };
	HTMLAnchorElement.prototype.click = function () {};
	window.take = async id => {
		document.getElementById(id).click();
		const bytes = new Uint8Array(await window.exported.arrayBuffer());
		let text = "";
		for (const b of bytes) text += String.fromCharCode(b);
		return btoa(text);
	};`

// openTrace opens the page with trace files and waits until they are drawn, or told.
func (b *browser) openTrace(s *server, files ...string) {
	b.t.Helper()
	query := url.Values{"file": files}
	b.open(s.url("/trace.html?" + query.Encode()))
	eventually(b.t, "the trace", func() bool {
		var done bool
		b.eval(`document.body.dataset.events > 0 || !document.getElementById("told").hidden`, &done)
		return done
	})
	b.eval(hooks, nil)
}

func (b *browser) take(export string) []byte {
	b.t.Helper()
	var text string
	b.eval(`take("`+export+`")`, &text)
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		b.t.Fatal(err)
	}
	return data
}

// TestTracePage: a real browser draws the sample trace of each lab, arrow by arrow;
// keys step through it; the table says the same; what is exported is valid and whole.
func TestTracePage(t *testing.T) {
	t.Parallel()
	b := openBrowser(t, 1300, 900)
	s := start(t)
	for _, lab := range []string{"webserver", "udppinger", "udppingserver", "smtpclient", "proxyserver"} {
		events := readTrace(t, string(s.get(t, "/"+lab+".ndjson").body))
		arrows := 0
		for _, e := range events {
			if e.arrow() {
				arrows++
			}
		}
		b.openTrace(s, lab+".ndjson")
		var drawn struct {
			Told           string
			Events, Arrows int
		}
		b.eval(`({told: document.getElementById("told").textContent, events: +document.body.dataset.events, arrows: +document.body.dataset.arrows})`, &drawn)
		if drawn.Told != "" || drawn.Events != len(events) || drawn.Arrows != arrows {
			t.Errorf("%s: %d events, %d arrows, told %q; want %d, %d", lab, drawn.Events, drawn.Arrows, drawn.Told, len(events), arrows)
		}
		b.screenshot("trace-" + lab)

		var steps struct {
			Seen, Last int
			Panel      string
		}
		b.eval(`(() => {
			const seen = new Set();
			for (let i = 0; i < 2 * +document.body.dataset.events; i++) { hitKey("ArrowDown"); seen.add(document.getElementById("stage").getAttribute("aria-activedescendant")); }
			const last = [...seen].length;
			hitKey("Home");
			return {seen: [...seen].filter(id => id && id !== "null").length, last, panel: document.getElementById("panel").innerText};
		})()`, &steps)
		if steps.Seen != len(events) || !strings.Contains(steps.Panel, "1 of ") {
			t.Errorf("%s: keys step through %d events of %d; the panel says %q", lab, steps.Seen, len(events), steps.Panel)
		}

		var rows int
		b.eval(`(document.getElementById("asTable").click(), document.querySelectorAll("#sheet tbody tr").length)`, &rows)
		if rows != len(events) {
			t.Errorf("%s: the table has %d rows, want %d", lab, rows, len(events))
		}
		b.eval(`document.getElementById("asDiagram").click()`, nil)

		picture := b.take("svg")
		if n := countArrows(t, picture); n != arrows {
			t.Errorf("%s: the SVG has %d arrows, want %d", lab, n, arrows)
		}
		checkHAR(t, lab, b, events)
		checkPcapng(t, lab, b, events)
	}

	// Both sides' files together are one run: no arrow twice, and what was lost on
	// purpose says so.
	ping := readTrace(t, string(s.get(t, "/udppinger.ndjson").body))
	pong := readTrace(t, string(s.get(t, "/udppingserver.ndjson").body))
	b.openTrace(s, "udppinger.ndjson", "udppingserver.ndjson")
	both, want := 0, 0
	for _, e := range ping {
		if e.arrow() {
			want++
		}
	}
	b.eval(`+document.body.dataset.arrows`, &both)
	if both != want || len(pong) == 0 {
		t.Errorf("together: %d arrows, want the pinger's %d", both, want)
	}

	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": "dark"}}})
	b.resize(390, 844)
	b.openTrace(s, "proxyserver.ndjson")
	var wide int
	b.eval(`document.documentElement.scrollWidth`, &wide)
	if wide > 390 {
		t.Errorf("on a phone the page is %d pixels wide", wide)
	}
	b.screenshot("trace-phone-dark")
}

// countArrows counts the arrows in a picture, which must be well-formed.
func countArrows(t *testing.T, picture []byte) (n int) {
	t.Helper()
	for d := xml.NewDecoder(bytes.NewReader(picture)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			t.Fatalf("the SVG: %v", err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "g" {
			for _, a := range start.Attr {
				if a.Name.Local == "class" && strings.HasPrefix(a.Value, "ev ") && strings.Contains(a.Value+" ", " arrow ") {
					n++
				}
			}
		}
	}
}

// HAR 1.2, as far as every entry must have it.
type (
	harField   struct{ Name, Value *string }
	harMessage struct {
		HTTPVersion           *string
		Cookies               []json.RawMessage
		Headers               []harField
		HeadersSize, BodySize *int64
	}
	harLog struct {
		Log struct {
			Version *string
			Creator struct{ Name, Version *string }
			Entries []struct {
				StartedDateTime time.Time
				Time            *float64
				Request         struct {
					harMessage
					Method, URL *string
					QueryString []harField
				}
				Response struct {
					harMessage
					Status      *int
					StatusText  *string
					RedirectURL *string
					Content     struct {
						Size     *int64
						MimeType *string
					}
				}
				Cache   *struct{ Comment string }
				Timings struct{ Send, Wait, Receive *float64 }
			}
		}
	}
)

// checkHAR checks that the export has each exchange that crossed a network.
func checkHAR(t *testing.T, lab string, b *browser, events []traceEvent) {
	t.Helper()
	requests := 0
	for _, e := range events {
		first, _, _ := strings.Cut(e.Text, `\r\n`)
		if e.What == "line" && strings.Contains(first, " HTTP/1.") && e.To != "cache" {
			requests++
		}
	}
	if requests == 0 {
		var off bool
		b.eval(`document.getElementById("har").disabled`, &off)
		if !off {
			t.Errorf("%s: a HAR is offered without HTTP", lab)
		}
		return
	}
	var har harLog
	if err := json.Unmarshal(b.take("har"), &har); err != nil {
		t.Fatalf("%s: %v", lab, err)
	}
	if har.Log.Version == nil || *har.Log.Version != "1.2" || har.Log.Creator.Name == nil || har.Log.Creator.Version == nil || len(har.Log.Entries) != requests {
		t.Errorf("%s: version %v, %d entries, want %d", lab, har.Log.Version, len(har.Log.Entries), requests)
	}
	for i, e := range har.Log.Entries {
		for what, message := range map[string]harMessage{"request": e.Request.harMessage, "response": e.Response.harMessage} {
			if message.HTTPVersion == nil || message.Cookies == nil || len(message.Headers) == 0 || message.HeadersSize == nil || message.BodySize == nil {
				t.Errorf("%s: entry %d: %s is not whole", lab, i, what)
			}
		}
		if u, err := url.Parse(*e.Request.URL); err != nil || u.Host == "" || e.Request.Method == nil || e.Request.QueryString == nil {
			t.Errorf("%s: entry %d: URL %v, %v", lab, i, *e.Request.URL, err)
		}
		if r := e.Response; r.Status == nil || *r.Status < 200 || r.StatusText == nil || r.RedirectURL == nil || r.Content.Size == nil || r.Content.MimeType == nil {
			t.Errorf("%s: entry %d: the response is not whole", lab, i)
		}
		if e.StartedDateTime.IsZero() || e.Time == nil || *e.Time <= 0 || e.Cache == nil || e.Timings.Send == nil || e.Timings.Wait == nil || e.Timings.Receive == nil {
			t.Errorf("%s: entry %d: times or cache are missing", lab, i)
		}
	}
}

// checkPcapng has tshark read the packets: the same messages, sums that are right,
// nothing malformed.
func checkPcapng(t *testing.T, lab string, b *browser, events []traceEvent) {
	t.Helper()
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		if os.Getenv("TOPDOWN_REQUIRE_REAL") == "1" {
			t.Error("TOPDOWN_REQUIRE_REAL=1, but no tshark on this machine")
		}
		return
	}
	file := filepath.Join(t.TempDir(), "run.pcapng")
	writeFile(t, file, string(b.take("pcapng")))
	columns := []string{
		"http.request.method", "http.response.code", "udp.length", "tcp.len", // what the packets are
		"_ws.malformed", "tcp.analysis.flags", "tcp.checksum.status", "udp.checksum.status", "ip.checksum.status", // what is wrong with them
	}
	args := []string{
		"-r", file, "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE",
		"-d", "tcp.port==8899,http", "-d", "tcp.port==8080,http", "-T", "fields", "-E", "occurrence=f",
	}
	for _, column := range columns {
		args = append(args, "-e", column)
	}
	cmd := exec.Command(tshark, args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: tshark: %v", lab, err)
	}
	count := map[string]int{}
	for line := range strings.Lines(string(out)) {
		cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		for i, column := range columns {
			switch cell := cells[i]; {
			case cell == "" || column == "tcp.len" && cell == "0":
			case strings.HasSuffix(column, "checksum.status"):
				if cell == "0" { // bad; 1 is good, 2 not to be told, where the packet is cut
					t.Errorf("%s: tshark finds a wrong %s: %s", lab, column, line)
				}
			case strings.HasPrefix(column, "_ws") || strings.Contains(column, "analysis"):
				t.Errorf("%s: tshark finds fault with a packet, %s: %s", lab, column, line)
			default:
				count[column]++
			}
		}
	}
	var requests, responses, datagrams int
	for _, e := range events {
		first, _, _ := strings.Cut(e.Text, `\r\n`)
		switch {
		case e.From == "cache" || e.To == "cache":
		case e.What == "datagram":
			datagrams++
		case e.What == "line" && strings.HasPrefix(first, "HTTP/1."):
			responses++
		case e.What == "line" && strings.Contains(first, " HTTP/1."):
			requests++
		}
	}
	for column, want := range map[string]int{"http.request.method": requests, "http.response.code": responses, "udp.length": datagrams} {
		if count[column] != want {
			t.Errorf("%s: tshark sees %d times %s, want %d", lab, count[column], column, want)
		}
	}
	if lab == "smtpclient" {
		messages := 0
		for _, e := range events {
			if e.What == "line" || e.What == "bytes" {
				messages++
			}
		}
		if n := count["tcp.len"]; n < messages {
			t.Errorf("%s: tshark sees %d segments with content, want at least %d", lab, n, messages)
		}
	}
}

// TestTracePageTellsFaults: a trace that is cut, of another version, or none is told
// as such; and another host is not asked.
func TestTracePageTellsFaults(t *testing.T) {
	t.Parallel()
	b := openBrowser(t, 800, 600)
	root := t.TempDir()
	sample, err := os.ReadFile("../www/trace.html")
	if err != nil {
		t.Fatal(err)
	}
	const head = `{"trace":"topdown","version":1,"lab":"webserver","at":"server","start":"2026-11-21T13:00:00Z"}` + "\n"
	const event = `{"time":%d,"conversation":"1","from":"client","to":"server","what":"line","text":"GET / HTTP/1.1\\r\\n\\r\\n"}` + "\n"
	old := time.Now().Add(-time.Hour) // not being written any more
	for name, text := range map[string]string{
		"trace.html": string(sample), "favicon.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>",
		"cut.ndjson": head + fmt.Sprintf(event, 1) + `{"time":2,"conv`, "two.ndjson": `{"trace":"topdown","version":2}` + "\n",
		"none.ndjson": "hello\n", "empty.ndjson": "", "odd.ndjson": head + "{}\n" + fmt.Sprintf(event, 1),
	} {
		writeFile(t, filepath.Join(root, name), text)
		if err := os.Chtimes(filepath.Join(root, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, "--root", root)
	for file, want := range map[string]string{
		"cut.ndjson":                 "cut.ndjson: line 3 is cut in the middle; all before it is shown",
		"two.ndjson":                 "two.ndjson is a trace of version 2; this page reads version 1",
		"none.ndjson":                "none.ndjson is no trace",
		"empty.ndjson":               "empty.ndjson is empty",
		"odd.ndjson":                 "odd.ndjson: line 2 has no time, and is left out",
		"missing.ndjson":             "missing.ndjson cannot be read: 404 Not Found",
		"http://127.0.0.1:9/a":       "is not on this server",
		"//elsewhere.example/x.json": "is not on this server",
	} {
		b.openTrace(s, file)
		var told string
		b.eval(`document.getElementById("told").textContent`, &told)
		if !strings.Contains(told, want) {
			t.Errorf("%s: told %q, want %q", file, told, want)
		}
	}

	// A file that grows is followed.
	run := filepath.Join(root, "run.ndjson")
	writeFile(t, run, head+fmt.Sprintf(event, 1))
	b.openTrace(s, "run.ndjson")
	for n := 2; n <= 3; n++ {
		f, err := os.OpenFile(run, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(f, event, n)
		f.Close()
		eventually(t, fmt.Sprintf("event %d", n), func() bool {
			var events int
			b.eval(`+document.body.dataset.events`, &events)
			return events == n
		})
	}
}
