package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"topdown/udppinger/internal/ping"
	"topdown/udppinger/internal/socket"
	"topdown/udppinger/internal/wire"
	"topdown/udppinger/internal/wire/wiretest"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.ReplaceAll(string(want), "\r\n", "\n"), string(got)); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", name, diff)
	}
}

// act plays a run with a bit of everything to a view, on a clock of its own.
func act(t *testing.T, view View, extended bool) *Summary {
	t.Helper()
	start := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	s := NewSummary(Target{Name: "lab.example", Address: "192.0.2.7", Port: 8080, Bytes: 126, Count: 9, Timeout: time.Second}, start, 0)
	tracker := ping.NewTracker(wire.Format{Nonce: 1}, time.Second, 9, func(e ping.Event) {
		s.Observe(e)
		view.Event(s, e)
	})
	view.Begin(s)
	at := func(ms float64) time.Duration { return time.Duration(ms * 1e6) }
	var seen, answered uint64
	send := func(ms float64) []byte {
		_, message := tracker.Begin(at(ms), at(ms+0.02), start.Add(at(ms+0.02)))
		return bytes.Clone(message)
	}
	reply := func(ms, rtt float64, seq uint64, request []byte) []byte {
		b := bytes.ToUpper(request)
		if extended {
			b = wiretest.Reply(request, wire.Report{
				Received: start.Add(at(ms+rtt/2) + 5*time.Second), Residence: 3 * time.Microsecond,
				Count: uint32(seq), Answered: uint32(seq), Top: uint32(seq), SeenMask: seen, AnsMask: answered,
			})
		}
		return b
	}
	arrive := func(ms, rtt float64, data []byte) {
		tracker.Arrive(ping.Arrival{
			Data: data, From: "192.0.2.7", TTL: 57,
			Read: at(ms + 0.06 + rtt), Wall: start.Add(at(ms + 0.06 + rtt)), Stamp: start.Add(at(ms + 0.02 + rtt)),
		})
	}
	one := send(0)
	arrive(0, 0.123456, reply(0, 0.1, 1, one))
	two := send(1000) // lost until it comes late
	tracker.Expire(at(2010), 0)
	seen, answered = 0b11, 0b11
	three := send(2010)
	arrive(1000, 1012.5, reply(1000, 0.1, 2, two))
	arrive(2010, 12.5, reply(2010, 12.5, 3, three))
	arrive(2010, 13.5, reply(2010, 12.5, 3, three)) // duplicate
	four := send(2030)
	five := send(2031)
	seen, answered = 0b1111, 0b1111
	arrive(2031, 2.25, reply(2031, 2.25, 5, five))
	arrive(2030, 4.5, reply(2030, 4.5, 4, four))
	six := send(2040)
	damaged := reply(2040, 1, 6, six)
	damaged[8] ^= 2
	arrive(2040, 1, damaged)
	seven := send(2050)
	arrive(2050, 150, reply(2050, 150, 7, seven)[:64])
	send(2210)
	tracker.Expire(at(3230), 0)
	nine := send(3230)
	tracker.RefuseMessage(nine, syscall.ECONNREFUSED)
	tracker.Stray("192.0.2.9:53", []byte("hello\x1b[2J"), "not from the address that is being pinged")
	tracker.Finish()
	s.Counts = tracker.Counts
	s.Elapsed = at(3231)
	if err := view.End(s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestGoldenFormats(t *testing.T) {
	var out, list bytes.Buffer
	for name, view := range map[string]View{
		"lab.txt":     &Lab{W: &out},
		"explain.txt": &Lab{W: &out, Explain: true},
		"quiet.txt":   &Lab{W: &out, Quiet: true},
		"ping.txt":    &Ping{W: &out},
		"fping.txt":   &Fping{W: &out, Err: &list},
		"run.json":    &JSON{W: &out},
		"run.ndjson":  &NDJSON{W: &out},
		"run.csv":     &CSV{W: &out},
		"graph.txt":   &Graph{W: &out, Width: 80},
	} {
		t.Run(name, func(t *testing.T) {
			out.Reset()
			act(t, view, true)
			golden(t, name, out.Bytes())
		})
	}
	golden(t, "fping-stderr.txt", list.Bytes())
	out.Reset()
	act(t, &Lab{W: &out}, false)
	golden(t, "plain.txt", out.Bytes())
	out.Reset()
	s := act(t, &Lab{W: &bytes.Buffer{}}, true)
	if err := Table(&out, []*Summary{s, s}); err != nil {
		t.Fatal(err)
	}
	out.WriteString(StatusLine(s) + "\n")
	golden(t, "table.txt", out.Bytes())
}

// telegrafPing reads ping's output as telegraf's ping plugin does: it splits at
// ", " and " ", and finds the TTL with a regular expression.
func telegrafPing(t *testing.T, text string) (sent, received, ttl int, times []float64) {
	t.Helper()
	ttl = -1
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		return n
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case ttl < 0 && strings.Contains(line, "ttl="):
			ttl = number(regexp.MustCompile(`(ttl|hlim)=(\d+)`).FindStringSubmatch(line)[2])
		case strings.Contains(line, "transmitted") && strings.Contains(line, "received"):
			parts := strings.Split(line, ", ")
			sent = number(strings.Split(parts[0], " ")[0])
			received = number(strings.Split(parts[1], " ")[0])
		case strings.Contains(line, "min/avg/max"):
			for word := range strings.SplitSeq(strings.Split(line, " ")[3], "/") {
				v, err := strconv.ParseFloat(word, 64)
				if err != nil {
					t.Fatal(err)
				}
				times = append(times, v)
			}
		}
	}
	return sent, received, ttl, times
}

