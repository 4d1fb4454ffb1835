package agent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"topdown/smtpclient/internal/message"
	"topdown/smtpclient/internal/pop3"
	"topdown/smtpclient/internal/wire"
)

// InboxOptions are the options of the inbox commands.
type InboxOptions struct {
	Server Server
	Which  string // a number, or "uid:UID"
	Dir    string // for save
	Raw    bool   // save the message itself too
}

// A Listed message is one line of inbox list.
type Listed struct {
	Number  int    `json:"number"`
	UID     string `json:"uid,omitempty"`
	Size    int64  `json:"size"` // bytes
	Date    string `json:"date"`
	From    string `json:"from"`
	To      string `json:"to"`
	Subject string `json:"subject"`
}

// mailbox opens a mailbox, does something in it and closes it.
func (a *Agent) mailbox(ctx context.Context, server *Server, do func(*pop3.Session) error) error {
	cfg, err := a.pop3Config(ctx, server)
	if err != nil {
		return err
	}
	session, err := pop3.Dial(ctx, cfg)
	if err != nil {
		return err
	}
	if err := do(session); err != nil {
		session.Close()
		return err
	}
	return session.Quit()
}

// find returns the list entry of a number or a unique name.
func find(session *pop3.Session, which string) (pop3.Entry, error) {
	uid, byUID := strings.CutPrefix(which, "uid:")
	number, err := strconv.Atoi(which)
	if !byUID && (err != nil || number < 1) {
		return pop3.Entry{}, Usage("%q is no message: give its number, or uid:UID, from inbox list", which)
	}
	entries, err := session.List()
	if err != nil {
		return pop3.Entry{}, err
	}
	for _, entry := range entries {
		if byUID && entry.UID == uid || !byUID && entry.Number == number {
			return entry, nil
		}
	}
	return pop3.Entry{}, fail(ExitNoInput, "the mailbox has no message %s (it has %d messages)", which, len(entries))
}

// List shows the mailbox, a line for each message.
func (a *Agent) List(ctx context.Context, o *InboxOptions) error {
	return a.mailbox(ctx, &o.Server, func(session *pop3.Session) error {
		count, size, err := session.Stat()
		if err != nil {
			return err
		}
		entries, err := session.List()
		if err != nil {
			return err
		}
		for _, entry := range entries {
			header, err := a.header(session, entry)
			if err != nil {
				return err
			}
			line := Listed{
				entry.Number, entry.UID, entry.Size, header.Text("Date"), header.Text("From"), header.Text("To"), header.Text("Subject"),
			}
			if a.JSON {
				if err := a.printJSON(line); err != nil {
					return err
				}
				continue
			}
			fmt.Fprintf(a.Out, "%4d  %10s  %-30s  %s\n", line.Number, bytesText(line.Size), clip(wire.Printable(line.From), 30), wire.Printable(line.Subject))
		}
		if !a.JSON {
			fmt.Fprintf(a.Out, "%d messages, %s\n", count, bytesText(size))
		}
		return nil
	})
}

// header fetches the header of a message, with TOP where there is one.
func (a *Agent) header(session *pop3.Session, entry pop3.Entry) (message.Header, error) {
	body, err := session.Top(entry.Number, 0)
	if _, refused := errors.AsType[*pop3.Error](err); refused {
		body, err = session.Retrieve(entry)
	}
	if err != nil {
		return nil, err
	}
	header, err := message.ReadHeader(body)
	if err != nil {
		return nil, fmt.Errorf("message %d: %w", entry.Number, err)
	}
	return header, body.Discard()
}

// clip cuts a text to n characters.
func clip(s string, n int) string {
	runes := []rune(s)
	if len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return s
}

// maxShown bounds how much of one text part show prints, in bytes.
const maxShown = 1 << 20

// Show prints a message: who, when, what, its text, and a list of its parts.
func (a *Agent) Show(ctx context.Context, o *InboxOptions) error {
	return a.mailbox(ctx, &o.Server, func(session *pop3.Session) error {
		entry, err := find(session, o.Which)
		if err != nil {
			return err
		}
		body, err := session.Retrieve(entry)
		if err != nil {
			return err
		}
		view := &view{out: a.Out, json: a.JSON}
		if a.JSON {
			view.out = &view.text
		}
		if err := message.Read(body, view.head, view.part); err != nil {
			return fmt.Errorf("message %d: %w", entry.Number, err)
		}
		a.compareSize(entry, body)
		if err := view.end(); err != nil || !a.JSON {
			return err
		}
		view.shown.Text = view.text.String()
		return a.printJSON(view.shown)
	})
}

