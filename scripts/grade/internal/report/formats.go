package report

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"topdown/scripts/grade/internal/rubric"
)

// A Writer writes a report in one format.
type Writer func(io.Writer, *rubric.Report) error

// Formats returns the formats by name.
func Formats() map[string]Writer {
	return map[string]Writer{
		"text": func(w io.Writer, r *rubric.Report) error {
			_, err := io.WriteString(w, String(r))
			return err
		},
		"json":        func(w io.Writer, r *rubric.Report) error { return writeJSON(w, r) },
		"junit":       JUnit,
		"tap":         TAP,
		"gradescope":  Gradescope,
		"classroom50": Classroom50,
		"html":        HTML,
	}
}

// Save writes a report to a file, whole or not at all.
func Save(file string, r *rubric.Report, write Writer) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), ".grade-")
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	err = write(tmp, r)
	if cerr := tmp.Chmod(0o644); err == nil {
		err = cerr
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// explain is one result as plain text, for formats with a place for it.
func explain(r rubric.Result) string {
	var b strings.Builder
	Text{W: &b}.Result(r)
	return b.String()
}

// A gradescopeTest is one of the tests in results.json.
type gradescopeTest struct {
	Score      int      `json:"score"`
	MaxScore   int      `json:"max_score"`
	Status     string   `json:"status"`
	Name       string   `json:"name"`
	Number     string   `json:"number"`
	Output     string   `json:"output"`
	Tags       []string `json:"tags"`
	Visibility string   `json:"visibility"`
}

// Gradescope writes results.json as its autograder documentation has it.
func Gradescope(w io.Writer, r *rubric.Report) error {
	tests := []gradescopeTest{}
	for i, res := range r.Results {
		t := gradescopeTest{
			Score: res.Points, MaxScore: res.Max, Status: "failed",
			Name: res.Title, Number: fmt.Sprint(i + 1), Output: explain(res),
			Tags: []string{r.Lab, res.ID, string(res.Status)}, Visibility: "visible",
		}
		if res.Status == rubric.Passed {
			t.Status = "passed"
		}
		if res.Bonus {
			t.Name += " (bonus)"
			// Bonus points come on top of the assignment's 100.
			t.MaxScore, t.Tags = 0, append(t.Tags, "bonus")
			if res.Points == 0 {
				t.Status = "passed" // nothing is lost
			}
		}
		tests = append(tests, t)
	}
	var summary strings.Builder
	Text{W: &summary}.Summary(r)
	return writeJSON(w, map[string]any{
		"score":             r.Score + r.Bonus,
		"execution_time":    float64(r.Millis) / 1000,
		"output":            summary.String(),
		"visibility":        "visible",
		"stdout_visibility": "hidden",
		"extra_data":        map[string]any{"lab": r.Lab, "seed": r.Seed, "bonus": r.Bonus},
		"tests":             tests,
	})
}

// A classroomTest is one of the tests in Classroom 50's result.json.
type classroomTest struct {
	Name   string `json:"test-name"`
	Passed bool   `json:"passed"`
	Score  int    `json:"score"`
	Max    int    `json:"max-score"`
	Output string `json:"output,omitempty"`
}

// Classroom50 writes result.json after the contract of Classroom 50, the open
// successor of GitHub Classroom; who and what is graded stands in the environment
// that its runner sets.
func Classroom50(w io.Writer, r *rubric.Report) error {
	tests := []classroomTest{}
	score, most := 0, 0
	for _, res := range r.Results {
		if res.Bonus && res.Points == 0 {
			continue // or the sum to be reached would hold the bonus
		}
		t := classroomTest{Name: res.ID + ": " + res.Title, Passed: res.Status == rubric.Passed, Score: res.Points, Max: res.Max}
		if !t.Passed {
			t.Output = explain(res)
		}
		score, most = score+t.Score, most+t.Max
		tests = append(tests, t)
	}
	now := time.Now().UTC().Format(time.RFC3339)
	env := func(name, otherwise string) string {
		if v := os.Getenv(name); v != "" {
			return v
		}
		return otherwise
	}
	return writeJSON(w, map[string]any{
		"schema":          "classroom50/result/v1",
		"classroom":       env("CLASSROOM", "topdown"),
		"assignment":      env("ASSIGNMENT", r.Lab),
		"assignment_type": env("ASSIGNMENT_TYPE", "individual"),
		"owner":           env("OWNER", env("USERNAME", "unknown")),
		"submission":      env("SUBMISSION_TAG", "local"),
		"commit":          env("COMMIT_URL", ""),
		"release":         env("RELEASE_URL", ""),
		"review":          env("REVIEW_URL", env("COMMIT_URL", "")),
		"datetime":        now,
		"graded_at":       now,
		"score":           score,
		"max-score":       most,
		"tests":           tests,
	})
}

// JUnit's elements.
type (
	junitSuite struct {
		XMLName  xml.Name    `xml:"testsuite"`
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string       `xml:"classname,attr"`
		Name    string       `xml:"name,attr"`
		Time    string       `xml:"time,attr"`
		Failure *junitDetail `xml:"failure"`
		Skipped *junitDetail `xml:"skipped"`
	}
	junitDetail struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit writes the XML that build servers read.
func JUnit(w io.Writer, r *rubric.Report) error {
	s := junitSuite{Name: r.Lab, Tests: len(r.Results), Time: seconds(r.Millis)}
	for _, res := range r.Results {
		c := junitCase{Class: r.Lab, Name: res.ID + ": " + res.Title, Time: seconds(res.Millis)}
		switch {
		case res.Status == rubric.Skipped || res.Status == rubric.Failed && res.Bonus:
			s.Skipped++
			c.Skipped = &junitDetail{Message: res.Seen}
		case res.Status == rubric.Failed:
			s.Failures++
			c.Failure = &junitDetail{Message: fmt.Sprintf("%d points lost", res.Lost()), Text: explain(res)}
		}
		s.Cases = append(s.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(s); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func seconds(ms int64) string { return fmt.Sprintf("%.3f", float64(ms)/1000) }

// TAP writes the Test Anything Protocol, version 13.
func TAP(w io.Writer, r *rubric.Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "TAP version 13\n1..%d\n", len(r.Results))
	for i, res := range r.Results {
		mark, directive := "ok", ""
		switch {
		case res.Status == rubric.Skipped:
			directive = " # SKIP " + strings.ReplaceAll(res.Seen, "\n", " ")
		case res.Status == rubric.Failed && res.Bonus:
			mark, directive = "not ok", " # TODO bonus"
		case res.Status == rubric.Failed:
			mark = "not ok"
		}
		fmt.Fprintf(&b, "%s %d - %s (%d/%d) %s%s\n", mark, i+1, res.ID, res.Points, res.Max, res.Title, directive)
		if res.Status == rubric.Failed {
			for line := range strings.Lines(explain(res)) {
				b.WriteString("# " + line)
			}
		}
	}
	fmt.Fprintf(&b, "# %d of %d points, bonus %d of %d\n", r.Score, r.Max, r.Bonus, r.BonusMax)
	if r.Problem != "" {
		fmt.Fprintf(&b, "Bail out! %s\n", strings.ReplaceAll(r.Problem, "\n", " "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
