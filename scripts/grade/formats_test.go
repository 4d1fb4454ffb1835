package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"topdown/scripts/grade/internal/report"
	"topdown/scripts/grade/internal/rubric"
)

// mixed is a report with one of everything.
func mixed() *rubric.Report {
	r := &rubric.Report{Lab: "webserver", Submission: "<b>Zoë</b>", Seed: 1, Millis: 1234}
	r.Add(rubric.Result{ID: "start", Title: "starts", Status: rubric.Passed, Points: 10, Max: 10, Millis: 5})
	r.Add(rubric.Result{
		ID: "hello", Title: "HelloWorld.html", Status: rubric.Failed, Max: 15, Expected: "the file", Seen: "<script>alert(1)</script>\n& more",
		Transcript: "      1 ms > GET / HTTP/1.1\\r\\n\n", RFC: "RFC 9112, 6", Hint: "a hint", Try: "curl",
	})
	r.Add(rubric.Result{ID: "traversal", Title: "root", Status: rubric.Skipped, Max: 10, Seen: "needs \"hello\""})
	r.Add(rubric.Result{ID: "methods", Title: "HEAD", Status: rubric.Passed, Bonus: true, Points: 5, Max: 5})
	r.Add(rubric.Result{ID: "keepalive", Title: "two", Status: rubric.Failed, Bonus: true, Max: 5, Seen: "closed"})
	return r
}

// valid checks JSON against a schema that was written from the format's
// documentation.
func valid(t *testing.T, format string, text []byte) {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join("testdata", "schema", format+".json"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	if err := schema.Validate(v); err != nil {
		t.Errorf("%s: %v", format, err)
	}
}

func write(t *testing.T, format string, r *rubric.Report) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := report.Formats()[format](&b, r); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestFormatsFollowTheirDocumentation(t *testing.T) {
	empty := &rubric.Report{Lab: "webserver", Problem: "it does not compile"}
	for _, format := range []string{"gradescope", "classroom50"} {
		valid(t, format, write(t, format, mixed()))
		valid(t, format, write(t, format, empty))
	}
	var b bytes.Buffer
	if code := run(t.Context(), []string{"grade", "webserver", "--format", "github", "--cmd", "python3 web.py {port}"}, &b, os.Stderr); code != exitFull {
		t.Fatalf("exit code %d", code)
	}
	valid(t, "github", b.Bytes())

	var sums struct {
		Score float64
		Tests []struct {
			Score    float64 `json:"score"`
			MaxScore float64 `json:"max_score"`
		}
	}
	if err := json.Unmarshal(write(t, "gradescope", mixed()), &sums); err != nil {
		t.Fatal(err)
	}
	score, most := 0.0, 0.0
	for _, test := range sums.Tests {
		score, most = score+test.Score, most+test.MaxScore
	}
	if sums.Score != 15 || score != 15 || most != 35 {
		t.Errorf("score %v, tests %v of %v; 15, and 15 of 35 (bonus on top) are expected", sums.Score, score, most)
	}

	if err := xml.Unmarshal(write(t, "junit", mixed()), new(any)); err != nil {
		t.Errorf("junit: %v", err)
	}
	tap := string(write(t, "tap", mixed()))
	var lines []string
	for line := range strings.Lines(tap) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	want := []string{
		"TAP version 13", "1..5", "ok 1 - start (10/10) starts", "not ok 2 - hello (0/15) HelloWorld.html",
		"ok 3 - traversal (0/10) root # SKIP needs \"hello\"", "ok 4 - methods (5/5) HEAD", "not ok 5 - keepalive (0/5) two # TODO bonus",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("tap (-want +got):\n%s", diff)
	}
	html := string(write(t, "html", mixed()))
	if strings.Contains(html, "<script>alert") || strings.Contains(html, "<b>Zo") || strings.Contains(html, "src=") || strings.Contains(html, "http://") {
		t.Error("html: what a submission says is not escaped, or the page is not self-contained")
	}
}

// The samples in the guide are as the formats are.
func TestSamplesInTheGuide(t *testing.T) {
	guide, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"gradescope", "github", "classroom50"} {
		m := regexp.MustCompile("(?s)<!-- sample: " + format + " -->\n```json\n(.*?)```").FindSubmatch(guide)
		if m == nil {
			t.Errorf("README.md has no sample of %s", format)
			continue
		}
		valid(t, format, m[1])
	}
}

