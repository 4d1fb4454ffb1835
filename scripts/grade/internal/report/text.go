// Package report writes what became of a submission: as text for people, and in
// the formats that classroom tools read.
package report

import (
	"fmt"
	"io"
	"strings"

	"topdown/scripts/grade/internal/rubric"
)

// Colours of a terminal.
const (
	red   = "\x1b[31m"
	green = "\x1b[32m"
	dim   = "\x1b[2m"
	bold  = "\x1b[1m"
	plain = "\x1b[0m"
)

// Text writes results for people.
type Text struct {
	W      io.Writer
	Colour bool
}

func (t Text) paint(colour, s string) string {
	if !t.Colour {
		return s
	}
	return colour + s + plain
}

// Result writes one result, with everything that helps to mend a failure.
func (t Text) Result(r rubric.Result) {
	mark := map[rubric.Status]string{
		rubric.Passed: t.paint(green, "ok  "), rubric.Failed: t.paint(red, "FAIL"), rubric.Skipped: t.paint(dim, "skip"),
	}[r.Status]
	points := fmt.Sprintf("%d/%d", r.Points, r.Max)
	if r.Bonus {
		points = "+" + points
	}
	fmt.Fprintf(t.W, "%s %6s  %-11s %s\n", mark, points, r.ID, r.Title)
	switch r.Status {
	case rubric.Skipped:
		fmt.Fprintf(t.W, "              %s\n", t.paint(dim, r.Seen))
	case rubric.Failed:
		t.failure(r)
	}
}

func (t Text) failure(r rubric.Result) {
	lost := fmt.Sprintf("%d points lost", r.Lost())
	if r.Bonus {
		lost = fmt.Sprintf("%d bonus points not won", r.Lost())
	}
	fmt.Fprintf(t.W, "     %s\n", t.paint(bold, lost))
	block := func(name, text string) {
		if text == "" {
			return
		}
		fmt.Fprintf(t.W, "     %-9s %s\n", name, strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n               "))
	}
	block("task", r.Requirement)
	block("expected", r.Expected)
	block("seen", t.paint(red, r.Seen))
	if r.Transcript != "" {
		fmt.Fprintln(t.W, "     on the wire (> the grader sent, < your program sent, milliseconds):")
		for line := range strings.Lines(r.Transcript) {
			fmt.Fprintf(t.W, "     %s", t.paint(dim, strings.TrimRight(line, "\n"))+"\n")
		}
	}
	block("read", r.RFC)
	block("hint", r.Hint)
	block("by hand", r.Try)
	fmt.Fprintln(t.W)
}

// Summary writes the last lines.
func (t Text) Summary(r *rubric.Report) {
	if r.Problem != "" {
		fmt.Fprintf(t.W, "%s\n", t.paint(red, r.Problem))
	}
	colour := green
	if !r.Full() {
		colour = red
	}
	line := fmt.Sprintf("%s: %d of %d points", r.Lab, r.Score, r.Max)
	if r.BonusMax > 0 {
		line += fmt.Sprintf(", bonus %d of %d", r.Bonus, r.BonusMax)
	}
	fmt.Fprintf(t.W, "%s %s\n", t.paint(colour, line), t.paint(dim, fmt.Sprintf("(%.1f s, --seed %d)", float64(r.Millis)/1000, r.Seed)))
}

// String returns a whole report as plain text.
func String(r *rubric.Report) string {
	var b strings.Builder
	t := Text{W: &b}
	for _, res := range r.Results {
		t.Result(res)
	}
	t.Summary(r)
	return b.String()
}
