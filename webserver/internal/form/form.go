// Package form reads the body of a POST request: the two encodings that HTML
// forms use, application/x-www-form-urlencoded (WHATWG URL section 5.1) and
// multipart/form-data (RFC 7578). Anything else, text/plain forms included, is
// read through and told by its size and SHA-256.
//
// It takes an io.Reader and knows neither sockets nor HTTP framing. Memory is
// bounded by Options whatever the body's length; file contents are never held,
// only streamed: to Options.Store if there is one, to nowhere if not. Only the
// files of a multipart form are ever stored, never a bare body.
package form

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
)

// Kind says how a body was encoded.
type Kind string

// The kinds of body.
const (
	URLEncoded Kind = "urlencoded"
	Multipart  Kind = "multipart"
	Other      Kind = "other"
)

// Result is what a body held. Text in it is as the client sent it: it may be
// hostile, and need not be UTF-8.
type Result struct {
	Kind        Kind    `json:"kind"`
	ContentType string  `json:"contentType,omitempty"` // as given, with parameters
	Size        int64   `json:"size"`                  // bytes of the whole body
	SHA256      string  `json:"sha256,omitempty"`      // of the whole body, in hex; only for Other
	Fields      []Field `json:"fields,omitempty"`      // in the order received
	Files       []File  `json:"files,omitempty"`       // in the order received
}

// Field is a named value of a form.
type Field struct {
	Name      string `json:"name"`
	Value     string `json:"value"`
	Size      int64  `json:"size"`                // bytes of the value as sent, decoded
	Truncated bool   `json:"truncated,omitempty"` // Value is only the beginning
}

// File is an uploaded file.
type File struct {
	Field       string `json:"field"`
	Name        string `json:"name"` // as the client sent it: for showing only
	ContentType string `json:"contentType,omitempty"`
	Size        int64  `json:"size"`               // bytes
	SHA256      string `json:"sha256"`             // in hex
	StoredAs    string `json:"storedAs,omitempty"` // name in the store; empty if not stored
}

// Options bounds what Read keeps in memory. The zero value means the defaults.
type Options struct {
	MaxParts      int // fields and files in one form; default 1000
	MaxFieldBytes int // bytes of names and values kept in all; default 256 KiB
	MaxValueBytes int // bytes kept of one value, the rest is counted and dropped; default 64 KiB

	// Store, if set, receives the files of multipart forms.
	Store *Uploads
}

func (o Options) withDefaults() Options {
	if o.MaxParts <= 0 {
		o.MaxParts = 1000
	}
	if o.MaxFieldBytes <= 0 {
		o.MaxFieldBytes = 256 << 10
	}
	if o.MaxValueBytes <= 0 {
		o.MaxValueBytes = 64 << 10
	}
	return o
}

// Error is the client's fault: the body breaks its format (status 400) or a
// limit (status 413).
type Error struct {
	Status int    // HTTP status code to answer with
	Reason string // for the client: one line
}

// Error returns the reason.
func (e *Error) Error() string { return e.Reason }

func malformed(format string, args ...any) error {
	return &Error{Status: 400, Reason: fmt.Sprintf(format, args...)}
}

func tooLarge(format string, args ...any) error {
	return &Error{Status: 413, Reason: fmt.Sprintf(format, args...)}
}

// Read reads body up to its end. contentType is the value of the Content-Type
// field, empty if there was none.
//
// An error is an *Error if the client sent something that cannot be accepted;
// an error of body itself is returned wrapped; anything else is a failure to
// store. After an error nothing of this body stays in the store, and the rest
// of body is unread.
func Read(body io.Reader, contentType string, opts Options) (*Result, error) {
	in := &source{r: body, budget: noBudget}
	k := &keeper{opts: opts.withDefaults(), result: &Result{Kind: Other, ContentType: contentType}}
	mediaType, params, err := mime.ParseMediaType(contentType)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		mediaType = ""
	}
	switch mediaType {
	case "application/x-www-form-urlencoded":
		k.result.Kind = URLEncoded
		err = readURLEncoded(in, k)
	case "multipart/form-data":
		k.result.Kind = Multipart
		err = readMultipart(in, params["boundary"], k)
	default:
		err = readOther(in, k.result)
	}
	if in.err != nil {
		// What the parser made of a body that broke off does not matter.
		err = fmt.Errorf("read body: %w", in.err)
	}
	if err != nil {
		return nil, err
	}
	k.result.Size = in.n
	return k.result, nil
}

// readOther reads a body that is not a form.
func readOther(in io.Reader, result *Result) error {
	hash := sha256.New()
	if _, err := io.Copy(hash, in); err != nil {
		return err
	}
	result.SHA256 = hex.EncodeToString(hash.Sum(nil))
	return nil
}

const noBudget = -1

// source is a body that counts what is read, remembers how reading failed, and
// can be given a budget.
type source struct {
	r      io.Reader
	n      int64 // bytes read so far
	budget int   // bytes that may still be read, or noBudget
	err    error // first error of r other than io.EOF
}

var errBudget = errors.New("budget spent")

func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if s.budget != noBudget {
		if s.budget == 0 {
			return 0, errBudget
		}
		p = p[:min(len(p), s.budget)]
	}
	n, err := s.r.Read(p)
	s.n += int64(n)
	if s.budget != noBudget {
		s.budget -= n
	}
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// keeper collects a result within the limits.
type keeper struct {
	opts   Options
	result *Result
	kept   int // bytes of names and values in result
}

// part admits one more field or file.
func (k *keeper) part() error {
	if len(k.result.Fields)+len(k.result.Files) >= k.opts.MaxParts {
		return tooLarge("the form has more than %d fields", k.opts.MaxParts)
	}
	return nil
}

// keep admits n more bytes of names and values.
func (k *keeper) keep(n int) error {
	if n > k.opts.MaxFieldBytes-k.kept {
		return tooLarge("the form's fields are larger than %d bytes in all", k.opts.MaxFieldBytes)
	}
	k.kept += n
	return nil
}

// value collects the value of a field.
type value struct {
	k    *keeper
	text []byte
	size int64
}

// Write keeps what still fits and counts the rest.
func (v *value) Write(p []byte) (int, error) {
	v.size += int64(len(p))
	fits := p[:min(len(p), v.k.opts.MaxValueBytes-len(v.text))]
	if err := v.k.keep(len(fits)); err != nil {
		return 0, err
	}
	v.text = append(v.text, fits...)
	return len(p), nil
}

// field adds the value to the result.
func (v *value) field(name string) {
	f := Field{Name: name, Value: string(v.text), Size: v.size}
	if v.size > int64(len(f.Value)) {
		f.Truncated = true
		f.Value = wholeRunes(f.Value)
	}
	v.k.result.Fields = append(v.k.result.Fields, f)
}
