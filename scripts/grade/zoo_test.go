package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topdown/scripts/grade/internal/rubric"
	"topdown/scripts/grade/internal/submission"
)

// The zoo is a right program for each lab in three languages, the handout's
// skeleton filled in, and wrong programs: patches for a right one, each with one
// bug. A patch begins with the checks that the bug costs; where it names none, the
// program is right in another way.

// zooArgs are the arguments of a lab's programs in the zoo.
var zooArgs = map[string]string{
	"webserver":     "{port}",
	"udppinger":     "{host} {port}",
	"udppingserver": "{port}",
	"smtpclient":    "{host} {port} {from} {to} {subject} {body_file}",
	"proxyserver":   "{port}",
}

// zooSpec puts a program of the zoo into a folder of its own, and says how to run
// it. It skips where the language is missing, or is not asked for.
func zooSpec(t *testing.T, lab, file, text string) submission.Spec {
	t.Helper()
	unixOnly(t)
	spec := plainSpec(lab)
	spec.Dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(spec.Dir, file), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	args := zooArgs[lab]
	if file == "skeleton.py" && lab == "smtpclient" {
		args = "{host} {port}" // addresses and text are in the program
	}
	tool := "python3"
	switch filepath.Ext(file) {
	case ".py":
		spec.Command = "python3 " + file + " " + args
	case ".js":
		tool, spec.Command = "node", "node "+file+" "+args
	case ".c":
		tool = "gcc"
		spec.Compile, spec.Command = "gcc -O1 -w -o right right.c", "./right "+args
	case ".java":
		tool = "javac"
		spec.Compile = "javac Right.java"
		spec.Command = "java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto -cp . Right " + args
	}
	switch _, err := exec.LookPath(tool); {
	case err != nil && requireReal():
		t.Fatalf("%s is not installed: scripts/peers install grade", tool)
	case err != nil:
		t.Skipf("%s is not installed", tool)
	case tool != "python3" && !requireReal():
		t.Skipf("takes long: C, Java and Node are graded with TOPDOWN_REQUIRE_REAL=1")
	}
	return spec
}

// withoutBonus leaves the bonus checks out: they are for the labs of our own.
func withoutBonus(t *testing.T, lab string) string {
	t.Helper()
	r, _, err := checksOf(lab, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, c := range r.Checks {
		if c.Bonus {
			fmt.Fprintf(&b, "[%s.%s]\nskip = true\n", lab, c.ID)
		}
	}
	return b.String()
}

// zooFile reads a program of the zoo.
func zooFile(t *testing.T, lab, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "zoo", lab, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// applyPatch applies a unified diff; its hunks are found by their text.
func applyPatch(t *testing.T, text, patch string) string {
	t.Helper()
	for _, hunk := range strings.Split(patch, "\n@@")[1:] {
		_, hunk, _ = strings.Cut(hunk, "\n")
		var before, after strings.Builder
		for line := range strings.Lines(strings.TrimSuffix(hunk, "\n") + "\n") {
			if line[0] != '+' {
				before.WriteString(line[1:])
			}
			if line[0] != '-' {
				after.WriteString(line[1:])
			}
		}
		if strings.Count(text, before.String()) != 1 {
			t.Fatalf("the hunk fits %d places:\n%s", strings.Count(text, before.String()), hunk)
		}
		text = strings.Replace(text, before.String(), after.String(), 1)
	}
	return text
}

// A wrong program of the zoo.
type wrong struct {
	lab, name, file string
	loses           []string
	text            string
}

// wrongPrograms lists the zoo's wrong programs.
func wrongPrograms(t *testing.T) []wrong {
	t.Helper()
	files, err := filepath.Glob("testdata/zoo/*/*.patch")
	if err != nil {
		t.Fatal(err)
	}
	var all []wrong
	for _, file := range files {
		lab := filepath.Base(filepath.Dir(file))
		patch := zooFile(t, lab, filepath.Base(file))
		head, patch, _ := strings.Cut(patch, "\n\n")
		first, _, _ := strings.Cut(patch, "\n")
		w := wrong{lab: lab, name: strings.TrimSuffix(filepath.Base(file), ".patch"), file: strings.TrimPrefix(first, "--- ")}
		w.loses = strings.Fields(strings.TrimPrefix(head, "loses:"))
		w.text = applyPatch(t, zooFile(t, lab, w.file), patch)
		all = append(all, w)
	}
	return all
}

// lost lists the checks that cost points.
func lost(r *rubric.Report) []string {
	var ids []string
	for _, res := range r.Results {
		if !res.Bonus && res.Lost() > 0 {
			ids = append(ids, res.ID)
		}
	}
	sort.Strings(ids)
	return ids
}

func TestRightProgramsScoreFull(t *testing.T) {
	t.Parallel()
	for _, lab := range labNames() {
		for _, file := range []string{"right.py", "skeleton.py", "right.c", "Right.java", "right.js"} {
			if _, err := os.Stat(filepath.Join("testdata", "zoo", lab, file)); err != nil && file == "right.js" {
				continue // two labs have one
			}
			t.Run(lab+"/"+file, func(t *testing.T) {
				t.Parallel()
				spec := zooSpec(t, lab, file, zooFile(t, lab, file))
				spec.Rubric = withoutBonus(t, lab)
				full := func(r *rubric.Report) bool { return r.Problem == "" && r.Score == 100 }
				if r := gradeAs(t, spec, full); !full(r) {
					failing(t, r)
					t.Errorf("%d of %d points; 100 are expected", r.Score, r.Max)
				}
			})
		}
	}
}

// enough leaves out, where nothing real is asked for, what loses no check that
// one before it does not lose: every check still finds a program to fail.
func enough(all []wrong) []wrong {
	if requireReal() {
		return all
	}
	lost := map[string]bool{}
	return slices.DeleteFunc(all, func(w wrong) bool {
		found := false
		for _, check := range w.loses {
			found = found || !lost[w.lab+check]
			lost[w.lab+check] = lost[w.lab+check] || strings.HasSuffix(w.file, ".py") // others are skipped
		}
		return !found
	})
}

func TestWrongProgramsLoseJustTheirChecks(t *testing.T) {
	t.Parallel()
	all := wrongPrograms(t)
	if len(all) < 40 {
		t.Fatalf("only %d wrong programs", len(all))
	}
	for _, w := range enough(all) {
		t.Run(w.lab+"/"+w.name, func(t *testing.T) {
			t.Parallel()
			spec := zooSpec(t, w.lab, w.file, w.text)
			spec.Rubric = withoutBonus(t, w.lab)
			spec.Timeout = 3e9 // most of them are wrong by what they do, not by silence
			want := append([]string(nil), w.loses...)
			sort.Strings(want)
			r := gradeAs(t, spec, func(r *rubric.Report) bool { return r.Problem == "" && cmp.Equal(want, lost(r)) })
			if diff := cmp.Diff(want, lost(r)); r.Problem != "" || diff != "" {
				failing(t, r)
				t.Errorf("the checks that cost points (-want +got):\n%s", diff)
			}
			// Each failure says enough to mend it by.
			for _, res := range r.Results {
				if res.Status == rubric.Failed && (res.Expected == "" || res.Seen == "" || res.Hint == "" || res.Try == "" || res.Transcript == "") {
					t.Errorf("%s: the explanation is incomplete: %+v", res.ID, res)
				}
			}
		})
	}
}