func TestTelegrafReadsPing(t *testing.T) {
	var out bytes.Buffer
	s := act(t, &Ping{W: &out}, true)
	sent, received, ttl, times := telegrafPing(t, out.String())
	if sent != 9 || received != 5 || ttl != 57 {
		t.Errorf("telegraf reads %d sent, %d received, TTL %d", sent, received, ttl)
	}
	want := []float64{ms(s.RTT.Min), ms(s.RTT.Mean()), ms(s.RTT.Max), ms(s.RTT.Deviation())}
	for i := range want {
		if i >= len(times) || times[i]-want[i] > 0.0006 || want[i]-times[i] > 0.0006 {
			t.Fatalf("telegraf reads times %v, want %v", times, want)
		}
	}
}

func TestSmokePingReadsFping(t *testing.T) {
	var list bytes.Buffer
	act(t, &Fping{W: &bytes.Buffer{}, Err: &list}, true)
	line := strings.TrimSuffix(list.String(), "\n")
	if !regexp.MustCompile(`^\S+\s+:\s+[\d\.]`).MatchString(line) {
		t.Fatalf("SmokePing passes over %q", line)
	}
	var times []string
	for _, word := range strings.Fields(line)[2:] {
		if regexp.MustCompile(`^\d`).MatchString(word) {
			times = append(times, word)
		}
	}
	if diff := cmp.Diff([]string{"0.123", "12.5", "4.50", "2.25"}, times); diff != "" {
		t.Errorf("times (-want +got):\n%s", diff)
	}
	if words := len(strings.Fields(line)); words != 2+9 {
		t.Errorf("%d words for 9 probes: %q", words, line)
	}
}

func TestJSONIsOneDocument(t *testing.T) {
	var out bytes.Buffer
	act(t, &JSON{W: &out}, true)
	var doc struct {
		RoundTrips []struct {
			Seqno int
			Lost  string
			Delay struct{ RTT *int64 }
		} `json:"round_trips"`
		Stats struct {
			Sent int `json:"packets_sent"`
			RTT  struct{ N, Min, Median int64 }
		}
	}
	if err := json.Unmarshal(out.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.RoundTrips) != 9 || doc.Stats.Sent != 9 || doc.Stats.RTT.N != 4 || doc.Stats.RTT.Min != 123456 {
		t.Errorf("document %+v", doc)
	}
	if rt := doc.RoundTrips[7]; rt.Lost != "true" || rt.Delay.RTT != nil {
		t.Errorf("the lost probe: %+v", rt)
	}
}

func TestNDJSONAndCSVAreWellFormed(t *testing.T) {
	var out bytes.Buffer
	act(t, &NDJSON{W: &out}, true)
	for line := range strings.Lines(out.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("line is not JSON: %s", line)
		}
	}
	out.Reset()
	act(t, &CSV{W: &out}, true)
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(rows) != 10 {
		t.Errorf("%d rows, %v; want 10", len(rows), err)
	}
}

func TestPlotWritesAPicture(t *testing.T) {
	for name, begins := range map[string]string{"run.svg": "<?xml", "run.png": "\x89PNG"} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil { // an older picture
			t.Fatal(err)
		}
		plot, err := NewPlot(path)
		if err != nil {
			t.Fatal(err)
		}
		act(t, plot, true)
		picture, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(picture, []byte(begins)) || len(picture) < 5000 || len(picture) == 1<<20 {
			t.Errorf("%s: %d bytes that begin with %q", name, len(picture), picture[:5])
		}
	}
}

