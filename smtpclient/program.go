package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"topdown/smtpclient/internal/draft"
	"topdown/smtpclient/internal/session"
	"topdown/smtpclient/internal/tracefile"
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
	trace    *session.Tracer
}

// transcript is where a session is shown: beside the JSON, not into it.
func (p *program) transcript() io.Writer {
	if p.cfg.json {
		return p.err
	}
	return p.out
}

// tracers are the functions that only pass on to the trace what others do.
var tracers = []string{
	"Emit", "said", "flush", "begin", "secured", "ended", "Close", "Send", "SendSecret", "put", "Command", "command",
	"expect", "func1", "readReply", "readLine",
}

// traced runs a command and writes its sessions to the file of --trace-file.
func (p *program) traced(ctx context.Context, run func(context.Context) error) error {
	if p.cfg.traceFile == "" {
		return run(ctx)
	}
	out, err := os.OpenFile(p.cfg.traceFile, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // it has the mail in it
	if err != nil {
		return fail(exitCantCreate, "%w", draft.FileError("--trace-file ", err))
	}
	file := tracefile.New(out, name, "client", p.now(), tracers...)
	p.trace = session.NewTracer(file)
	err = run(ctx)
	if wrong := errors.Join(file.Err(), out.Close()); wrong != nil {
		p.warn("--trace-file %s: %v", p.cfg.traceFile, wrong)
	}
	return err
}

// warn tells about something that does not stop the command.
func (p *program) warn(format string, args ...any) {
	fmt.Fprintf(p.err, "smtpclient: warning: %s\n", p.safe(fmt.Sprintf(format, args...)))
}

// safe is a message that can be shown: on one line, without a secret, and without
// what a server, or a name in its certificate, would tell the terminal to do.
func (p *program) safe(text string) string {
	return session.Printable(strings.ReplaceAll(p.mask.Hide(text), "\n", "; "))
}

// outcome is what a report says about err.
func (p *program) outcome(err error) (exit int, text string) {
	if err != nil {
		text = p.mask.Hide(err.Error())
	}
	return exitCode(err), text
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
