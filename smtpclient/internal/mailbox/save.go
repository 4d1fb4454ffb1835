package mailbox

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"topdown/smtpclient/internal/message"
	"topdown/smtpclient/internal/session"
)

// A SavedPart is a file that save has written.
type SavedPart struct {
	Part string `json:"part"`
	Type string `json:"type"`
	File string `json:"file"`
	Size int64  `json:"size"` // bytes
}

// A Saver writes the parts of a message to new files of a directory.
type Saver struct {
	Dir   string
	Raw   string          // the name for the message itself; empty: not wanted
	Saved func(SavedPart) // is told of each file
	Warn  func(format string, args ...any)
}

// Save writes the parts of the message in r.
func (s *Saver) Save(r io.Reader) error {
	visitor := s.visitor()
	if s.Raw == "" {
		return visitor.Read(r)
	}
	raw, err := create(s.Dir, s.Raw)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrOutput, err)
	}
	count := &countingReader{r: r}
	if err = finish(raw, visitor.Read(io.TeeReader(count, outputWriter{raw}))); err != nil {
		return err
	}
	s.Saved(SavedPart{"0", "message/rfc822", raw.Name(), count.n})
	return nil
}

func (s *Saver) visitor() *message.Visitor {
	return &message.Visitor{Part: s.part, Warn: func(text string) { s.Warn("%s", session.Printable(text)) }}
}

// part writes one part, and if it is a message, that message's parts too.
func (s *Saver) part(p *message.Part) error {
	f, err := create(s.Dir, message.SafeName(p))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrOutput, err)
	}
	w := bufio.NewWriterSize(outputWriter{f}, 64<<10)
	count := &countingReader{r: io.TeeReader(p.Body, w)}
	p.Body = count
	if p.IsMessage() {
		err = p.Read(s.visitor())
	}
	if err == nil {
		_, err = io.Copy(io.Discard, p.Body)
	}
	if ferr := w.Flush(); err == nil {
		err = ferr
	}
	if err = finish(f, err); err != nil {
		return err
	}
	s.Saved(SavedPart{p.Path, p.Type, f.Name(), count.n})
	return nil
}

// finish closes a file whose content is on the disk then: the message may be deleted
// from the mailbox. A file that could not be completed is removed.
func finish(f *os.File, err error) error {
	serr, cerr := f.Sync(), f.Close()
	if cause := cmp.Or(serr, cerr); err == nil && cause != nil {
		err = fmt.Errorf("%w: %w", ErrOutput, cause)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the first error counts
	}
	return err
}

// outputWriter marks the errors of a file.
type outputWriter struct{ f *os.File }

// Write implements io.Writer.
func (w outputWriter) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrOutput, err)
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
