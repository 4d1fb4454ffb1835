package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"topdown/scripts/grade/internal/report"
	"topdown/scripts/grade/internal/rubric"
	"topdown/scripts/grade/internal/sandbox"
	"topdown/scripts/grade/internal/submission"
)

// spec makes of the command line what a worker is told.
func (c *config) spec() (submission.Spec, error) {
	s := submission.Spec{
		Lab: c.lab, Name: c.lab, Dir: c.in, Command: c.command, Compile: c.compile, Addr: c.addr,
		FixedPort: c.fixedPort, Seed: c.seed, Timeout: c.timeout, Only: c.checks, Stage: c.stage,
		Also: map[string]string{},
	}
	for _, entry := range c.also {
		name, command, _ := strings.Cut(entry, "=")
		s.Also[name] = command
	}
	if c.rubric != "" {
		text, err := os.ReadFile(c.rubric)
		if err != nil {
			return s, fmt.Errorf("--rubric %s: %w", c.rubric, cause(err))
		}
		s.Rubric = string(text)
	}
	s.Loss = []float64{4.0 / 11, 0.3}
	if c.rate != "" {
		p, err := share(c.rate)
		if err != nil {
			return s, err
		}
		s.Loss = []float64{p}
	}
	r, _, err := checksOf(c.lab, s.Rubric, nil)
	if err != nil {
		return s, fmt.Errorf("--rubric %s: %w", c.rubric, err)
	}
	for _, id := range c.checks {
		if !slices.Contains(r.IDs(), id) {
			return s, usageError{fmt.Sprintf("--check %q: there is no such check; there are %s", id, strings.Join(r.IDs(), ", "))}
		}
	}
	if c.stage < 0 || c.stage > len(r.Stages) {
		return s, usageError{fmt.Sprintf("--stage %d: a number from 1 to %d is expected", c.stage, len(r.Stages))}
	}
	return s, nil
}

// share reads 0.3, 30% or 3/10.
func share(text string) (float64, error) {
	p, err := strconv.ParseFloat(text, 64)
	if number, ok := strings.CutSuffix(text, "%"); ok {
		p, err = strconv.ParseFloat(number, 64)
		p /= 100
	} else if a, b, ok := strings.Cut(text, "/"); ok {
		var x, y float64
		x, err = strconv.ParseFloat(a, 64)
		if err == nil {
			y, err = strconv.ParseFloat(b, 64)
		}
		p = x / y
	}
	if err != nil || !(p > 0 && p < 1) {
		return 0, usageError{fmt.Sprintf("--rate %q: a share is expected, as in 0.3, 30%% or 3/10", text)}
	}
	return p, nil
}

func cause(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}

func (c *config) grader() grader {
	g := grader{isolation: sandbox.Isolation(c.isolation), total: c.total}
	if c.isolation == "auto" {
		g.isolation = sandbox.Best()
	}
	return g
}

// runGrade is the command of each lab.
func runGrade(ctx context.Context, c *config, stdout, stderr io.Writer) error {
	if err := c.validate(); err != nil {
		return err
	}
	spec, err := c.spec()
	if err != nil {
		return err
	}
	if c.list {
		return list(spec, stdout)
	}
	if c.format == "github" {
		// The configuration of a classroom tool, which then calls the grader.
		return writeTo(c.output, stdout, func(w io.Writer) error { return autograding(w, c, spec) })
	}
	if c.dir != "" {
		return runFolder(ctx, c, spec, stdout, stderr)
	}
	if spec.Command == "" && spec.Addr == "" {
		dir, berr := buildOwn(ctx, c.lab)
		if berr != nil {
			return berr
		}
		defer func() { _ = os.RemoveAll(dir) }()
		spec.Dir, spec.Command = dir, labs()[c.lab].command
		for name, command := range labs()[c.lab].also {
			if spec.Also[name] == "" {
				spec.Also[name] = command
			}
		}
	}
	if spec.Dir == "" {
		spec.Dir = "."
	}
	if spec.Dir, err = filepath.Abs(spec.Dir); err != nil {
		return err
	}
	if info, serr := os.Stat(spec.Dir); serr != nil || !info.IsDir() {
		return fmt.Errorf("--in %s: no such folder", c.in)
	}
	g := c.grader()
	if c.verbose {
		fmt.Fprintf(stderr, "isolation %s, folder %s, command %s\n", g.isolation, spec.Dir, spec.Command)
	}
	r, err := gradeOne(ctx, g, spec, c, stdout)
	if err != nil {
		return err
	}
	if !r.Full() {
		return errMissing
	}
	return nil
}

