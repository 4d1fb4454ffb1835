package report

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"topdown/udppinger/internal/ping"
	"topdown/udppinger/internal/stats"

	"github.com/guptarohit/asciigraph"
)

// Graph draws RTT over time in characters, with losses marked below.
type Graph struct {
	W     io.Writer
	Width int // of the terminal, in characters
}

// Begin implements View.
func (v *Graph) Begin(*Summary) {}

// Event implements View.
func (v *Graph) Event(*Summary, ping.Event) {}

const (
	graphHeight = 10
	axisWidth   = 12 // left of the graph
)

// End implements View.
func (v *Graph) End(s *Summary) error {
	points := s.Series.Fewer(max(v.Width-axisWidth, 20))
	if len(points) == 0 {
		return nil
	}
	var b strings.Builder
	b.WriteString("\n" + Fold(fmt.Sprintf("%sRTT to %s in µs, over %s\nx: all lost or late, .: some", s.Target.Label, &s.Target, duration(s.Elapsed)), v.Width) + "\n")
	drawPoints(&b, points, v.Width, graphHeight, time.Microsecond)
	_, err := io.WriteString(v.W, b.String())
	return err
}

// drawPoints draws the mean RTTs of points, in the given unit, and below them a
// row that marks losses.
func drawPoints(b *strings.Builder, points []stats.Point, width, height int, unit time.Duration) {
	columns := max(width-axisWidth, 20)
	wide := max(1, min(columns/len(points), 6)) // columns a point
	var rtts []float64
	var losses strings.Builder
	known := 0
	for _, p := range points {
		rtt, mark := math.NaN(), " "
		if p.Timed() > 0 {
			rtt = float64(p.Mean) / float64(unit)
			known++
		}
		switch {
		case p.Timed() == 0:
			mark = "x"
		case p.Lost > 0:
			mark = "."
		}
		for range wide {
			rtts = append(rtts, rtt)
		}
		losses.WriteString(mark + strings.Repeat(" ", wide-1))
	}
	left := axisWidth - 2
	if known > 0 {
		if len(rtts) == 1 {
			rtts = append(rtts, rtts[0])
		}
		graph := asciigraph.Plot(rtts, asciigraph.Height(height), asciigraph.Precision(1))
		first, _, _ := strings.Cut(graph, "\n")
		if at := strings.IndexAny(first, "┤┼"); at > 0 {
			left = utf8.RuneCountInString(first[:at])
		}
		b.WriteString(graph + "\n")
	}
	fmt.Fprintf(b, "%*s %s\n", left, "lost", strings.TrimRight(losses.String(), " "))
}

// Fold breaks the lines that are too wide between words, and indents what goes on.
// Width 0 is no limit.
func Fold(text string, width int) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if width == 0 || utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) <= width {
			b.WriteString(line)
			continue
		}
		at := 0
		for word := range strings.FieldsSeq(line) {
			size := utf8.RuneCountInString(word)
			switch {
			case at == 0:
			case at+1+size > width:
				b.WriteString("\n  ")
				at = 2
			default:
				b.WriteString(" ")
				at++
			}
			b.WriteString(word)
			at += size
		}
		if strings.HasSuffix(line, "\n") {
			b.WriteString("\n")
		}
	}
	return b.String()
}

// duration writes a length of time with about three digits.
func duration(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}
