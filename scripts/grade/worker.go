package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
	"unicode"

	"topdown/scripts/grade/internal/rubric"
	"topdown/scripts/grade/internal/sandbox"
	"topdown/scripts/grade/internal/submission"
)

// A job is what a worker is told.
type job struct {
	submission.Spec

	Scratch string
	Total   time.Duration // for everything
}

// A message is what a worker tells.
type message struct {
	Stages  []string       `json:",omitempty"`
	Result  *rubric.Result `json:",omitempty"`
	Problem string         `json:",omitempty"`
	Done    bool           `json:",omitempty"`
}

// runWorker is the life of a worker, a process of its own for each submission. It
// ends when its standard input does: when the grader is gone.
func runWorker(args []string) int {
	degree := sandbox.Isolation(args[0])
	if len(args) > 1 && args[1] == "probe" {
		if _, err := sandbox.Enter(degree, ""); err != nil {
			return 1
		}
		return 0
	}
	// Standard output is the grader's: the programs that are graded have another.
	out := json.NewEncoder(os.Stdout)
	tell := func(m message) { _ = out.Encode(m) }
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	var j job
	if err == nil {
		err = json.Unmarshal(line, &j)
	}
	if err != nil {
		tell(message{Problem: err.Error()})
		return 1
	}
	box, err := sandbox.Enter(degree, j.Scratch)
	if err != nil {
		tell(message{Problem: err.Error()})
		return 1
	}
	go func() {
		_, _ = io.Copy(io.Discard, in)
		box.Close()
		os.Exit(1)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), j.Total)
	defer cancel()
	examine(ctx, j.Spec, box, tell)
	box.Close()
	return 0
}

// examine makes the checks of a submission and tells each result at once.
func examine(ctx context.Context, spec submission.Spec, box *sandbox.Box, tell func(message)) {
	s, err := submission.New(ctx, spec, box)
	if err != nil {
		tell(message{Problem: err.Error()})
		return
	}
	r, end, err := checksOf(spec.Lab, spec.Rubric, s)
	if end != nil {
		defer end()
	}
	if err != nil {
		tell(message{Problem: err.Error()})
		return
	}
	tell(message{Stages: r.Stages})
	rubric.Run(ctx, r, rubric.Options{Only: spec.Only, Stage: spec.Stage, Transcripts: spec.Transcripts}, func(res rubric.Result) {
		tell(message{Result: &res})
	})
	tell(message{Done: true})
}

// A grader grades submissions, each in a worker of its own.
type grader struct {
	isolation sandbox.Isolation
	total     time.Duration
}

// grade grades one submission. A partial report goes to each after every result.
// Whatever happens, every check of the rubric is in the report.
func (g grader) grade(ctx context.Context, spec submission.Spec, each func(*rubric.Report)) *rubric.Report {
	start := time.Now()
	report := &rubric.Report{Lab: spec.Lab, Submission: spec.Name, Seed: spec.Seed}
	if each == nil {
		each = func(*rubric.Report) {}
	}
	points := map[string]int{}
	if r, _, err := checksOf(spec.Lab, spec.Rubric, nil); err == nil {
		for _, c := range r.Checks {
			points[c.ID] = c.Points
		}
	}
	done := false
	err := g.work(ctx, spec, func(m message) {
		switch {
		case m.Result != nil:
			// Once each, and for the points that the rubric has.
			most, known := points[m.Result.ID]
			if !known || m.Result.Status == rubric.Passed && m.Result.Points != most || m.Result.Status != rubric.Passed && m.Result.Points != 0 {
				return
			}
			delete(points, m.Result.ID)
			m.Result.Seen, m.Result.Transcript = visible(m.Result.Seen), visible(m.Result.Transcript)
			report.Add(*m.Result)
			report.Millis = time.Since(start).Milliseconds()
			each(report)
		case m.Problem != "":
			report.Problem = visible(m.Problem)
		case m.Stages != nil:
			report.Stages = m.Stages
		}
		done = done || m.Done
	})
	if !done && report.Problem == "" {
		report.Problem = "grading ended early: the time for the whole submission was up"
		if err != nil {
			report.Problem = "grading ended early: " + err.Error()
		}
	}
	complete(report, spec)
	report.Millis = time.Since(start).Milliseconds()
	return report
}

// visible replaces what would command a terminal, or turn the direction of writing:
// names of files are the student's, and stand in command lines.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) && r != '\n' && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// complete adds the checks that were not reached, without points.
func complete(report *rubric.Report, spec submission.Spec) {
	r, _, err := checksOf(spec.Lab, spec.Rubric, nil)
	if err != nil {
		return
	}
	report.Stages = r.Stages
	have := map[string]bool{}
	for _, res := range report.Results {
		have[res.ID] = true
	}
	rubric.Missing(r, rubric.Options{Only: spec.Only, Stage: spec.Stage}, have, report.Add)
}

// work runs a worker and passes on what it tells.
func (g grader) work(ctx context.Context, spec submission.Spec, tell func(message)) error {
	degree := g.isolation
	if spec.Addr != "" {
		degree = sandbox.None // a server elsewhere cannot be reached from a network of its own
	}
	scratch, err := os.MkdirTemp("", "grade-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	if err = os.Chmod(scratch, 0o755); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, g.total+10*time.Second)
	defer cancel()
	cmd := sandbox.Worker(degree)
	cmd.Stderr = os.Stderr
	r, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err = cmd.Start(); err != nil {
		return fmt.Errorf("start a worker: %w", err)
	}
	// Whoever is late ends here; with the worker its whole process namespace ends.
	stop := context.AfterFunc(ctx, func() {
		in.Close()
		time.AfterFunc(2*time.Second, func() { _ = cmd.Process.Kill() })
	})
	defer stop()
	line, err := json.Marshal(job{Spec: spec, Scratch: scratch, Total: g.total})
	if err == nil {
		_, err = in.Write(append(line, '\n'))
	}
	dec := json.NewDecoder(bufio.NewReader(r))
	for err == nil {
		var m message
		if err = dec.Decode(&m); err == nil {
			tell(m)
		}
	}
	in.Close()
	werr := cmd.Wait()
	if errors.Is(err, io.EOF) {
		err = nil
	}
	var exit *exec.ExitError
	if err == nil && werr != nil && !errors.As(werr, &exit) {
		err = werr
	}
	return err
}
