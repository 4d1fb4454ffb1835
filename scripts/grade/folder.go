package main

import (
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"topdown/scripts/grade/internal/report"
	"topdown/scripts/grade/internal/rubric"
	"topdown/scripts/grade/internal/sandbox"
	"topdown/scripts/grade/internal/submission"
)

// A graded is what a folder's report is kept as; it says that a submission is done,
// and under which flags.
type graded struct {
	Flags  string
	Report *rubric.Report
}

// A row is what the CSV needs of a report: the rest stays on disk.
type row struct {
	name, problem string
	score, bonus  int
	points        map[string]int
}

// runFolder grades each submission of --dir, several at a time. What an earlier run
// with the same flags has graded is not graded again.
func runFolder(ctx context.Context, c *config, spec submission.Spec, stdout, stderr io.Writer) error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("--dir %s: %w", c.dir, cause(err))
	}
	var names []string
	for _, e := range entries {
		ok, merr := filepath.Match(c.pattern, e.Name())
		if merr != nil {
			return usageError{fmt.Sprintf("--pattern %q: *, ? and [a-z] are known", c.pattern)}
		}
		if ok && !strings.HasPrefix(e.Name(), ".") && (e.IsDir() || e.Type().IsRegular()) {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("--dir %s: nothing there has a name like %q", c.dir, c.pattern)
	}
	if c.reports == "" {
		c.reports = strings.TrimRight(c.dir, "/\\") + "-reports"
	}
	if err = os.MkdirAll(c.reports, 0o755); err != nil {
		return fmt.Errorf("--reports %s: %w", c.reports, cause(err))
	}
	r, _, err := checksOf(c.lab, spec.Rubric, nil)
	if err != nil {
		return err
	}
	g := c.grader()
	jobs := c.jobs
	if c.fixedPort != 0 && g.isolation == sandbox.None && jobs > 1 {
		fmt.Fprintln(stderr, "grade: one at a time: without a network of its own, each needs the same port")
		jobs = 1
	}
	flags, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	f := &folder{
		c: c, g: g, spec: spec, flags: fmt.Sprintf("%x", sha256.Sum256(flags)), ids: r.IDs(),
		progress: progress{w: stderr, total: len(names), terminal: isTerminal(stderr)},
		rows:     make([]row, len(names)),
	}
	if err := f.run(ctx, names, jobs); err != nil {
		return err
	}
	full := 0
	for _, row := range f.rows {
		if row.problem == "" && row.score == f.max(r) {
			full++
		}
	}
	fmt.Fprintf(stdout, "%d submissions, %d with full score: %s\n", len(names), full, filepath.Join(c.reports, "grades.csv"))
	return nil
}

// A folder is a folder of submissions that is graded.
type folder struct {
	c        *config
	g        grader
	spec     submission.Spec
	flags    string
	ids      []string
	progress progress

	mu   sync.Mutex
	rows []row
}

func (f *folder) max(r *rubric.Rubric) (sum int) {
	for _, c := range r.Checks {
		if !c.Bonus && (len(f.spec.Only) == 0 || slices.Contains(f.spec.Only, c.ID)) {
			sum += c.Points
		}
	}
	return sum
}

