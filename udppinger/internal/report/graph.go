package report

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"topdown/udppinger/internal/ping"

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
	columns := max(v.Width-axisWidth, 20)
	points := s.Series.Fewer(columns)
	if len(points) == 0 {
		return nil
	}
	wide := max(1, min(columns/len(points), 6)) // columns a point
	var rtts []float64
	var losses strings.Builder
	known := 0
	for _, p := range points {
		rtt, mark := math.NaN(), " "
		if p.Lost < p.Probes {
			rtt = float64(p.Mean) / 1e3
			known++
		}
		switch {
		case p.Lost == p.Probes:
			mark = "x"
		case p.Lost > 0:
			mark = "."
		}
		for range wide {
			rtts = append(rtts, rtt)
		}
		losses.WriteString(mark + strings.Repeat(" ", wide-1))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%sRTT to %s in µs, over %s\n", s.Target.Label, &s.Target, duration(s.Elapsed))
	left := axisWidth - 2
	if known > 0 {
		unit := rtts
		if len(unit) == 1 {
			unit = append(unit, unit[0])
		}
		graph := asciigraph.Plot(unit, asciigraph.Height(graphHeight), asciigraph.Precision(1))
		first, _, _ := strings.Cut(graph, "\n")
		if at := strings.IndexAny(first, "┤┼"); at > 0 {
			left = utf8.RuneCountInString(first[:at])
		}
		b.WriteString(graph + "\n")
	}
	fmt.Fprintf(&b, "%*s %s\n", left, "lost", strings.TrimRight(losses.String(), " "))
	b.WriteString(strings.Repeat(" ", left+1) + "x: all lost or late, .: some\n")
	_, err := io.WriteString(v.W, b.String())
	return err
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
