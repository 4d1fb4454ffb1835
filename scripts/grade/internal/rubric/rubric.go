// Package rubric is what grading consists of: checks as data, each with its
// points, the requirement that it stands for and the RFC's section, and the
// engine that runs them. It knows no lab.
package rubric

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"topdown/scripts/grade/internal/transcript"
)

// A Check is one thing that a submission must do.
type Check struct {
	ID          string
	Points      int
	Bonus       bool
	Stage       int      // the step of the textbook's order, from 1
	Title       string   // what is checked, in a few words
	Requirement string   // what the lab asks for
	RFC         string   // the section to read, if there is one
	Hint        string   // one hint, for when the failure has no better one
	Try         string   // the same thing with nc or curl
	Needs       []string // checks without which this one says nothing
	Again       int      // how often a failure is tried again: what measures time
	Run         func(*T) *Failure
}

// Prepared has before called ahead of each check, but for those named.
func Prepared(checks []Check, before func(*T) *Failure, but ...string) []Check {
	for i, c := range checks {
		if slices.Contains(but, c.ID) {
			continue
		}
		checks[i].Run = func(t *T) *Failure {
			if f := before(t); f != nil {
				return f
			}
			return c.Run(t)
		}
	}
	return checks
}

// A Rubric is all of a lab's checks.
type Rubric struct {
	Lab    string
	Stages []string // the names of the stages, from 1
	Checks []Check
	// Values for {placeholders} in Try, known when the lab is set up.
	Vars func() map[string]string
}

// T is what one run of a check is given.
type T struct {
	Log *transcript.Log
}

// A Failure says why a check failed.
type Failure struct {
	Expected, Seen string
	Hint, Try      string // instead of the check's own
	Skip           bool   // the check could not be made; Seen says why
}

// Failf returns a failure with what was expected and a formatted text of what
// was seen.
func Failf(expected, seen string, args ...any) *Failure {
	if len(args) > 0 {
		seen = fmt.Sprintf(seen, args...)
	}
	return &Failure{Expected: expected, Seen: seen}
}

// Skipf returns the reason for which a check could not be made.
func Skipf(format string, args ...any) *Failure {
	return &Failure{Skip: true, Seen: fmt.Sprintf(format, args...)}
}

// WithHint sets the hint.
func (f *Failure) WithHint(hint string) *Failure { f.Hint = hint; return f }

// A Status is what became of a check.
type Status string

// The statuses.
const (
	Passed  Status = "passed"
	Failed  Status = "failed"
	Skipped Status = "skipped"
)

// A Result is what became of one check.
type Result struct {
	ID          string `json:"id"`
	Title       string `json:"title"`
	Status      Status `json:"status"`
	Points      int    `json:"points"`
	Max         int    `json:"max"`
	Bonus       bool   `json:"bonus,omitempty"`
	Stage       int    `json:"stage"`
	Requirement string `json:"requirement"`
	Expected    string `json:"expected,omitempty"`
	Seen        string `json:"seen,omitempty"`
	Transcript  string `json:"transcript,omitempty"`
	RFC         string `json:"rfc,omitempty"`
	Hint        string `json:"hint,omitempty"`
	Try         string `json:"try,omitempty"`
	Millis      int64  `json:"ms"`
}

// Lost returns the points that the result costs.
func (r Result) Lost() int { return r.Max - r.Points }

// A Report is what became of a submission.
type Report struct {
	Lab        string   `json:"lab"`
	Submission string   `json:"submission,omitempty"`
	Score      int      `json:"score"`
	Max        int      `json:"max"`
	Bonus      int      `json:"bonus"`
	BonusMax   int      `json:"bonus_max"`
	Seed       uint64   `json:"seed"`
	Millis     int64    `json:"ms"`
	Problem    string   `json:"problem,omitempty"` // why grading could not begin, or ended early
	Stages     []string `json:"stages,omitempty"`
	Results    []Result `json:"results"`
}

// Add counts a result in.
func (r *Report) Add(res Result) {
	r.Results = append(r.Results, res)
	if res.Bonus {
		r.Bonus += res.Points
		r.BonusMax += res.Max
		return
	}
	r.Score += res.Points
	r.Max += res.Max
}

