package draft

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"topdown/smtpclient/internal/message"

	"golang.org/x/text/encoding"
	xunicode "golang.org/x/text/encoding/unicode"
)

// maxBody bounds a text or HTML body in bytes; what is larger should be attached.
const maxBody = 8 << 20

// parts reads what is the same for every recipient.
func (d *Draft) parts(m *Mail) (*message.Mail, error) {
	parts := &message.Mail{Subject: d.Subject, Text: d.Text, HTML: d.HTML}
	var err error
	if d.From == "" {
		return nil, mistake("--from is missing: whose mail is it?")
	}
	if parts.From, err = message.ParseAddress(d.From); err != nil {
		return nil, mistake("--from: %w", err)
	}
	if d.ReplyTo != "" {
		if parts.ReplyTo, err = message.ParseAddressList(d.ReplyTo); err != nil {
			return nil, mistake("--reply-to: %w", err)
		}
	}
	for _, text := range d.Header {
		name, value, ok := strings.Cut(text, ":")
		f := message.Field{Name: strings.TrimSpace(name), Value: strings.TrimSpace(value)}
		if !ok {
			return nil, mistake("--header %q: write \"Name: value\"", text)
		}
		if bad := f.Check(); bad != nil {
			return nil, mistake("--header: %w", bad)
		}
		parts.Extra = append(parts.Extra, f)
	}
	if _, bad := message.Charset(d.Charset); bad != nil {
		return nil, mistake("--charset %q: a character set is expected, as in utf-8, iso-8859-1 or gb18030", d.Charset)
	}
	if err = d.oneInput(); err != nil {
		return nil, err
	}
	if d.Text != "" && d.TextFile != "" || d.HTML != "" && d.HTMLFile != "" {
		return nil, mistake("give a body directly or from a file, not both")
	}
	if d.TextFile != "" {
		if parts.Text, err = d.body("--text-file", d.TextFile); err != nil {
			return nil, err
		}
	}
	if d.HTMLFile != "" {
		if parts.HTML, err = d.body("--html-file", d.HTMLFile); err != nil {
			return nil, err
		}
	}
	if parts.Inline, err = d.files(m, "--inline", d.Inline); err != nil {
		return nil, err
	}
	parts.Attach, err = d.files(m, "--attach", d.Attach)
	return parts, err
}

// oneInput makes sure that the standard input is wanted once at most.
func (d *Draft) oneInput() error {
	n := 0
	for _, path := range append(append([]string{d.TextFile, d.HTMLFile}, d.Inline...), d.Attach...) {
		if name, _, _ := strings.Cut(path, ":"); name == "-" {
			n++
		}
	}
	if n > 1 {
		return mistake("the standard input can be one thing only: the text, the HTML or one file")
	}
	return nil
}

// body reads a text or HTML body and makes it UTF-8.
func (d *Draft) body(flag, path string) (string, error) {
	r := d.In
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return "", FileError(flag+" ", err)
		}
		defer f.Close()
		r = f
	}
	data, err := io.ReadAll(io.LimitReader(r, maxBody+1))
	if err != nil {
		return "", FileError(flag+" ", err)
	}
	if len(data) > maxBody {
		return "", fmt.Errorf("%w: %s %s is larger than 8.0 MiB: send it with --attach", message.ErrFormat, flag, path)
	}
	return toUTF8(flag, path, data, d.Charset)
}

// toUTF8 takes a byte order mark at its word, and away; else the charset counts,
// and without one the text has to be UTF-8: a guess would garble what it gets
// wrong.
func toUTF8(flag, path string, data []byte, charset string) (string, error) {
	var enc encoding.Encoding
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		data = data[3:]
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		enc = xunicode.UTF16(xunicode.BigEndian, xunicode.ExpectBOM)
	case charset != "":
		var err error
		if enc, err = message.Charset(charset); err != nil {
			return "", err
		}
	}
	if enc != nil {
		decoded, err := enc.NewDecoder().Bytes(data)
		if err != nil {
			return "", fmt.Errorf("%w: %s %s: %w", message.ErrFormat, flag, path, err)
		}
		data = decoded
	}
	n := 0
	for line := range bytes.Lines(data) {
		if n++; !utf8.Valid(line) {
			return "", fmt.Errorf("%w: %s %s, line %d: it is not UTF-8; say what it is, as in --charset iso-8859-1", message.ErrFormat, flag, path, n)
		}
	}
	return string(data), nil
}

// files looks at the files to be sent, without reading them yet.
func (d *Draft) files(m *Mail, flag string, specs []string) ([]message.File, error) {
	list := make([]message.File, 0, len(specs))
	for _, spec := range specs {
		f, path := parseFile(spec)
		if kind, _, err := mime.ParseMediaType(f.Type); f.Type != "" && (err != nil || !strings.Contains(kind, "/") || len(f.Type) > 255) {
			return nil, mistake("%s %q: a media type is expected, as in type=text/csv", flag, spec)
		}
		if path == "-" {
			temporary, err := d.keepInput(m)
			if err != nil {
				return nil, err
			}
			if path = temporary; f.Name == "-" {
				f.Name = "attachment"
			}
		}
		info, err := os.Stat(path)
		if err != nil {
			return nil, FileError(flag+" ", err)
		}
		if !info.Mode().IsRegular() {
			return nil, FileError(flag+" ", &fs.PathError{Op: "open", Path: path, Err: errNoFile})
		}
		opened, err := os.Open(path)
		if err != nil {
			return nil, FileError(flag+" ", err)
		}
		opened.Close()
		f.Size = info.Size()
		f.Open = func() (io.ReadCloser, error) { return os.Open(path) }
		list = append(list, f)
	}
	return list, nil
}

var errNoFile = errors.New("it is no regular file")

// parseFile reads "PATH[:type=TYPE][:name=NAME]". A path that exists as it
// stands is taken so.
func parseFile(spec string) (f message.File, path string) {
	path = spec
	if _, err := os.Stat(spec); err != nil {
		for {
			i := max(strings.LastIndex(path, ":type="), strings.LastIndex(path, ":name="))
			if i < 1 {
				break
			}
			switch value := path[i+len(":type="):]; path[i : i+len(":type=")] {
			case ":type=":
				f.Type = value
			default:
				f.Name = value
			}
			path = path[:i]
		}
	}
	if f.Name == "" {
		f.Name = path
		if path != "-" {
			f.Name = filepath.Base(path)
		}
	}
	f.Name = strings.Map(func(r rune) rune { // tabs and line ends are possible in a file's name
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(f.Name, "_"))
	return f, path
}

// keepInput copies the standard input to a temporary file, so that it can be
// read more than once, and its size is known.
func (d *Draft) keepInput(m *Mail) (string, error) {
	f, err := os.CreateTemp("", "smtpclient-*")
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrTemporary, err)
	}
	m.close = append(m.close, func() {
		os.Remove(f.Name()) //nolint:errcheck // a file in the temporary directory
	})
	_, err = io.Copy(f, d.In)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrTemporary, err)
	}
	return f.Name(), nil
}

// FileError says about a file that cannot be used which flag named it, and why,
// as in "--attach /nowhere: no such file or directory".
func FileError(flag string, err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return &fileError{flag, path}
	}
	return fmt.Errorf("%s%w", flag, err)
}

type fileError struct {
	flag string // with a space behind it, or empty
	err  *fs.PathError
}

func (e *fileError) Error() string { return e.flag + e.err.Path + ": " + e.err.Err.Error() }
func (e *fileError) Unwrap() error { return e.err }
