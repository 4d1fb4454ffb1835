package mailbox

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"topdown/smtpclient/internal/message"
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
	if s.Raw == "" {
		return message.Read(r, nil, s.part)
	}
	raw, err := create(s.Dir, s.Raw)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrOutput, err)
	}
	defer raw.Close()
	count := &countingReader{r: r}
	if err = message.Read(io.TeeReader(count, outputWriter{raw}), nil, s.part); err != nil {
		return err
	}
	if err = raw.Close(); err != nil {
		return fmt.Errorf("%w: %w", ErrOutput, err)
	}
	s.Saved(SavedPart{"0", "message/rfc822", raw.Name(), count.n})
	return nil
}

// part writes one part. A file that cannot be completed is taken away.
func (s *Saver) part(p *message.Part) error {
	f, err := create(s.Dir, message.SafeName(p))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrOutput, err)
	}
	w := bufio.NewWriterSize(outputWriter{f}, 64<<10)
	n, err := io.Copy(w, p.Body)
	if ferr := w.Flush(); ferr != nil {
		err = ferr
	}
	if cerr := f.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("%w: %w", ErrOutput, cerr)
	}
	if err != nil {
		if !damaged(err) {
			_ = os.Remove(f.Name()) // the first error counts
			return err
		}
		s.Warn("part %s is damaged (%v): %s has what could be read", p.Path, err, f.Name())
	}
	s.Saved(SavedPart{p.Path, p.Type, f.Name(), n})
	return nil
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
