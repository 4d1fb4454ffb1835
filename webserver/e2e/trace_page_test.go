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
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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

var labs = []string{"webserver", "udppinger", "udppingserver", "smtpclient", "proxyserver"}

// startTraces serves the sample site, or the directory that TOPDOWN_TRACES names: the
// same page with traces that have just been recorded.
func startTraces(t *testing.T) *server {
	t.Helper()
	if dir := os.Getenv("TOPDOWN_TRACES"); dir != "" {
		return start(t, "--root", dir)
	}
	return start(t)
}

// TestTracePage: a real browser draws the trace of each lab, arrow by arrow; keys step
// through it; the table says the same; what is exported is valid and whole.
func TestTracePage(t *testing.T) {
	t.Parallel()
	b := openBrowser(t, 1300, 900)
	s, axe := startTraces(t), axeScript(t)
	for _, lab := range labs {
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
		b.accessible(axe, lab+"'s table")
		b.eval(`document.getElementById("asDiagram").click()`, nil)

		b.accessible(axe, lab+"'s diagram")

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

	for _, colors := range []string{"light", "dark"} {
		b.dark(colors == "dark")
		b.resize(1300, 900)
		b.openTrace(s, "proxyserver.ndjson")
		b.eval(`for (let i = 0; i < 33; i++) hitKey("ArrowDown")`, nil)
		b.screenshot("trace-wide-" + colors)
		b.resize(390, 844)
		for _, lab := range labs {
			b.openTrace(s, lab+".ndjson")
			var wide int
			b.eval(`document.documentElement.scrollWidth`, &wide)
			if wide > 390 {
				t.Errorf("%s: on a phone the page is %d pixels wide", lab, wide)
			}
			if lab == "udppinger" {
				b.accessible(axe, lab+" on a phone, "+colors)
			}
			b.screenshot("trace-phone-" + colors + "-" + lab)
		}
	}
}

// TestTraceDrawing: what became of a message is seen, in the samples: the lost one ends
// half way, the late one crosses others, what is encrypted stands on grey, and a hit
// never reaches the origin.
func TestTraceDrawing(t *testing.T) {
	t.Parallel()
	b := openBrowser(t, 1300, 900)
	s := startTraces(t)
	const lines = `[...document.querySelectorAll("#draw g.arrow")].map(g => ({fate: g.querySelector(".fate")?.textContent || "",
		...Object.fromEntries(["x1", "y1", "x2", "y2"].map(a => [a, +g.querySelector("line").getAttribute(a)]))}))`
	type arrow struct {
		Fate           string
		X1, Y1, X2, Y2 float64
	}
	var arrows []arrow
	b.resize(1300, 3000)
	b.openTrace(s, "udppinger.ndjson")
	b.eval(lines, &arrows)
	var client, server float64
	b.eval(`geometry(stage.clientWidth).x.get("client")`, &client)
	b.eval(`geometry(stage.clientWidth).x.get("server")`, &server)
	fates := map[string]int{}
	for _, a := range arrows {
		fates[a.Fate]++
		low, high := min(a.X1, a.X2), max(a.X1, a.X2)
		switch {
		case a.Fate == "lost":
			if middle := (client + server) / 2; a.X2 < middle-2 || a.X2 > middle+2 {
				t.Errorf("a lost datagram ends at %v, half way is %v", a.X2, middle)
			}
		case low > client+12 || high < server-12:
			t.Errorf("an arrow from %v to %v does not reach from %v to %v", a.X1, a.X2, client, server)
		}
		crossed := 0
		for _, other := range arrows {
			// Two ways between the same columns cross if one begins above the other, and ends below it.
			if a != other && (a.X1 < a.X2) != (other.X1 < other.X2) && (a.Y1 < other.Y2) != (a.Y2 < other.Y1) {
				crossed++
			}
		}
		if a.Fate == "late" && crossed == 0 {
			t.Errorf("the late datagram at %v crosses no other", a.Y1)
		}
	}
	for _, fate := range []string{"lost", "late", "duplicate", "reordered"} {
		if fates[fate] == 0 {
			t.Errorf("no datagram is told to be %s: %v", fate, fates)
		}
	}

	// The server knows better: that datagram arrived, and was dropped on purpose.
	b.openTrace(s, "udppinger.ndjson", "udppingserver.ndjson")
	var purpose int
	b.eval(`[...document.querySelectorAll("#draw g.decision .fate")].filter(n => n.textContent.startsWith("lost: dropped on purpose")).length`, &purpose)
	if purpose == 0 {
		t.Error("with the server's file beside it, nothing is said to be dropped on purpose")
	}
	b.screenshot("trace-pair")

	b.openTrace(s, "smtpclient.ndjson")
	var bands, inside int
	b.eval(`document.querySelectorAll("#draw rect.tls").length`, &bands)
	b.eval(`(() => { const grey = [...document.querySelectorAll("#draw rect.tls")].map(r => [+r.getAttribute("y"), +r.getAttribute("y") + +r.getAttribute("height")]);
		return [...document.querySelectorAll("#draw g.arrow.line line")].filter(l => grey.some(g => +l.getAttribute("y1") > g[0] && +l.getAttribute("y2") < g[1])).length; })()`, &inside)
	encrypted, now := 0, map[string]bool{}
	for line := range strings.SplitSeq(string(s.get(t, "/smtpclient.ndjson").body), "\n") {
		var e struct{ Conversation, What, Text string }
		if json.Unmarshal([]byte(line), &e) != nil {
			continue
		}
		if e.What == "state" {
			now[e.Conversation] = e.Text == "tls"
		} else if e.What == "line" && now[e.Conversation] {
			encrypted++
		}
	}
	if bands != 2 || inside != encrypted || encrypted == 0 {
		t.Errorf("%d grey columns with %d lines in them, want 2 with %d", bands, inside, encrypted)
	}

	b.openTrace(s, "proxyserver.ndjson")
	var hits struct{ Told, Origin int }
	b.eval(`(() => {
		const hit = shown.filter(e => e.fate === "hit"), conversations = new Set(hit.map(e => e.conv));
		return {told: document.querySelectorAll("#draw circle.untouched").length, origin: shown.filter(e => conversations.has(e.conv) && (e.to === "origin" || e.from === "origin")).length, hits: hit.length};
	})()`, &hits)
	if hits.Told == 0 || hits.Origin != 0 {
		t.Errorf("hits: %d are seen not to reach the origin, %d messages reach it", hits.Told, hits.Origin)
	}
}

// TestTraceOfManyEvents: ten thousand stay fluid. What is measured is the page's own
// work for a picture while one scrolls and steps.
func TestTraceOfManyEvents(t *testing.T) {
	t.Parallel()
	b := openBrowser(t, 1300, 900)
	root := t.TempDir()
	page, err := os.ReadFile("../www/trace.html")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(root, "trace.html"), string(page))
	var text strings.Builder
	text.WriteString(`{"trace":"topdown","version":1,"lab":"proxyserver","at":"proxy","start":"2026-11-21T13:00:00Z"}` + "\n")
	for i := range 2500 {
		for j, e := range []string{
			`"from":"client","to":"proxy","what":"line","text":"GET /%d HTTP/1.1\\r\\nHost: example.test\\r\\n\\r\\n"`, `"from":"cache","what":"decision","text":"nothing is stored under /%d","rfc":9111,"section":"4"`,
			`"from":"proxy","to":"origin","what":"line","text":"GET /%d HTTP/1.1\\r\\n\\r\\n"`, `"from":"origin","to":"proxy","what":"line","text":"HTTP/1.1 200 OK\\r\\nETag: \"%d\"\\r\\n\\r\\n"`,
		} {
			fmt.Fprintf(&text, `{"time":%d,"conversation":"%d",`+e+"}\n", (4*i+j)*1000, i/10+1, i)
		}
	}
	writeFile(t, filepath.Join(root, "many.ndjson"), text.String())
	s := start(t, "--root", root)
	b.openTrace(s, "many.ndjson")
	// The time of the page's own thread, whatever else the machine does meanwhile.
	b.call("Performance.enable", map[string]any{"timeDomain": "threadTicks"})
	spent := func(script string) (ms float64) {
		t.Helper()
		busy := func() float64 {
			var r struct {
				Metrics []struct {
					Name  string
					Value float64
				}
			}
			b.get("Performance.getMetrics", nil, &r)
			for _, m := range r.Metrics {
				if m.Name == "TaskDuration" {
					return m.Value * 1000
				}
			}
			t.Fatal("the browser does not tell how long the page is busy")
			return 0
		}
		before := busy()
		b.eval(script, nil)
		return (busy() - before) / 60
	}
	scroll := spent(`(() => {
		const stage = document.getElementById("stage");
		for (let i = 0; i < 60; i++) { stage.scrollTop = i / 60 * stage.scrollHeight; draw(false); stage.getBoundingClientRect(); }
	})()`)
	step := spent(`(() => {
		const stage = document.getElementById("stage");
		for (let i = 0; i < 60; i++) { hitKey("ArrowDown"); stage.getBoundingClientRect(); }
	})()`)
	t.Logf("%.1f ms to draw anew, %.1f ms for a step", scroll, step)
	var events int
	b.eval("+document.body.dataset.events", &events)
	if events != 10_000 || scroll > 33 || step > 33 {
		t.Errorf("%d events, %.1f ms to draw anew, %.1f ms for a step: want 10,000, and thirty pictures a second", events, scroll, step)
	}
}

