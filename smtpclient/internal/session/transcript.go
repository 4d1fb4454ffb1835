package session

import (
	"fmt"
	"io"
	"time"
)

// Detail is how much of a session a transcript shows.
type Detail int

// The details.
const (
	Nothing Detail = iota
	Replies        // what the server says: the lab's output
	Both           // both directions with the time since the start
	Trace          // the same, explained
)

// A Lesson explains one step of a protocol: its title, where it is specified,
// and what happens.
type Lesson [3]string

// Lessons explain a protocol: its steps by name, and what a reply means.
type Lessons struct {
	Steps   map[string]Lesson
	Meaning func(line string) string // empty: nothing to say; may be nil
}

// Transcript returns a watcher that writes a session to w, or nil for Nothing.
func Transcript(w io.Writer, detail Detail, lessons *Lessons) func(Event) {
	if detail == Nothing {
		return nil
	}
	var start time.Time
	var step string
	explained := make(map[string]bool)
	return func(e Event) {
		if start.IsZero() {
			start = e.At
		}
		if detail == Replies {
			if e.From == Server || e.From == Verdict {
				fmt.Fprintln(w, e.Line)
			}
			return
		}
		about, known := lessons.Steps[e.Step]
		if detail == Trace && e.Step != step {
			step = e.Step
			switch {
			case known && explained[step]: // pipelining: the answers come after all commands
				fmt.Fprintf(w, "\n# %s: the answer\n", about[0])
			case known:
				fmt.Fprintf(w, "\n# %s (%s)\n#   %s\n", about[0], about[1], about[2])
			}
			explained[step] = true
		}
		fmt.Fprintf(w, "%8.3fs %c: %s\n", e.At.Sub(start).Seconds(), e.From, e.Line)
		if detail == Trace && e.From == Server && lessons.Meaning != nil {
			if meaning := lessons.Meaning(e.Line); meaning != "" {
				fmt.Fprintf(w, "#   %s\n", meaning)
			}
		}
	}
}
