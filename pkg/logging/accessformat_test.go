package logging

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCombined(t *testing.T) {
	at := time.Date(2026, 11, 20, 22, 41, 0, 0, time.FixedZone("", -5*3600))
	const when = ` [20/Nov/2026:22:41:00 -0500] `
	tests := map[string]struct {
		entry AccessEntry
		want  string
	}{
		"everything": {
			AccessEntry{
				Remote: "2001:db8::1", User: "ada", Method: "POST", Target: "/a?q=1", Minor: 0,
				Status: 404, Bytes: 1 << 40, Referer: "https://example.org/", UserAgent: "curl/8",
			},
			`2001:db8::1 - ada` + when + `"POST /a?q=1 HTTP/1.0" 404 1099511627776 "https://example.org/" "curl/8"`,
		},
		"a proxy's": {
			AccessEntry{Remote: "192.0.2.1", Method: "GET", Target: "http://a/b", Minor: 1, Status: 200, Bytes: 3, Result: "hit"},
			`192.0.2.1 - -` + when + `"GET http://a/b HTTP/1.1" 200 3 "-" "-" hit`,
		},
		"not understood": {AccessEntry{Remote: "192.0.2.1", Status: 400}, `192.0.2.1 - -` + when + `"-" 400 0 "-" "-"`},
		"hostile": {
			AccessEntry{
				User: "a b] \"", Method: "GET", Target: `/"\é`, Minor: 1, Status: 200,
				Referer: "x\" 200 0 \"\n1.2.3.4 - -", UserAgent: "\x1b[31m\x00\x7f\xff",
			},
			`- - a\x20b]\x20\x22` + when + `"GET /\x22\x5C\xC3\xA9 HTTP/1.1" 200 0 ` +
				`"x\x22 200 0 \x22\x0A1.2.3.4 - -" "\x1B[31m\x00\x7F\xFF"`,
		},
		"too long": {
			AccessEntry{Method: "GET", Target: "/", Minor: 1, Status: 200, UserAgent: strings.Repeat("u", maxQuoted+1)},
			`- - -` + when + `"GET / HTTP/1.1" 200 0 "-" "` + strings.Repeat("u", maxQuoted) + `"`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.entry.Time = at
			got := appendCombined(nil, &test.entry, new(stamp))
			if diff := cmp.Diff(test.want+"\n", string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestJSON(t *testing.T) {
	e := AccessEntry{
		Remote: "192.0.2.1", User: "ada", Time: time.Date(2026, 11, 20, 22, 41, 0, 0, time.UTC),
		Method: "GET", Target: "/é\"\\\xff\u202e\U000e0001", Minor: 1, Status: 206, Bytes: 12,
		Referer: "\x00\n", Duration: 1500 * time.Microsecond, Result: "miss",
	}
	got := appendJSON(nil, &e, new(stamp))
	want := `{"time":"2026-11-20T22:41:00Z","remote":"192.0.2.1","user":"ada","method":"GET",` +
		`"target":"/é\"\\\\xFF\u202E\uDB40\uDC01","proto":"HTTP/1.1","status":206,"bytes":12,` +
		`"duration":0.001500,"referer":"\u0000\u000A","result":"miss"}` + "\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestIsPlain(t *testing.T) {
	for c := range 256 {
		for at := range 17 {
			b := []byte(strings.Repeat("a", 17))
			b[at] = byte(c)
			want := c >= ' ' && c < 0x7f && c != '"' && c != '\\'
			if got := isPlain(b); got != want {
				t.Errorf("byte %#x at %d: %v, want %v", c, at, got, want)
			}
		}
	}
}

func TestStampRendersEachSecondOnce(t *testing.T) {
	var s stamp
	at := time.Date(2026, 11, 20, 22, 41, 0, 0, time.UTC)
	for _, test := range []struct {
		at   time.Time
		want string
	}{
		{time.Unix(0, 0).UTC(), "01/Jan/1970:00:00:00 +0000"},
		{at, "20/Nov/2026:22:41:00 +0000"},
		{at.Add(999 * time.Millisecond), "20/Nov/2026:22:41:00 +0000"},
		{at.Add(time.Second), "20/Nov/2026:22:41:01 +0000"},
		{at, "20/Nov/2026:22:41:00 +0000"},
	} {
		if got := string(s.append(nil, test.at, Combined)); got != test.want {
			t.Errorf("%v: %s, want %s", test.at, got, test.want)
		}
	}
}

var combinedLine = regexp.MustCompile(`^[!-~]+ - [!-~]+ \[[^\]]+\] "[^"]*" \d{3} \d+ "[^"]*" "[^"]*"\n$`)

func FuzzFormats(f *testing.F) {
	f.Add("192.0.2.1", "ada", "GET", "/", "https://example.org", "curl/8")
	f.Add("", "a b", "G\"", "/\\\n\r\x00", "\xff\xfe", "\u2028\U000e0001\u009b")
	f.Fuzz(func(t *testing.T, remote, user, method, target, referer, agent string) {
		e := AccessEntry{
			Remote: remote, User: user, Method: method, Target: target, Referer: referer, UserAgent: agent,
			Time: time.Unix(1795214460, 0).UTC(), Status: 200, Minor: 1,
		}
		if line := appendCombined(nil, &e, new(stamp)); !combinedLine.Match(line) {
			t.Errorf("combined: %q", line)
		}
		line := string(appendJSON(nil, &e, new(stamp)))
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		if strings.Count(line, "\n") != 1 {
			t.Errorf("more than a line: %q", line)
		}
		if valid := strings.ToValidUTF8(target, ""); valid == target && len(target) <= maxText && target != "" && object["target"] != target {
			t.Errorf("target %q came back as %q", target, object["target"])
		}
	})
}

// TestGoaccessReadsTheLog has a log analyser parse lines of every kind.
func TestGoaccessReadsTheLog(t *testing.T) {
	goaccess, err := exec.LookPath("goaccess")
	if err != nil {
		if os.Getenv("TOPDOWN_REQUIRE_REAL") == "1" {
			t.Fatal("goaccess is not installed: apt-get install goaccess")
		}
		t.Skip("goaccess is not installed")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "access.log")
	l := open(t, path, AccessOptions{})
	now := time.Now()
	entries := []AccessEntry{
		{Remote: "192.0.2.1", Method: "GET", Target: "/", Status: 200, Bytes: 12},
		{Remote: "2001:db8::1", User: "a b", Method: "GET", Target: `/q?"x"=\`, Status: 304},
		{Remote: "192.0.2.1", Status: 400, Bytes: 99},
		{Remote: "192.0.2.1", Method: "HEAD", Target: "/é\x7f", Status: 404, Referer: "\"\n", UserAgent: "\" - \\"},
		{Remote: "192.0.2.1", Method: "OPTIONS", Target: "*", Status: 204, UserAgent: "Mozilla/5.0 (X11; Linux x86_64)"},
	}
	for i := range entries {
		entries[i].Time, entries[i].Minor = now, 1
		l.Append(&entries[i])
	}
	if err = l.Close(); err != nil {
		t.Fatal(err)
	}
	invalid, report := filepath.Join(dir, "invalid.log"), filepath.Join(dir, "report.json")
	cmd := exec.CommandContext(t.Context(), goaccess, path, "--log-format=COMBINED", "--no-global-config",
		"--invalid-requests="+invalid, "-o", report)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("goaccess: %v\n%s", err, out)
	}
	data, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	var parsed struct {
		General struct {
			Valid  int `json:"valid_requests"`
			Failed int `json:"failed_requests"`
		}
	}
	if err := json.Unmarshal(data, &parsed); err != nil {
		t.Fatal(err)
	}
	if parsed.General.Valid != len(entries) || parsed.General.Failed != 0 {
		bad, _ := os.ReadFile(invalid)
		t.Errorf("goaccess: %+v, want %d valid; it could not read:\n%s", parsed.General, len(entries), bad)
	}
}