func (f *folder) run(ctx context.Context, names []string, jobs int) error {
	next := make(chan int)
	var wg sync.WaitGroup
	var failed error
	for range min(jobs, len(names)) {
		wg.Go(func() {
			for i := range next {
				err := f.one(ctx, i, names[i])
				f.mu.Lock()
				failed = errors.Join(failed, err)
				f.mu.Unlock()
			}
		})
	}
	for i := range names {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	wg.Wait()
	f.progress.end()
	if ctx.Err() != nil {
		return errors.New("interrupted; the same command goes on where it was")
	}
	if failed != nil {
		return failed
	}
	return f.writeCSV()
}

// one grades a submission, or takes what is there.
func (f *folder) one(ctx context.Context, i int, name string) error {
	base := filepath.Join(f.c.reports, fileName(name))
	var done graded
	if text, err := os.ReadFile(base + ".json"); err == nil && json.Unmarshal(text, &done) == nil && done.Flags == f.flags && done.Report != nil {
		f.note(i, done.Report)
		return nil
	}
	spec := f.spec
	spec.Name = name
	path, err := filepath.Abs(filepath.Join(f.c.dir, name))
	if err != nil {
		return err
	}
	spec.Dir = path
	if info, serr := os.Stat(path); serr == nil && !info.IsDir() {
		// A submission of one file.
		dir, derr := os.MkdirTemp("", "grade-one-")
		if derr != nil {
			return derr
		}
		defer func() { _ = os.RemoveAll(dir) }()
		data, derr := os.ReadFile(path)
		if derr != nil {
			return derr
		}
		if err = os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
		spec.Dir = dir
		file := map[string]string{"submission": name}
		spec.Command, spec.Compile = submission.Line(spec.Command, file), submission.Line(spec.Compile, file)
	}
	r := f.g.grade(ctx, spec, nil)
	if ctx.Err() != nil {
		return nil
	}
	formats := report.Formats()
	for _, ext := range []string{"txt", "html"} {
		write := formats[map[string]string{"txt": "text", "html": "html"}[ext]]
		if err = report.Save(base+"."+ext, r, write); err != nil {
			return err
		}
	}
	// Last: that this file is there says that the submission is done.
	err = report.Save(base+".json", r, func(w io.Writer, r *rubric.Report) error {
		return json.NewEncoder(w).Encode(graded{f.flags, r})
	})
	if err != nil {
		return err
	}
	f.note(i, r)
	return nil
}

func (f *folder) note(i int, r *rubric.Report) {
	line := row{name: r.Submission, problem: r.Problem, score: r.Score, bonus: r.Bonus, points: map[string]int{}}
	for _, res := range r.Results {
		line.points[res.ID] = res.Points
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rows[i] = line
	f.progress.step(fmt.Sprintf("%s: %d of %d", visible(r.Submission), r.Score, r.Max))
}

func (f *folder) writeCSV() error {
	return report.Save(filepath.Join(f.c.reports, "grades.csv"), nil, func(w io.Writer, _ *rubric.Report) error {
		out := csv.NewWriter(w)
		head := append([]string{"submission", "score", "bonus"}, f.ids...)
		if err := out.Write(append(head, "problem")); err != nil {
			return err
		}
		for _, r := range f.rows {
			line := []string{cell(r.name), strconv.Itoa(r.score), strconv.Itoa(r.bonus)}
			for _, id := range f.ids {
				line = append(line, strconv.Itoa(r.points[id]))
			}
			first, _, _ := strings.Cut(r.problem, "\n")
			if err := out.Write(append(line, cell(first))); err != nil {
				return err
			}
		}
		out.Flush()
		return out.Error()
	})
}

// cell keeps a spreadsheet from taking a name for a formula.
func cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t", rune(s[0])) {
		return "'" + s
	}
	return s
}

// fileName makes a file's name of a submission's; different ones stay different.
func fileName(name string) string {
	safe := strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' || r < ' ' || r == ':' {
			return '_'
		}
		return r
	}, name)
	if safe != name {
		safe += fmt.Sprintf("-%.4x", sha256.Sum256([]byte(name)))
	}
	return safe
}

// A progress is a bar on a terminal, and a line for each step elsewhere.
type progress struct {
	w           io.Writer
	total, done int
	terminal    bool
}

func (p *progress) step(text string) {
	p.done++
	if !p.terminal {
		fmt.Fprintf(p.w, "%d/%d %s\n", p.done, p.total, text)
		return
	}
	const width = 30
	full := width * p.done / p.total
	fmt.Fprintf(p.w, "\r[%s%s] %d/%d %-40.40s", strings.Repeat("#", full), strings.Repeat(".", width-full), p.done, p.total, text)
}

func (p *progress) end() {
	if p.terminal {
		fmt.Fprintln(p.w)
	}
}
