package bulk

import (
	"encoding/csv"
	"errors"
	"fmt"
	"hash"
	"html"
	"io"
	"os"
	"slices"
	"strings"

	"topdown/smtpclient/internal/message"
)

// A Template is text with {{placeholders}}.
type Template struct {
	pieces []string // literal, name, literal, name, ..., literal
	escape bool
}

// ParseTemplate reads a template; escape makes values safe inside HTML.
func ParseTemplate(text string, escape bool) (*Template, error) {
	t := &Template{escape: escape}
	for {
		before, rest, found := strings.Cut(text, "{{")
		t.pieces = append(t.pieces, before)
		if !found {
			return t, nil
		}
		name, after, closed := strings.Cut(rest, "}}")
		if !closed {
			return nil, fmt.Errorf("a placeholder is not closed: {{%.20s", rest)
		}
		t.pieces = append(t.pieces, strings.ToLower(strings.TrimSpace(name)))
		text = after
	}
}

// Names are the placeholders used.
func (t *Template) Names() []string {
	var names []string
	for i := 1; i < len(t.pieces); i += 2 {
		names = append(names, t.pieces[i])
	}
	return names
}

// Fill puts a row's values in.
func (t *Template) Fill(row *Row) string {
	if len(t.pieces) == 1 {
		return t.pieces[0]
	}
	var b strings.Builder
	for i, piece := range t.pieces {
		if i%2 == 1 {
			if piece = row.Value(piece); t.escape {
				piece = html.EscapeString(piece)
			}
		}
		b.WriteString(piece)
	}
	return b.String()
}

// A Row is one line of the list.
type Row struct {
	Number int // from 1, the line of column names not counted
	To     message.Address
	names  []string
	values []string
}

// Value returns the value in the named column.
func (r *Row) Value(name string) string {
	if i := slices.Index(r.names, name); i >= 0 {
		return r.values[i]
	}
	return ""
}

// A List reads recipients from a CSV file with a line of column names, one of
// them "to", and one recipient in each further line.
type List struct {
	names []string
	to    int
	csv   *csv.Reader
	file  *os.File
	n     int
}

// ErrList is wrapped by errors about a list that cannot be used as it is.
var ErrList = errors.New("the list cannot be used")

// OpenList opens a list; whatever is read of the file goes to sum too, if it is
// not nil.
func OpenList(path string, sum hash.Hash) (*List, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	var r io.Reader = f
	if sum != nil {
		r = io.TeeReader(f, sum)
	}
	l := &List{csv: csv.NewReader(r), file: f}
	l.csv.ReuseRecord = true
	names, err := l.csv.Read()
	if errors.Is(err, io.EOF) {
		err = errors.New("there is none")
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%w: %s: the first line must name the columns: %w", ErrList, path, err)
	}
	for _, name := range names {
		l.names = append(l.names, strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff"))))
	}
	if l.to = slices.Index(l.names, "to"); l.to < 0 {
		f.Close()
		return nil, fmt.Errorf("%w: %s: there is no column named \"to\" for the address; the columns are %s", ErrList, path, strings.Join(l.names, ", "))
	}
	return l, nil
}

// Names are the columns.
func (l *List) Names() []string { return l.names }

// Next returns the next row, or io.EOF.
func (l *List) Next() (*Row, error) {
	record, err := l.csv.Read()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		return nil, fmt.Errorf("%w: %s: %w", ErrList, l.file.Name(), err)
	}
	l.n++
	to, err := message.ParseAddress(record[l.to])
	if err != nil {
		line, _ := l.csv.FieldPos(l.to)
		return nil, fmt.Errorf("%w: %s: line %d: %w", ErrList, l.file.Name(), line, err)
	}
	return &Row{Number: l.n, To: to, names: l.names, values: slices.Clone(record)}, nil
}

// Close closes the file.
func (l *List) Close() { l.file.Close() }