// Runs without a single reply must be drawn too.
func TestDrawingNothing(t *testing.T) {
	s := NewSummary(Target{Name: "x", Address: "x"}, time.Now(), 0)
	var out bytes.Buffer
	for range 3 {
		s.Observe(ping.Event{Kind: ping.Final, Probe: ping.Probe{Verdict: ping.Lost}})
	}
	if err := (&Graph{W: &out, Width: 10}).End(s); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "lost x") {
		t.Errorf("graph:\n%s", out.String())
	}
	plot, err := NewPlot(filepath.Join(t.TempDir(), "p.png"))
	if err != nil {
		t.Fatal(err)
	}
	if err := plot.End(s); err != nil {
		t.Error(err)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestLiveLineIsDrawnSeldomAndTakenAway(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	live := &Live{W: &out, Now: func() time.Time { return now }, Screen: func() (int, int) { return 80, 24 }}
	s := NewSummary(Target{}, now, 0)
	s.Counts.Sent = 1
	for range 100 {
		now = now.Add(10 * time.Millisecond)
		live.Event(s, ping.Event{})
	}
	if n := strings.Count(out.String(), "\r"); n != 5 && n != 6 {
		t.Errorf("drawn %d times in a second", n)
	}
	if err := live.End(s); err != nil || !strings.HasSuffix(out.String(), " \r") {
		t.Errorf("the line stays: %q, %v", out.String(), err)
	}
}

func TestWriteErrorsAreReported(t *testing.T) {
	for name, view := range map[string]View{
		"lab": &Lab{W: brokenPipe{}}, "json": &JSON{W: brokenPipe{}}, "ndjson": &NDJSON{W: brokenPipe{}}, "csv": &CSV{W: brokenPipe{}}, "ping": &Ping{W: brokenPipe{}},
	} {
		s := NewSummary(Target{}, time.Now(), 0)
		view.Begin(s)
		if view.End(s) == nil {
			t.Errorf("%s: a failed write goes unnoticed", name)
		}
	}
}

// runWith is the summary of a run that ends with the given probes, one a second.
func runWith(t *testing.T, view View, play func(tracker *ping.Tracker, seq uint64, request []byte)) *Summary {
	t.Helper()
	start := time.Unix(1763679000, 0)
	s := NewSummary(Target{Name: "192.0.2.7", Address: "192.0.2.7", Port: 8080, Bytes: 126, Count: 4, Timeout: time.Second, TTL: 3}, start, 0)
	tracker := ping.NewTracker(wire.Format{Nonce: 1}, time.Second, 4, func(e ping.Event) {
		s.Observe(e)
		view.Event(s, e)
	})
	view.Begin(s)
	for i := range 4 {
		at := time.Duration(i) * time.Second
		tracker.Expire(at, 0)
		seq, request := tracker.Begin(at, at, start.Add(at))
		play(tracker, seq, bytes.Clone(request))
	}
	tracker.Expire(10*time.Second, 0)
	tracker.Finish()
	s.Counts = tracker.Counts
	if err := view.End(s); err != nil {
		t.Fatal(err)
	}
	return s
}

// A probe without a reply counts as lost, whatever became of it, and in every
// format alike: here one is answered, one is refused, one cannot be sent, and one
// times out.
func TestAllFormatsAgreeOnTheLoss(t *testing.T) {
	var out, list bytes.Buffer
	for name, tt := range map[string]struct {
		view View
		want []string
	}{
		"lab":    {&Lab{W: &out}, []string{"4 sent, 1 received, 3 lost (1 refused, 1 dropped by this host)", "Loss 75.0%"}},
		"ping":   {&Ping{W: &out}, []string{"4 packets transmitted, 1 received, +1 errors, 75% packet loss"}},
		"fping":  {&Fping{W: &out, Err: &list}, []string{"xmt/rcv/%loss = 4/1/75%"}},
		"json":   {&JSON{W: &out}, []string{`"lost_packets": 3`, `"packet_loss_percent": 75`, `"refused_packets": 1`}},
		"ndjson": {&NDJSON{W: &out}, []string{`"lost_packets":3`, `"packet_loss_percent":75`}},
	} {
		t.Run(name, func(t *testing.T) {
			out.Reset()
			s := runWith(t, tt.view, func(tracker *ping.Tracker, seq uint64, request []byte) {
				switch at := time.Duration(seq-1) * time.Second; seq {
				case 1:
					tracker.Arrive(ping.Arrival{Data: bytes.ToUpper(request), Read: at + time.Millisecond})
				case 2:
					tracker.RefuseMessage(request, syscall.ECONNREFUSED)
				case 3:
					tracker.Failed(seq, errors.New("no buffers"))
				}
			})
			for _, want := range tt.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is missing:\n%s", want, out.String())
				}
			}
			if name == "json" && strings.Count(out.String(), `"lost":"true"`) != 3 {
				t.Errorf("not every probe without a reply is lost:\n%s", out.String())
			}
			out.Reset()
			if err := Table(&out, []*Summary{s}); err != nil || !strings.Contains(out.String(), "3  75.0%") {
				t.Errorf("table, %v:\n%s", err, out.String())
			}
			if line := StatusLine(s); !strings.Contains(line, "75% loss") {
				t.Errorf("status line %q", line)
			}
		})
	}
}

