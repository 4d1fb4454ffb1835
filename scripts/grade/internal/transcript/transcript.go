// Package transcript keeps what was said on the wire, so that a failure can be
// explained with the bytes that were exchanged: direction, milliseconds, and
// every byte that a terminal would not show as it is, escaped.
package transcript

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// Directions of an entry, as seen by the grader.
const (
	Sent     = ">" // the grader to the submission
	Received = "<" // the submission to the grader
	Note     = "*" // what happened otherwise
)

// Bounds of what is kept and shown: a flood must not fill the memory.
const (
	maxEntries = 400
	maxBytes   = 64 << 10
	maxLine    = 400
)

// A Log is one check's transcript. The zero value is not ready: see New.
type Log struct {
	mu      sync.Mutex
	start   time.Time
	entries []entry
	bytes   int
	omitted int
}

type entry struct {
	at   time.Duration
	dir  string
	who  string
	data []byte
}

// New returns an empty log whose clock begins now.
func New() *Log { return &Log{start: time.Now()} }

// Add keeps data; dir is one of the constants, who names the connection where
// there are several.
func (l *Log) Add(dir, who string, data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := time.Since(l.start)
	if len(l.entries) >= maxEntries || l.bytes >= maxBytes {
		l.omitted += len(data)
		return
	}
	// Pieces of one direction that follow at once are one entry.
	if n := len(l.entries) - 1; n >= 0 && dir != Note {
		last := &l.entries[n]
		if last.dir == dir && last.who == who && at-last.at < 5*time.Millisecond && len(last.data) < 4096 {
			last.data = append(last.data, data...)
			l.bytes += len(data)
			return
		}
	}
	kept := data[:min(len(data), maxBytes-l.bytes)]
	l.omitted += len(data) - len(kept)
	l.entries = append(l.entries, entry{at, dir, who, append([]byte(nil), kept...)})
	l.bytes += len(kept)
}

// Notef keeps a remark.
func (l *Log) Notef(format string, args ...any) {
	l.Add(Note, "", fmt.Appendf(nil, format, args...))
}

// String formats the log, a line for each line that was sent.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for _, e := range l.entries {
		lines := splitLines(e.data)
		if e.dir == Note {
			lines = []string{string(e.data)}
		}
		const most = 40
		for i, line := range lines {
			if i == most {
				rest := 0
				for _, more := range lines[i:] {
					rest += len(more)
				}
				line = fmt.Sprintf("(%d more bytes)", rest)
				fmt.Fprintf(&b, "%7d ms %s %s%s\n", e.at.Milliseconds(), e.dir, prefix(e.who), line)
				break
			}
			if e.dir != Note {
				line = Escape(line)
			}
			fmt.Fprintf(&b, "%7d ms %s %s%s\n", e.at.Milliseconds(), e.dir, prefix(e.who), line)
		}
	}
	if l.omitted > 0 {
		fmt.Fprintf(&b, "           (%d more bytes are not shown)\n", l.omitted)
	}
	return b.String()
}

func prefix(who string) string {
	if who == "" {
		return ""
	}
	return who + ": "
}

// splitLines cuts behind every LF.
func splitLines(data []byte) []string {
	lines := strings.SplitAfter(string(data), "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	if len(lines) == 0 {
		return []string{""}
	}
	return lines
}

// Escape shows every byte that is not printable ASCII as \r, \n, \t or \xHH, and
// cuts what is longer than a reader wants. The result is safe on a terminal.
func Escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if i == maxLine {
			fmt.Fprintf(&b, "… (%d more bytes)", len(s)-i)
			break
		}
		switch c := s[i]; {
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\t':
			b.WriteString(`\t`)
		case c == '\\':
			b.WriteString(`\\`)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// Conn is a connection whose bytes are kept in a log.
type Conn struct {
	net.Conn

	log *Log
	who string
}

// Wrap returns conn with its bytes kept in log under the name who.
func (l *Log) Wrap(conn net.Conn, who string) *Conn { return &Conn{conn, l, who} }

// Read implements io.Reader.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.log.Add(Received, c.who, p[:n])
	}
	return n, err
}

// Write implements io.Writer.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if n > 0 {
		c.log.Add(Sent, c.who, p[:n])
	}
	return n, err
}
