package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"topdown/smtpclient/internal/session"
)

// A program is what all commands share.
type program struct {
	cfg      *config
	in       io.Reader
	out, err io.Writer
	terminal bool // err is a terminal: show progress, do not wait for long
	now      func() time.Time
	random   io.Reader
	mask     *session.Mask // gets every secret, hides it in all that is shown
}

// transcript is where a session is shown: beside the JSON, not into it.
func (p *program) transcript() io.Writer {
	if p.cfg.json {
		return p.err
	}
	return p.out
}

// warn tells about something that does not stop the command.
func (p *program) warn(format string, args ...any) {
	fmt.Fprintf(p.err, "smtpclient: warning: %s\n", p.mask.Hide(fmt.Sprintf(format, args...)))
}

// printJSON writes one value on one line. Control characters, and those that
// reorder what a terminal shows, leave as escapes.
func (p *program) printJSON(v any) error {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(p.out, session.EscapeJSON(strings.TrimSuffix(b.String(), "\n"))+"\n")
	return err
}