// Who refused, and why, is said of the host that did: the port is closed only if
// the target itself says so.
func TestTheRightHostIsNamed(t *testing.T) {
	for _, tt := range []struct {
		name              string
		from              string
		kind, code        uint8
		lab, summary, png string
	}{
		{
			"closed", "192.0.2.7", 3, 3, "Sequence 1: Refused: the port is closed (ICMP port unreachable)",
			"The port is closed: is the server running on port 8080?", "From 192.0.2.7 icmp_seq=1 Destination Port Unreachable",
		},
		{
			"a firewall that says the port is unreachable", "10.77.1.254", 3, 3,
			"Sequence 1: From 10.77.1.254: port unreachable: a firewall on the way refuses (ICMP type 3 code 3)",
			"From 10.77.1.254: port unreachable: a firewall on the way refuses (ICMP type 3 code 3) (4 of the requests)",
			"From 10.77.1.254 icmp_seq=1 Destination Port Unreachable",
		},
		{
			"a firewall on the way", "10.77.1.254", 3, 13,
			"Sequence 1: From 10.77.1.254: administratively prohibited: a firewall on the way refuses (ICMP type 3 code 13)",
			"a firewall on the way refuses", "From 10.77.1.254 icmp_seq=1 Packet filtered",
		},
		{
			"a firewall on the host", "192.0.2.7", 3, 10,
			"Sequence 1: From 192.0.2.7: host administratively prohibited: a firewall on that host refuses (ICMP type 3 code 10)",
			"a firewall on that host refuses", "From 192.0.2.7 icmp_seq=1 Destination Host Prohibited",
		},
		{
			"an absent host", "10.77.1.254", 3, 1, "Sequence 1: From 10.77.1.254: host unreachable (ICMP type 3 code 1)",
			"From 10.77.1.254: host unreachable", "From 10.77.1.254 icmp_seq=1 Destination Host Unreachable",
		},
		{
			"too few hops", "10.77.3.1", 11, 0, "Sequence 1: From 10.77.3.1: TTL exceeded at hop 3 (ICMP type 11 code 0)",
			"TTL exceeded at hop 3", "From 10.77.3.1 icmp_seq=1 Time to live exceeded",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			refuse := func(tracker *ping.Tracker, _ uint64, request []byte) {
				tracker.RefuseMessage(request, &socket.ICMPError{
					From: netip.MustParseAddr(tt.from), Type: tt.kind, Code: tt.code, Errno: syscall.ECONNREFUSED,
				})
			}
			var lab, png, doc bytes.Buffer
			runWith(t, &Lab{W: &lab}, refuse)
			runWith(t, &Ping{W: &png}, refuse)
			runWith(t, &JSON{W: &doc}, refuse)
			for _, want := range []struct{ in, text string }{
				{lab.String(), tt.lab + "\n"},
				{lab.String(), tt.summary},
				{png.String(), tt.png + "\n"},
				{doc.String(), fmt.Sprintf(`"icmp":{"from":"%s","type":%d,"code":%d,"meaning":`, tt.from, tt.kind, tt.code)},
			} {
				if !strings.Contains(want.in, want.text) {
					t.Errorf("%q is missing:\n%s", want.text, want.in)
				}
			}
			if closed := strings.Contains(lab.String(), "is closed"); closed != (tt.name == "closed") {
				t.Errorf("the port is said to be closed: %v", closed)
			}
		})
	}
}
