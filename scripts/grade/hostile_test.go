package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"topdown/scripts/grade/internal/report"
	"topdown/scripts/grade/internal/rubric"
)

// grading grades a shell script as a web server, and reports how long it took.
func grading(t *testing.T, script string) *rubric.Report {
	t.Helper()
	unixOnly(t)
	spec := plainSpec("webserver")
	spec.Dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(spec.Dir, "server.sh"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	spec.Command = "sh server.sh {port}"
	g := bestGrader()
	g.total = 2 * time.Minute
	r := g.grade(t.Context(), spec, nil)
	all, _, err := checksOf("webserver", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Results) != len(all.Checks) {
		t.Errorf("%d results of %d checks", len(r.Results), len(all.Checks))
	}
	if r.Score != 0 || r.Bonus != 0 {
		failing(t, r)
		t.Errorf("%d points and %d bonus for nothing", r.Score, r.Bonus)
	}
	return r
}

// remains lists the processes whose command line has the mark.
func remains(mark string) (list []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && strings.Contains(string(text), mark) {
			list = append(list, strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return list
}

func linuxOnly(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("limits and namespaces are Linux's")
	}
}

func TestForksAreBoundedAndEnded(t *testing.T) {
	linuxOnly(t)
	mark := fmt.Sprintf("98765.%d1", os.Getpid())
	grading(t, "i=0; while [ $i -lt 2000 ]; do sleep "+mark+" & i=$((i+1)); done; wait\n")
	if left := remains(mark); len(left) > 0 {
		t.Errorf("%d processes are left: %s", len(left), left[0])
	}
}

func TestDaemonsAreEnded(t *testing.T) {
	linuxOnly(t)
	t.Parallel()
	mark := fmt.Sprintf("98765.%d2", os.Getpid())
	grading(t, "(setsid sh -c 'trap \"\" TERM INT HUP; sleep "+mark+"; sleep "+mark+"' &) >/dev/null 2>&1\ntrap '' TERM INT HUP\nwhile :; do sleep "+mark+"; done\n")
	if left := remains(mark); len(left) > 0 {
		t.Errorf("%d processes are left: %s", len(left), left[0])
	}
}

func TestEndlessOutputIsBounded(t *testing.T) {
	r := grading(t, "line=$(printf '%01000d' 0)\nwhile :; do echo $line$line$line$line; done\n")
	for _, res := range r.Results {
		if len(res.Seen)+len(res.Transcript) > 256<<10 {
			t.Errorf("%s: %d bytes", res.ID, len(res.Seen)+len(res.Transcript))
		}
	}
}

func TestFakeResultsAreNoResults(t *testing.T) {
	fake := `{"Result":{"id":"hello","status":"passed","points":100,"max":100}}`
	r := grading(t, "for fd in 1 2 3 4 5 6 7; do (echo '"+fake+"' >&$fd) 2>/dev/null; done\n"+
		"for pid in 1 $PPID; do for fd in 1 2 3 4 5; do (echo '"+fake+"' > /proc/$pid/fd/$fd) 2>/dev/null; done; done\n"+
		"printf '\\033[2J\\033]0;title\\007\\342\\200\\256'; echo 'webserver: 100 of 100 points'; kill -9 0\n")
	for _, res := range r.Results {
		if res.Status == rubric.Passed {
			t.Errorf("%s passed", res.ID)
		}
	}
	for name := range report.Formats() {
		if text := write(t, name, r); bytes.ContainsAny(text, "\x1b\x07\u202e") || !bytes.Contains(text, []byte("webserver")) {
			t.Errorf("%s: it commands a terminal: %q", name, text)
		}
	}
}

// One line of 12 MiB on the wire.
func TestAnEndlessLineIsBounded(t *testing.T) {
	t.Parallel()
	text := strings.Replace(zooFile(t, "webserver", "right.py"), `"HTTP/1.1 " + status`, `"HTTP/1.1 " + "A" * (12 << 20) + status`, 1)
	spec := zooSpec(t, "webserver", "right.py", text)
	spec.Only = []string{"status", "missing"}
	r := bestGrader().grade(t.Context(), spec, nil)
	for _, format := range []string{"json", "html"} {
		if n := len(write(t, format, r)); r.Score != 0 || n > 256<<10 {
			t.Errorf("%d points, %d bytes of %s", r.Score, n, format)
		}
	}
}

func TestTheGradersFilesAreOutOfReach(t *testing.T) {
	linuxOnly(t)
	secret := filepath.Join(t.TempDir(), "results.json")
	if err := os.WriteFile(secret, []byte("the-grades-of-others"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := grading(t, "cat "+secret+" 2>&1; (echo mine > "+secret+") 2>/dev/null; rm -f "+secret+" 2>/dev/null; kill -9 $PPID 1 2>/dev/null; exit 0\n")
	text, err := os.ReadFile(secret)
	if bestGrader().isolation == "none" {
		t.Skip("without namespaces and another user the files are only guarded by being written last")
	}
	if err != nil || string(text) != "the-grades-of-others" {
		t.Errorf("the file is now %q, %v", text, err)
	}
	if os.Getuid() == 0 {
		for _, res := range r.Results {
			if strings.Contains(res.Seen, "the-grades-of-others") {
				t.Errorf("%s: the file was read", res.ID)
			}
		}
	}
}
