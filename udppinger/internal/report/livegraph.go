package report

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"topdown/udppinger/internal/ping"
	"topdown/udppinger/internal/stats"
)

// LiveGraph draws the RTTs of the window in place while a run goes on, with
// losses marked, and a line of figures below. It is for a terminal only: it moves
// the cursor up and draws over what it drew before.
type LiveGraph struct {
	W      io.Writer
	Now    func() time.Time
	Screen func() (columns, rows int)
	Color  bool

	all   []*Summary
	last  time.Time
	drawn int // lines on the terminal
	ended bool
}

// What moves the cursor and clears (ECMA-48).
const (
	up        = "\x1b[%dA\r"
	clearLine = "\x1b[K"
	clearRest = "\x1b[J"
	redText   = "\x1b[31m"
	blueText  = "\x1b[36m"
	plainText = "\x1b[0m"
)

// Begin implements View.
func (v *LiveGraph) Begin(s *Summary) { v.all = append(v.all, s) }

// Event implements View.
func (v *LiveGraph) Event(_ *Summary, e ping.Event) {
	if e.Kind == ping.Final {
		return
	}
	if now := v.Now(); now.Sub(v.last) >= liveEvery {
		v.last = now
		_ = v.draw() // the summary will fail in the same way, and say so
	}
}

// End implements View: the last graph stays.
func (v *LiveGraph) End(*Summary) error {
	if v.ended {
		return nil
	}
	v.ended = true
	return v.draw()
}

// draw draws all targets that there is room for.
func (v *LiveGraph) draw() error {
	columns, rows := v.Screen()
	const around = 3 // lines of a target besides its graph: title, losses, figures
	height := min(max((rows-1)/len(v.all)-around-1, 3), 12)
	room := max((rows-1)/(height+around+1), 1)
	var b strings.Builder
	if v.drawn > 0 {
		fmt.Fprintf(&b, up, v.drawn)
	}
	v.drawn = 0
	for _, s := range v.all[:min(room, len(v.all))] {
		for line := range strings.Lines(frame(s, columns-1, height)) {
			b.WriteString(v.paint(cut(strings.TrimSuffix(line, "\n"), columns-1)) + clearLine + "\n")
			v.drawn++
		}
	}
	b.WriteString(clearRest)
	_, err := io.WriteString(v.W, b.String())
	return err
}

// paint colours a line: the curve, and the marks of losses.
func (v *LiveGraph) paint(line string) string {
	if !v.Color {
		return line
	}
	if at := strings.IndexAny(line, "┤┼"); at >= 0 {
		at += len("┤")
		return line[:at] + blueText + line[at:] + plainText
	}
	if before, marks, ok := strings.Cut(line, "lost "); ok && strings.TrimSpace(before) == "" {
		return before + "lost " + redText + marks + plainText
	}
	return line
}

// frame draws one target.
func frame(s *Summary, width, height int) string {
	points := stats.Fewer(s.Window.Points(s.Latest), max(width-axisWidth, 20))
	unit, name := time.Microsecond, "µs"
	for _, p := range points {
		if p.Max >= 10*time.Millisecond {
			unit, name = time.Millisecond, "ms"
		}
	}
	over := min(s.Latest, s.Window.Length)
	var b strings.Builder
	title := fmt.Sprintf("RTT to %s in %s, last %v; x: all lost, .: some", &s.Target, name, over.Round(time.Second))
	b.WriteString(fit(title, width) + "\n")
	if len(points) > 0 {
		drawPoints(&b, points, width, height, unit)
	}
	figures := *s
	figures.Target.Label = ""
	b.WriteString(fit(StatusLine(&figures), width) + "\n")
	return b.String()
}

// fit leaves out the last parts of a line until it is narrow enough.
func fit(line string, width int) string {
	for utf8.RuneCountInString(line) > width {
		at := strings.LastIndexAny(line, ",;")
		if at < 0 {
			break
		}
		line = line[:at]
	}
	return line
}
