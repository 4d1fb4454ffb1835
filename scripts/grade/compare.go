package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"topdown/scripts/grade/internal/rubric"
	"topdown/scripts/grade/internal/structure"
)

// runCompare shows two submissions side by side. What it means is for people to
// say: handouts and good advice make honest programs alike.
func runCompare(ctx context.Context, c *comparison, stdout, _ io.Writer) error {
	if _, ok := labs()[c.lab]; !ok {
		return usageError{fmt.Sprintf("--lab %q: one of %s is expected", c.lab, strings.Join(labNames(), ", "))}
	}
	if c.command == "" {
		return usageError{"--cmd is missing: how is a submission run?"}
	}
	if err := c.validate(); err != nil {
		return err
	}
	spec, err := c.spec()
	if err != nil {
		return err
	}
	spec.Transcripts = true
	var reports [2]*rubric.Report
	var files [2][]structure.File
	for i, dir := range []string{c.a, c.b} {
		if info, serr := os.Stat(dir); serr != nil || !info.IsDir() {
			return usageError{fmt.Sprintf("%s: no such folder", dir)}
		}
		s := spec
		if s.Dir, err = filepath.Abs(dir); err != nil {
			return err
		}
		reports[i] = c.grader().grade(ctx, s, nil)
		if files[i], err = structure.Read(s.Dir); err != nil {
			return err
		}
	}
	fmt.Fprintf(stdout, "A: %s\nB: %s\n\nOn the wire\n", c.a, c.b)
	fmt.Fprintf(stdout, "  %-12s %-8s %-8s what the programs sent and how failures looked\n", "check", "A", "B")
	for i, a := range reports[0].Results {
		if i >= len(reports[1].Results) {
			break
		}
		b := reports[1].Results[i]
		fmt.Fprintf(stdout, "  %-12s %-8s %-8s %s\n", a.ID, a.Status, b.Status, alike(a, b))
	}
	for i, name := range []string{"A", "B"} {
		if p := reports[i].Problem; p != "" {
			fmt.Fprintf(stdout, "  %s: %s\n", name, p)
		}
	}
	fmt.Fprintf(stdout, "\nStructure (runs of %d words that are in both; \"renamed\": with every name, number and text taken for the same)\n", structure.Run)
	for _, a := range files[0] {
		for _, b := range files[1] {
			p := structure.Compare(a, b)
			fmt.Fprintf(stdout, "  %-24s %-24s as they stand %3d %%, renamed %3d %%; longest run in common: %d words\n",
				clip(a.Name), clip(b.Name), p.Same, p.Renamed, p.Longest)
			if p.Text != "" {
				fmt.Fprintf(stdout, "      %s\n", p.Text)
			}
		}
	}
	fmt.Fprintln(stdout, "\nThis is no verdict: the handout's skeleton alone makes programs alike.")
	return nil
}

func clip(s string) string { return s[:min(len(s), 24)] }

// changing is what differs from run to run of one program.
var changing = regexp.MustCompile(`\d{4,}|\d+\.\d+|\d\d:\d\d:\d\d`)

// alike says how two programs' bytes compare in a check.
func alike(a, b rubric.Result) string {
	x, y := said(a), said(b)
	if len(x) == 0 && len(y) == 0 {
		return "nothing was sent by either"
	}
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("line %d differs: %.50s | %.50s", i+1, x[i], y[i])
		}
	}
	if len(x) != len(y) {
		return fmt.Sprintf("%d lines and %d, the same as far as both go", len(x), len(y))
	}
	return fmt.Sprintf("the same %d lines", len(x))
}

// said lists the lines that the program sent, without what changes by itself.
func said(r rubric.Result) []string {
	var list []string
	for line := range strings.Lines(r.Transcript) {
		if _, text, ok := strings.Cut(line, " ms < "); ok {
			list = append(list, changing.ReplaceAllString(strings.TrimSpace(text), "#"))
		}
	}
	return list
}