// A Shown message is the result of inbox show as JSON.
type Shown struct {
	Header map[string]string `json:"header"`
	Text   string            `json:"text"`
	Parts  []ShownPart       `json:"parts"`
}

// A ShownPart is one that is not shown as text.
type ShownPart struct {
	Part string `json:"part"`
	Type string `json:"type"`
	Name string `json:"name"`
	Size int64  `json:"size"` // bytes
}

// compareSize warns when a message is not as long as LIST said.
func (a *Agent) compareSize(entry pop3.Entry, body *pop3.Body) {
	if got := body.Size(); got != entry.Size {
		a.warn("message %d has %d bytes, the server announced %d", entry.Number, got, entry.Size)
	}
}

// view shows a message while it is read. HTML waits: it is only shown if there
// is no plain text.
type view struct {
	out       io.Writer
	json      bool
	shown     Shown           // for JSON
	text      strings.Builder // for JSON: what would be printed as text
	htmlText  string
	plainSeen bool
	parts     []string
}

func (v *view) head(h message.Header) error {
	v.shown = Shown{Header: make(map[string]string), Parts: []ShownPart{}}
	for _, name := range []string{"Date", "From", "To", "Cc", "Reply-To", "Subject"} {
		if text := h.Text(name); text != "" {
			v.shown.Header[name] = text
			if !v.json {
				fmt.Fprintf(v.out, "%s: %s\n", name, wire.Printable(text))
			}
		}
	}
	if !v.json {
		fmt.Fprintln(v.out)
	}
	return nil
}

func (v *view) part(p *message.Part) error {
	text := !p.Attachment() && (p.Type == "text/plain" || p.Type == "text/html")
	size := &countingReader{}
	var err error
	switch {
	case text && p.Type == "text/plain":
		v.plainSeen = true
		source := p.Text()
		if err = printText(v.out, source); err == nil {
			size.r = source // what is left over
		}
	case text && v.htmlText == "":
		v.htmlText, err = message.PlainText(p.Text())
	}
	if size.r == nil {
		size.r = p.Body
	}
	name := p.Filename
	if name == "" && p.ContentID != "" {
		name = "cid:" + p.ContentID
	}
	if err == nil {
		_, err = io.Copy(io.Discard, size)
	}
	note := ""
	if err != nil {
		if !damaged(err) {
			return err
		}
		note = fmt.Sprintf(" (damaged: %v)", err)
	}
	if !text {
		v.shown.Parts = append(v.shown.Parts, ShownPart{p.Path, p.Type, name, size.n})
		v.parts = append(v.parts, fmt.Sprintf("[%s] %s %s %s%s", p.Path, wire.Printable(p.Type), wire.Printable(name), bytesText(size.n), note))
	} else if note != "" {
		v.parts = append(v.parts, fmt.Sprintf("[%s] %s%s", p.Path, p.Type, note))
	}
	return nil
}

func (v *view) end() error {
	if !v.plainSeen && v.htmlText != "" {
		if err := printText(v.out, strings.NewReader(v.htmlText)); err != nil {
			return err
		}
	}
	if v.json {
		return nil // the parts are in the JSON
	}
	if len(v.parts) > 0 {
		fmt.Fprintln(v.out)
	}
	for _, line := range v.parts {
		fmt.Fprintln(v.out, line)
	}
	return nil
}