// gradeOne grades a submission and writes the report as the flags say.
func gradeOne(ctx context.Context, g grader, spec submission.Spec, c *config, stdout io.Writer) (*rubric.Report, error) {
	if c.format == "text" && c.output == "" {
		t := report.Text{W: stdout, Colour: isTerminal(stdout)}
		n := 0
		r := g.grade(ctx, spec, func(r *rubric.Report) {
			for ; n < len(r.Results); n++ {
				t.Result(r.Results[n])
			}
		})
		for ; n < len(r.Results); n++ {
			t.Result(r.Results[n])
		}
		t.Summary(r)
		return r, nil
	}
	write := report.Formats()[c.format]
	save := func(r *rubric.Report) error { return report.Save(c.output, r, write) }
	each := func(*rubric.Report) {}
	if c.output != "" {
		// Whatever happens later, a file is there, and it holds what is known.
		if err := save(&rubric.Report{Lab: spec.Lab, Seed: spec.Seed, Problem: "grading has only begun"}); err != nil {
			return nil, err
		}
		each = func(r *rubric.Report) {
			partial := *r
			complete(&partial, spec)
			_ = save(&partial)
		}
	}
	r := g.grade(ctx, spec, each)
	if c.output != "" {
		return r, save(r)
	}
	return r, write(stdout, r)
}

func list(spec submission.Spec, w io.Writer) error {
	r, _, err := checksOf(spec.Lab, spec.Rubric, nil)
	if err != nil {
		return err
	}
	sum, bonus := 0, 0
	for stage, name := range r.Stages {
		fmt.Fprintf(w, "Step %d: %s\n", stage+1, name)
		for _, check := range r.Checks {
			if check.Stage != stage+1 {
				continue
			}
			points := strconv.Itoa(check.Points)
			if check.Bonus {
				points = "+" + points
				bonus += check.Points
			} else {
				sum += check.Points
			}
			fmt.Fprintf(w, "  %4s  %-11s %s\n", points, check.ID, check.Title)
			fmt.Fprintf(w, "                    %s", check.Requirement)
			if check.RFC != "" {
				fmt.Fprintf(w, " (%s)", check.RFC)
			}
			fmt.Fprintln(w)
		}
	}
	fmt.Fprintf(w, "%d points and %d bonus points\n", sum, bonus)
	return nil
}

// buildOwn builds the repository's own program into a folder of its own.
func buildOwn(ctx context.Context, name string) (string, error) {
	root, err := filepath.Abs(".")
	if err != nil {
		return "", err
	}
	for ; ; root = filepath.Dir(root) {
		if _, serr := os.Stat(filepath.Join(root, name, "go.mod")); serr == nil {
			break
		}
		if root == filepath.Dir(root) {
			return "", fmt.Errorf("there is no program of our own here to grade: name one with --cmd, or start this in the repository")
		}
	}
	dir, err := os.MkdirTemp("", "grade-own-")
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, name), ".")
	cmd.Dir = filepath.Join(root, name)
	if out, err := cmd.CombinedOutput(); err != nil {
		_ = os.RemoveAll(dir)
		return "", fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return dir, nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func writeTo(file string, stdout io.Writer, write func(io.Writer) error) error {
	if file == "" {
		return write(stdout)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
