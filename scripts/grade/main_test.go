package main

import (
	"context"
	"flag"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"topdown/scripts/grade/internal/report"
	"topdown/scripts/grade/internal/rubric"
	"topdown/scripts/grade/internal/sandbox"
	"topdown/scripts/grade/internal/submission"
)

// TestMain lets the test binary be worker and launcher, as the program is.
func TestMain(m *testing.M) {
	sandbox.Hook()
	if len(os.Args) > 2 && os.Args[1] == sandbox.WorkerArg {
		os.Exit(runWorker(os.Args[2:]))
	}
	if os.Getenv("GRADE_RUN_MAIN") != "" {
		os.Exit(run(context.Background(), append([]string{"grade"}, os.Args[1:]...), os.Stdout, os.Stderr))
	}
	// Most of the time is waiting: more at once than there are processors.
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue || f.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		if err := flag.Set("test.parallel", "8"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// requireReal reports whether what is missing here is a failure.
func requireReal() bool { return os.Getenv("TOPDOWN_REQUIRE_REAL") == "1" }

// best is found out by trying: once.
var best = sync.OnceValue(sandbox.Best)

// bestGrader grades as the program does by default.
func bestGrader() grader { return grader{isolation: best(), total: 3 * time.Minute} }

// gradeAs grades until the report is as expected, three times at most: again only
// where two programs and more wait for each processor, as what measures time may then
// fail by the machine's fault.
func gradeAs(t *testing.T, spec submission.Spec, expected func(*rubric.Report) bool) (r *rubric.Report) {
	t.Helper()
	for range 3 {
		r = bestGrader().grade(t.Context(), spec, nil)
		if expected(r) || submission.Patience() < 10*time.Second {
			break
		}
	}
	return r
}

// unixOnly skips where the programs under test cannot be run the way they are.
func unixOnly(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("runs programs through /bin/sh")
	}
}

// plainSpec is what the command line gives without flags.
func plainSpec(lab string) submission.Spec {
	return submission.Spec{
		Lab: lab, Name: lab, Seed: 1, Timeout: 5 * time.Second, Loss: []float64{4.0 / 11, 0.3}, Also: map[string]string{},
	}
}

// failing shows the reports of what failed, when a test does.
func failing(t *testing.T, r *rubric.Report) {
	t.Helper()
	t.Logf("%s", report.String(r))
}

func TestOwnLabsScoreFullWithBonus(t *testing.T) {
	unixOnly(t)
	t.Parallel()
	for _, name := range labNames() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, err := buildOwn(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			spec := plainSpec(name)
			spec.Dir, spec.Command, spec.Also = dir, labs()[name].command, labs()[name].also
			full := func(r *rubric.Report) bool { return r.Problem == "" && r.Score == 100 && r.Bonus == r.BonusMax }
			if r := gradeAs(t, spec, full); !full(r) {
				failing(t, r)
				t.Errorf("%d of %d points, bonus %d of %d; full is expected", r.Score, r.Max, r.Bonus, r.BonusMax)
			}
		})
	}
}