// Full reports whether nothing of the score without bonus is missing.
func (r *Report) Full() bool { return r.Problem == "" && r.Score == r.Max }

// Options select what of a rubric is run.
type Options struct {
	Only  []string // IDs; empty: all
	Stage int      // up to this stage, ending at the first that fails; 0: all
	// Transcripts keeps the transcripts of checks that passed, too.
	Transcripts bool
}

// selected reports whether the check is to be run.
func (o Options) selected(c Check) bool {
	if len(o.Only) > 0 {
		return slices.Contains(o.Only, c.ID)
	}
	return o.Stage == 0 || c.Stage <= o.Stage
}

// Run runs the checks one after another and gives each result to emit at once.
func Run(ctx context.Context, r *Rubric, opt Options, emit func(Result)) {
	status := map[string]Status{}
	failedStage := 0
	checks := r.Checks
	if opt.Stage > 0 {
		checks = byStage(checks)
	}
	for _, c := range checks {
		if !opt.selected(c) {
			continue
		}
		res := result(c)
		reason := ""
		for _, need := range c.Needs {
			if s, run := status[need]; run && s != Passed {
				reason = fmt.Sprintf("needs %q, which did not pass", need)
			}
		}
		if opt.Stage > 0 && failedStage > 0 && c.Stage > failedStage {
			reason = fmt.Sprintf("step %d comes first", failedStage)
		}
		switch {
		case ctx.Err() != nil:
			res.Status, res.Seen = Skipped, "not reached: the time for the whole submission was up"
		case reason != "":
			res.Status, res.Seen = Skipped, reason
		default:
			runCheck(ctx, c, &res, opt.Transcripts)
		}
		if r.Vars != nil {
			res.Try = fill(res.Try, r.Vars())
		}
		status[c.ID] = res.Status
		if res.Status == Failed && !res.Bonus && failedStage == 0 {
			failedStage = c.Stage
		}
		emit(res)
	}
}

func byStage(checks []Check) []Check {
	most := 0
	for _, c := range checks {
		most = max(most, c.Stage)
	}
	sorted := make([]Check, 0, len(checks))
	for stage := 0; stage <= most; stage++ {
		for _, c := range checks {
			if c.Stage == stage {
				sorted = append(sorted, c)
			}
		}
	}
	return sorted
}

func result(c Check) Result {
	return Result{
		ID: c.ID, Title: c.Title, Max: c.Points, Bonus: c.Bonus, Stage: c.Stage,
		Requirement: c.Requirement, RFC: c.RFC, Try: c.Try,
	}
}

func runCheck(ctx context.Context, c Check, res *Result, keep bool) {
	start := time.Now()
	defer func() { res.Millis = time.Since(start).Milliseconds() }()
	for try := 0; ; try++ {
		t := &T{Log: transcript.New()}
		f := c.Run(t)
		if keep {
			res.Transcript = t.Log.String()
		}
		if f == nil {
			res.Status, res.Points = Passed, c.Points
			return
		}
		if f.Skip {
			res.Status, res.Seen = Skipped, printable(f.Seen)
			return
		}
		if try < c.Again && ctx.Err() == nil {
			continue
		}
		res.Status = Failed
		res.Expected, res.Seen = printable(f.Expected), printable(f.Seen)
		res.Transcript = t.Log.String()
		res.Hint = first(f.Hint, c.Hint)
		res.Try = first(f.Try, c.Try)
		return
	}
}

// maxSeen is how much of what was seen is kept, in bytes.
const maxSeen = 8 << 10

// printable escapes what would do something to a terminal, and cuts what is longer
// than a reader wants: a part of it comes from the submission.
func printable(s string) string {
	var b strings.Builder
	for i, r := range s {
		if i >= maxSeen {
			fmt.Fprintf(&b, "… (%d more bytes)", len(s)-i)
			break
		}
		if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 {
			fmt.Fprintf(&b, `\x%02x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// Missing emits the selected checks that are not in have, without points.
func Missing(r *Rubric, opt Options, have map[string]bool, emit func(Result)) {
	for _, c := range r.Checks {
		if opt.selected(c) && !have[c.ID] {
			res := result(c)
			res.Status, res.Seen, res.Try = Skipped, "not reached", ""
			emit(res)
		}
	}
}