// printText prints a stranger's text line by line, made safe for a terminal.
func printText(w io.Writer, r io.Reader) error {
	lines := bufio.NewReaderSize(io.LimitReader(r, maxShown), 64<<10)
	for {
		line, err := lines.ReadSlice('\n')
		text, end := strings.CutSuffix(string(line), "\n")
		fmt.Fprint(w, wire.Printable(strings.TrimSuffix(text, "\r")))
		if end || errors.Is(err, io.EOF) && text != "" {
			fmt.Fprintln(w)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}

// damaged tells errors of a part's encoding from those of the connection, after
// which there is nothing more to read.
func damaged(err error) bool {
	return !errors.Is(err, wire.ErrClosed) && !errors.Is(err, wire.ErrTimeout) && !errors.Is(err, pop3.ErrProtocol) &&
		!errors.Is(err, errOutput) && ExitCode(err) == ExitInternal
}

type countingReader struct {
	r io.Reader
	n int64
}

// Read implements io.Reader.
func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// A SavedPart is a file that save has written.
type SavedPart struct {
	Part string `json:"part"`
	Type string `json:"type"`
	File string `json:"file"`
	Size int64  `json:"size"` // bytes
}

// errOutput marks an error of a file that is written.
var errOutput = errors.New("cannot write")

// Save writes the parts of a message to files of a directory.
func (a *Agent) Save(ctx context.Context, o *InboxOptions) error {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return fail(ExitCantCreate, "%w", err)
	}
	return a.mailbox(ctx, &o.Server, func(session *pop3.Session) error {
		entry, err := find(session, o.Which)
		if err != nil {
			return err
		}
		body, err := session.Retrieve(entry)
		if err != nil {
			return err
		}
		var source io.Reader = body
		if a.Terminal && entry.Size > 1<<20 {
			progress := newBar(a.Err, "receiving", entry.Size, "B")
			defer progress.clear()
			source = io.TeeReader(source, progress)
		}
		var raw *os.File
		if o.Raw {
			if raw, err = create(o.Dir, fmt.Sprintf("message-%d.eml", entry.Number)); err != nil {
				return fail(ExitCantCreate, "%w", err)
			}
			defer raw.Close()
			source = io.TeeReader(source, outputWriter{raw})
		}
		err = message.Read(source, nil, func(p *message.Part) error { return a.savePart(o.Dir, p) })
		if err != nil {
			if errors.Is(err, errOutput) {
				return fail(ExitCantCreate, "%w", err)
			}
			return fmt.Errorf("message %d: %w", entry.Number, err)
		}
		if raw != nil {
			if err = raw.Close(); err != nil {
				return fail(ExitCantCreate, "%w", err)
			}
			a.saved(SavedPart{"0", "message/rfc822", raw.Name(), body.Size()})
		}
		a.compareSize(entry, body)
		return nil
	})
}

func (a *Agent) saved(part SavedPart) {
	if a.JSON {
		if err := a.printJSON(part); err != nil {
			a.warn("%v", err)
		}
		return
	}
	fmt.Fprintf(a.Out, "%s (%s, %s)\n", part.File, wire.Printable(part.Type), bytesText(part.Size))
}

// savePart writes one part. A file that cannot be completed is taken away.
func (a *Agent) savePart(dir string, p *message.Part) error {
	f, err := create(dir, message.SafeName(p))
	if err != nil {
		return fmt.Errorf("%w: %w", errOutput, err)
	}
	w := bufio.NewWriterSize(outputWriter{f}, 64<<10)
	n, err := io.Copy(w, p.Body)
	if ferr := w.Flush(); ferr != nil {
		err = ferr
	}
	if cerr := f.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("%w: %w", errOutput, cerr)
	}
	if err != nil {
		if damaged(err) {
			a.warn("part %s is damaged (%v): %s has what could be read", p.Path, err, f.Name())
		} else {
			_ = os.Remove(f.Name()) // the first error counts
			return err
		}
	}
	a.saved(SavedPart{p.Path, p.Type, f.Name(), n})
	return nil
}

// outputWriter marks the errors of a file.
type outputWriter struct{ f *os.File }

// Write implements io.Writer.
func (w outputWriter) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	if err != nil {
		err = fmt.Errorf("%w: %w", errOutput, err)
	}
	return n, err
}

// create makes a new file, under another name if the name is taken. It follows
// no link and replaces nothing.
func create(dir, name string) (*os.File, error) {
	ext := filepath.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	for n := 2; ; n++ {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil || !errors.Is(err, os.ErrExist) || n > 9999 {
			return f, err
		}
		name = fmt.Sprintf("%s-%d%s", stem, n, ext)
	}
}

// Delete deletes a message; it is gone only when QUIT has been confirmed.
func (a *Agent) Delete(ctx context.Context, o *InboxOptions) error {
	var entry pop3.Entry
	marked := false
	err := a.mailbox(ctx, &o.Server, func(session *pop3.Session) error {
		var err error
		if entry, err = find(session, o.Which); err != nil {
			return err
		}
		err = session.Delete(entry.Number)
		marked = err == nil
		return err
	})
	if err != nil {
		if marked {
			return fail(ExitTemporary, "the deletion was not confirmed, the message may still be there: %w", err)
		}
		return err
	}
	if a.JSON {
		return a.printJSON(map[string]any{"deleted": entry.Number, "uid": entry.UID})
	}
	fmt.Fprintf(a.Out, "Deleted message %d.\n", entry.Number)
	return nil
}
