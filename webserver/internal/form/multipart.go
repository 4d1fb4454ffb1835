package form

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strings"
)

const (
	// maxBoundary is the longest boundary, in bytes (RFC 2046 section 5.1.1).
	maxBoundary = 70

	// maxPartHead bounds what may be read to find the next part: the header
	// fields of the part or, before the first, the preamble. In bytes; what
	// the reader has in its own buffer of a few KiB comes on top.
	maxPartHead = 16 << 10
)

// unquoter undoes what senders do to the characters that would end a name (HTML
// section 4.10.21.8, "multipart/form-data encoding algorithm").
var unquoter = strings.NewReplacer("%22", `"`, "%0D", "\r", "%0A", "\n")

// readMultipart reads the parts of a form. If it fails, files that it stored
// are removed again.
func readMultipart(in *source, boundary string, k *keeper) (err error) {
	if boundary == "" {
		return malformed("the Content-Type multipart/form-data has no boundary")
	}
	if len(boundary) > maxBoundary {
		return malformed("the boundary of the form is longer than %d bytes", maxBoundary)
	}
	var store *batch
	if k.opts.Store != nil {
		store = k.opts.Store.begin()
		defer func() {
			if cleanup := store.end(); cleanup != nil {
				err = errors.Join(err, cleanup)
			}
		}()
	}
	reader := multipart.NewReader(&ender{r: in}, boundary)
	buf := make([]byte, 32<<10)
	for {
		in.budget = maxPartHead
		part, err := reader.NextRawPart()
		if errors.Is(err, errBudget) {
			return tooLarge("the head of a part of the form is larger than %d bytes", maxPartHead)
		}
		in.budget = noBudget
		if errors.Is(err, io.EOF) { // the final boundary; a body that ends before it says errCut
			break
		}
		if err != nil {
			return broken(err)
		}
		if err := readPart(part, k, store, buf); err != nil {
			return err
		}
	}
	// What follows the final boundary is to be ignored (RFC 2046 section 5.1.1).
	if _, err := io.CopyBuffer(onlyWriter{io.Discard}, in, buf); err != nil {
		return err
	}
	if store == nil {
		return nil
	}
	return store.commit(k.result.Files)
}

// onlyWriter hides that a writer can also read, so that the buffer is used.
type onlyWriter struct{ io.Writer }

// ender reads a body and, at its end, one more line end and then errCut in place
// of io.EOF. For multipart.Reader says io.EOF both at the final boundary and
// where the body breaks off inside the head of a part. The line end, in the
// style of the body's last one, stands in for the one that may be missing after
// the final boundary.
type ender struct {
	r      io.Reader
	last   byte   // the byte read last
	bareLF bool   // the last line end was LF, not CRLF
	ended  bool   // r is at its end
	rest   string // of the line end
}

var errCut = errors.New("unexpected end")

func (e *ender) Read(p []byte) (int, error) {
	if !e.ended {
		n, err := e.r.Read(p)
		e.note(p[:n])
		if !errors.Is(err, io.EOF) {
			return n, err
		}
		e.ended = true
		e.rest = "\r\n"
		if e.bareLF {
			e.rest = "\n"
		}
		if n > 0 {
			return n, nil
		}
	}
	if e.rest == "" {
		return 0, errCut
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

// note remembers the style of the last line end in p.
func (e *ender) note(p []byte) {
	if len(p) == 0 {
		return
	}
	switch i := bytes.LastIndexByte(p, '\n'); {
	case i > 0:
		e.bareLF = p[i-1] != '\r'
	case i == 0:
		e.bareLF = e.last != '\r'
	}
	e.last = p[len(p)-1]
}

// broken says that the multipart structure does not hold.
func broken(err error) error {
	if errors.Is(err, errCut) {
		return malformed("the form ends before its final boundary")
	}
	return malformed("the form is not well-formed multipart/form-data: %v", err)
}

// readPart reads one part: a file if its Content-Disposition has a filename,
// a field if not (RFC 7578 section 4.2).
func readPart(part *multipart.Part, k *keeper, store *batch, buf []byte) error {
	if err := k.part(); err != nil {
		return err
	}
	disposition, params, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
	name, named := params["name"]
	if err != nil || disposition != "form-data" || !named {
		return malformed("a part of the form has no Content-Disposition with a name")
	}
	name = unquoter.Replace(name)
	if err := k.keep(len(name)); err != nil {
		return err
	}
	filename, isFile := params["filename"]
	if isFile {
		return readFile(part, name, unquoter.Replace(filename), k, store, buf)
	}
	val := &value{k: k}
	if err := copyPart(val, part, buf); err != nil {
		return err
	}
	val.field(name)
	return nil
}

// readFile streams a file through the hash and into the store.
func readFile(part *multipart.Part, field, filename string, k *keeper, store *batch, buf []byte) error {
	contentType := part.Header.Get("Content-Type")
	if err := k.keep(len(filename) + len(contentType)); err != nil {
		return err
	}
	hash := sha256.New()
	var to io.Writer = hash
	if store != nil {
		f, err := store.create()
		if err != nil {
			return err
		}
		to = io.MultiWriter(f, hash)
	}
	counted := &counter{w: to}
	if err := copyPart(counted, part, buf); err != nil {
		return err
	}
	if store != nil {
		// A file input that was left empty is sent as a file with neither
		// name nor content: there is nothing to store.
		if err := store.finish(filename != "" || counted.n > 0); err != nil {
			return err
		}
	}
	k.result.Files = append(k.result.Files, File{
		Field:       field,
		Name:        filename,
		ContentType: contentType,
		Size:        counted.n,
		SHA256:      hex.EncodeToString(hash.Sum(nil)),
	})
	return nil
}

// copyPart copies a part, and tells a form that breaks off from a destination
// that fails.
func copyPart(dst io.Writer, part io.Reader, buf []byte) error {
	for {
		n, err := part.Read(buf)
		if n > 0 {
			if _, werr := dst.Write(buf[:n]); werr != nil {
				return werr
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return broken(err)
		}
	}
}

// counter counts what passes to w.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
