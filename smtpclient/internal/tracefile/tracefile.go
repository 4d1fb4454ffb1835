// Package tracefile writes what happens on the network as a file of JSON objects,
// one a line, which trace.html of the web server draws. The README of the whole
// describes the format, "The trace format"; this is version 1 of it.
//
// It masks nothing: the caller of Write has hidden what is secret.
package tracefile

import (
	"bytes"
	"encoding/json"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Version is the version of the format.
const Version = 1

// What says what an event is.
type What string

// The kinds of events.
const (
	Line     What = "line"     // one or more lines of a text protocol
	Bytes    What = "bytes"    // content
	Datagram What = "datagram" // one datagram
	Decision What = "decision" // a rule was applied
	Timer    What = "timer"    // a time is up
	State    What = "state"    // a connection: Text is open, tls, close or reset
)

// An Event is one thing that happened. Conversation, From and What are needed.
type Event struct {
	Conversation string `json:"conversation"`
	From         string `json:"from"`
	To           string `json:"to,omitempty"`
	What         What   `json:"what"`
	Text         string `json:"text,omitempty"` // with escapes, see Escape
	Size         int64  `json:"size,omitempty"` // bytes, if Text does not hold them all
	ID           string `json:"id,omitempty"`   // the number of a datagram and of the reply to it
	Fate         string `json:"fate,omitempty"` // lost, late, hit …
	Why          string `json:"why,omitempty"`
	RFC          int    `json:"rfc,omitempty"`
	Section      string `json:"section,omitempty"`
	Step         string `json:"step,omitempty"` // the textbook's
	Transport    string `json:"transport,omitempty"`
	Source       string `json:"source,omitempty"`      // address of From, host:port
	Destination  string `json:"destination,omitempty"` // address of To
}

// A File is a trace that is being written. A nil *File is none.
type File struct {
	start   time.Time
	helpers []string

	mu  sync.Mutex
	w   io.Writer
	err error
}

// New begins a trace of a program that takes the part "at" (client, server or
// proxy). Functions named in helpers only pass on what others decided.
func New(w io.Writer, lab, at string, start time.Time, helpers ...string) *File {
	f := &File{w: w, start: start, helpers: helpers}
	f.append(struct {
		Trace   string    `json:"trace"`
		Version int       `json:"version"`
		Lab     string    `json:"lab"`
		At      string    `json:"at"`
		Start   time.Time `json:"start"`
	}{"topdown", Version, lab, at, start.UTC()})
	return f
}

// Write writes an event that happened at a time, with the function of this program
// that calls.
func (f *File) Write(at time.Time, e Event) {
	if f == nil {
		return
	}
	record := struct {
		Time int64 `json:"time"` // ns since the start
		Event
		Func string `json:"func,omitempty"`
		File string `json:"file,omitempty"`
	}{Time: max(0, int64(at.Sub(f.start))), Event: e}
	record.Func, record.File = f.caller()
	f.append(record)
}

func (f *File) append(v any) {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil && f.err == nil {
		_, err = f.w.Write(line.Bytes()) // at once: somebody may be watching
	}
	if f.err == nil {
		f.err = err // a trace with a hole would mislead: nothing more is written
	}
}

// Err returns the first error of writing, after which nothing was written.
func (f *File) Err() error {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// caller finds the function that has something to tell.
func (f *File) caller() (function, file string) {
	var pcs [12]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		frame, more := frames.Next()
		name := frame.Function[strings.LastIndexByte(frame.Function, '/')+1:]
		last := name[strings.LastIndexByte(name, '.')+1:]
		// A function without a name is func1, one in it func1.1.
		if nameless := strings.HasPrefix(last, "func") || last[0] <= '9'; !nameless && !slices.Contains(f.helpers, last) {
			return name, filepath.Base(frame.File) + ":" + strconv.Itoa(frame.Line)
		}
		if !more {
			return "", ""
		}
	}
}

// Escape writes bytes as text of printable ASCII: line ends and tabs as \r, \n, \t,
// a backslash as \\, what else is not printable as \x with two digits.
func Escape[T string | []byte](p T) string {
	const digits = "0123456789abcdef"
	b := make([]byte, 0, len(p)+16)
	for i := range len(p) {
		switch c := p[i]; {
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c == '\\':
			b = append(b, `\\`...)
		case c < ' ' || c > '~':
			b = append(b, '\\', 'x', digits[c>>4], digits[c&15])
		default:
			b = append(b, c)
		}
	}
	return string(b)
}