// diagrams are the pictures of README.md: which events of each lab's sample.
var diagrams = []struct{ lab, pick string }{
	{"webserver", `!events.slice(0, i + 1).some(e => /POST/.test(e.text))`},
	{"udppinger", `/^[1239]?$/.test(e.id || "")`},
	{"smtpclient", `e.conv === "1" && !/^250-(?!STARTTLS|.* greets)/.test(e.text)`},
	{"proxyserver", `e.conv === "1" || e.conv === "3"`},
}

// TestDiagrams: the pictures of README.md are those that the viewer makes of the
// samples. Fonts differ from machine to machine, and with them widths and where a text
// is cut, but not what is drawn. -update makes them anew.
func TestDiagrams(t *testing.T) {
	t.Parallel()
	for _, d := range diagrams {
		if _, err := os.Stat(filepath.Join("../..", d.lab, "go.mod")); err != nil {
			t.Skip("the web server stands alone here, without the other labs' pictures")
		}
	}
	b := openBrowser(t, 1300, 900)
	s := start(t)
	for _, d := range diagrams {
		b.openTrace(s, d.lab+".ndjson")
		b.eval(`(() => { const events = model.events; model.events = events.filter((e, i) => `+d.pick+`); arrange(); const real = geometry; geometry = () => real(900); })()`, nil)
		picture := b.take("svg")
		if len(picture) > 40_000 {
			t.Errorf("%s: the picture has %d bytes", d.lab, len(picture))
		}
		golden := filepath.Join("../..", d.lab, "diagram.svg")
		if *update {
			writeFile(t, golden, string(picture))
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := drawn(t, picture), drawn(t, want); !slices.EqualFunc(got, want, sameText) {
			t.Errorf("%s: the picture differs (scripts/traces draw makes it anew)\n%s", golden, cmp.Diff(want, got))
		}
	}
}

// drawn lists what a picture holds, in order: the class of each element that has one,
// and each text.
func drawn(t *testing.T, picture []byte) (list []string) {
	t.Helper()
	style := false
	for d := xml.NewDecoder(bytes.NewReader(picture)); ; {
		token, err := d.Token()
		switch token := token.(type) {
		case xml.StartElement:
			style = token.Name.Local == "style"
			for _, a := range token.Attr {
				if a.Name.Local == "class" {
					list = append(list, "class "+a.Value)
				}
			}
		case xml.CharData:
			if !style && len(bytes.TrimSpace(token)) > 0 {
				list = append(list, string(token))
			}
		}
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// sameText is true of a text and the same that is cut elsewhere.
func sameText(a, b string) bool {
	long, short := max(len(a), len(b)), min(len(a), len(b))
	for _, text := range []string{a, b} {
		if head, cut := strings.CutSuffix(text, "…"); cut {
			short = min(short, len(head))
		}
	}
	return a == b || long > short && short > 3 && a[:short] == b[:short] && (strings.HasSuffix(a, "…") || strings.HasSuffix(b, "…"))
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

// checkSchema has a validator of others find fault with a HAR.
func checkSchema(t *testing.T, lab string, har []byte) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat("/usr/share/nodejs/har-validator")
	}
	if err != nil {
		if os.Getenv("TOPDOWN_REQUIRE_REAL") == "1" {
			t.Errorf("TOPDOWN_REQUIRE_REAL=1, but no har-validator on this machine: %v", err)
		}
		return
	}
	const program = `let text = ""; process.stdin.on("data", d => text += d).on("end", () =>
		require("har-validator").har(JSON.parse(text)).catch(e => { console.log(JSON.stringify(e.errors)); process.exitCode = 1; }))`
	cmd := exec.Command(node, "-e", program)
	cmd.Env = append(os.Environ(), "NODE_PATH=/usr/share/nodejs")
	cmd.Stdin = bytes.NewReader(har)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: the HAR is not as its schema says: %v\n%s", lab, err, out)
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
	text := b.take("har")
	if err := json.Unmarshal(text, &har); err != nil {
		t.Fatalf("%s: %v", lab, err)
	}
	checkSchema(t, lab, text)
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

// opensHostile opens a trace whose every text is an attack: nothing of it runs or makes
// a request, on the page, in the table or in the picture; and none stops the page.
func (b *browser) opensHostile(s *server, root, head string) {
	t := b.t
	t.Helper()
	const attack = `<img src=/asked onerror="window.ran=1"><script>window.ran=1</script>"><svg onload="window.ran=1">`
	var lines strings.Builder
	lines.WriteString(head)
	add := func(fields map[string]any) {
		event := map[string]any{"time": 1, "conversation": attack, "from": "client", "to": "server", "what": "line", "text": attack}
		maps.Copy(event, fields)
		text, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(append(text, '\n'))
	}
	odd := []string{attack, "__proto__", "constructor", "javascript:window.ran=1"}
	for _, text := range odd {
		add(map[string]any{"from": text, "to": text + "2", "fate": text, "why": text, "section": text, "rfc": 9110, "step": text, "func": text, "file": text, "id": text})
		add(map[string]any{"what": "state", "text": text, "transport": text, "source": text, "destination": text})
		add(map[string]any{"what": "decision", "from": text, "to": ""})
	}
	add(map[string]any{"text": "GET /" + attack + " HTTP/1.1\\r\\nHost: " + attack + "\\r\\n\\r\\n"})
	good := 3*len(odd) + 1
	add(map[string]any{"time": 1e300})
	writeFile(t, filepath.Join(root, "hostile.ndjson"), lines.String())
	b.openTrace(s, "hostile.ndjson")
	var seen struct {
		Events, Shown int
		Told, Wrong   string
		Asked         []string
		Ran           bool
		Foreign       int
	}
	b.eval(`(async () => {
		let wrong = "";
		addEventListener("error", event => wrong += event.message + "; ");
		let shown = 0;
		for (let i = 0; i < +document.body.dataset.events; i++) { hitKey("ArrowDown"); shown += !!document.querySelector("#panel dl"); }
		for (const id of ["asTable", "asDiagram", "scaled", "more", "even"]) document.getElementById(id).click();
		for (const id of ["svg", "har", "pcapng"]) await take(id);
		const picture = new DOMParser().parseFromString(atob(await take("svg")), "image/svg+xml");
		await new Promise(done => setTimeout(done, 100));
		const all = [...document.querySelectorAll("body *"), ...picture.querySelectorAll("*")];
		return {
			Events: +document.body.dataset.events, Shown: shown, Told: document.getElementById("told").textContent, Wrong: wrong, Ran: !!window.ran,
			Asked: performance.getEntriesByType("resource").map(entry => new URL(entry.name).pathname),
			Foreign: all.filter(n => n.matches("img, image, iframe, foreignObject, svg script") || n.getAttribute("onload") || n.getAttribute("onerror") || /^javascript:/.test(n.getAttribute("href"))).length,
		};
	})()`, &seen)
	for _, path := range seen.Asked {
		if path != "/hostile.ndjson" && path != "/favicon.svg" {
			t.Errorf("a hostile trace made the page ask for %s", path)
		}
	}
	if seen.Ran || seen.Foreign > 0 || seen.Wrong != "" || seen.Events != good || seen.Shown != good || !strings.Contains(seen.Told, "has no time") {
		t.Errorf("a hostile trace of %d good events: %+v", good, seen)
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

	b.opensHostile(s, root, head)

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
