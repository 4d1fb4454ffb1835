package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"topdown/udppinger/internal/ping"
)

// Live keeps one line of a terminal up to date while a run prints no lines of
// its own. It is for a terminal only: it moves the cursor.
type Live struct {
	W io.Writer
	// Now is the clock that says when it is time to draw again.
	Now func() time.Time
	// Screen tells the terminal's size.
	Screen func() (columns, rows int)

	last  time.Time
	shown int // characters on the line
}

// liveEvery is the time from one drawing to the next.
const liveEvery = 200 * time.Millisecond

// Begin implements View.
func (v *Live) Begin(*Summary) {}

// Event implements View.
func (v *Live) Event(s *Summary, e ping.Event) {
	if e.Kind == ping.Final {
		return
	}
	if now := v.Now(); now.Sub(v.last) >= liveEvery {
		v.last = now
		columns, _ := v.Screen()
		// The last column stays free: a full line makes some terminals wrap.
		line := cut(StatusLine(s), columns-1)
		fmt.Fprintf(v.W, "\r%s%s", line, strings.Repeat(" ", max(0, v.shown-utf8.RuneCountInString(line))))
		v.shown = utf8.RuneCountInString(line)
	}
}

// cut cuts a line to so many characters.
func cut(line string, most int) string {
	if utf8.RuneCountInString(line) <= most {
		return line
	}
	return string([]rune(line)[:max(most, 0)])
}

// End implements View: it takes the line away.
func (v *Live) End(*Summary) error {
	if v.shown > 0 {
		fmt.Fprintf(v.W, "\r%s\r", strings.Repeat(" ", v.shown))
		v.shown = 0
	}
	return nil
}

// Table writes a table of several targets.
func Table(w io.Writer, all []*Summary) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\ntarget\tsent\treceived\tlost\tloss\t95% interval\tmin\tavg\tp99\tmax\t")
	for _, s := range all {
		c, loss, r := &s.Counts, s.Loss(), s.RTT
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%.1f%%\t%.1f-%.1f%%\t", &s.Target, c.Sent, c.Received(), c.Unanswered(), 100*loss.Share, 100*loss.Low, 100*loss.High)
		if r.N == 0 {
			fmt.Fprint(t, "-\t-\t-\t-\t\n")
			continue
		}
		for _, d := range []time.Duration{r.Min, r.Mean(), r.Percentile(99), r.Max} {
			fmt.Fprintf(t, "%.3f ms\t", ms(d))
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}