func TestRubricsSumTo100(t *testing.T) {
	for _, lab := range labNames() {
		r, _, err := checksOf(lab, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0
		seen := map[string]bool{}
		for _, c := range r.Checks {
			if !c.Bonus {
				sum += c.Points
			}
			if seen[c.ID] || c.Stage < 1 || c.Stage > len(r.Stages) || c.Title == "" || c.Requirement == "" || c.Hint == "" || c.Try == "" {
				t.Errorf("%s.%s: doubled or incomplete", lab, c.ID)
			}
			seen[c.ID] = true
			for _, need := range c.Needs {
				if !seen[need] {
					t.Errorf("%s.%s needs %q, which does not come before it", lab, c.ID, need)
				}
			}
		}
		if sum != 100 {
			t.Errorf("%s: %d points", lab, sum)
		}
	}
}

func TestRubricFileChangesPointsAndLeavesOut(t *testing.T) {
	r, _, err := checksOf("webserver", "[webserver.hello]\npoints = 40\n[webserver.keepalive]\nskip = true\n[udppinger.ten]\npoints = 1\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Checks {
		if c.ID == "keepalive" || c.ID == "hello" && c.Points != 40 {
			t.Errorf("%s has %d points", c.ID, c.Points)
		}
	}
	for text, want := range map[string]string{
		"[webserver.helo]\npoints = 1":   `webserver.helo: there is no such check`,
		"[webserver.hello]\npoint = 1":   `webserver.hello.point: a check has points`,
		"[webserver.hello]\npoints = -1": `0 or more is expected`,
	} {
		if _, _, err := checksOf("webserver", text, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; %q is expected", text, err, want)
		}
	}
}

func TestMistakesOnTheCommandLine(t *testing.T) {
	for args, want := range map[string]string{
		"webserverr":                                "there is no lab \"webserverr\"",
		"webserver --frobnicate":                    "unknown flag --frobnicate",
		"webserver --cmd":                           "--cmd needs a value",
		"webserver --stage 9":                       "a number from 1 to 6 is expected",
		"webserver --stage x":                       "--stage \"x\": a whole number is expected",
		"webserver --timeout soon":                  "--timeout \"soon\": a time is expected",
		"webserver --check nope":                    "there is no such check",
		"webserver --format nope":                   "one of text, json",
		"webserver --also nope=x":                   "NAME one of client",
		"webserver extra":                           "unexpected argument",
		"udppingserver --rate 2":                    "a share is expected",
		"compare a":                                 "two folders",
		"compare --lab webserver --cmd x nope nope": "no such folder",
		"webserver --cmd x --addr localhost:1":      "one of the two",
		"webserver --dir .":                         "--dir needs --cmd",
	} {
		var b bytes.Buffer
		code := run(t.Context(), append([]string{"grade"}, strings.Fields(args)...), &b, &b)
		if code != exitUsage || !strings.Contains(b.String(), want) {
			t.Errorf("grade %s: exit code %d, %s; %q is expected", args, code, b.String(), want)
		}
	}
}

func TestListShowsEveryCheck(t *testing.T) {
	for _, lab := range labNames() {
		var b bytes.Buffer
		if code := run(t.Context(), []string{"grade", lab, "--list"}, &b, &b); code != exitFull {
			t.Errorf("exit code %d", code)
		}
		r, _, _ := checksOf(lab, "", nil)
		for _, id := range r.IDs() {
			if !strings.Contains(b.String(), fmt.Sprintf(" %s ", id)) {
				t.Errorf("%s: %s is not in the list", lab, id)
			}
		}
	}
}
