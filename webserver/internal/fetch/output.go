package fetch

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"topdown/pkg/httpmsg"
)

// output shows heads and puts the body where the options say.
type output struct {
	opts *Options
}

// check finds out early what would stop the body from being saved.
func (o *output) check() error {
	path := o.opts.Output
	if path == "" || path == "-" {
		return nil
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%w: %s is a folder: name a file in it", ErrUsage, path)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return fmt.Errorf("%w: there is no folder %s to save to", ErrUsage, filepath.Dir(path))
	}
	return nil
}

// requestHead shows the request, if that is wanted.
func (o *output) requestHead(req *httpmsg.Request) {
	if o.opts.Verbose {
		o.head(o.opts.Stderr, "> ", fmt.Sprintf("%s %s HTTP/1.%d", req.Method, req.Target, req.Minor), req.Fields)
	}
}

// responseHead shows the head of a response: with Verbose on Stderr, otherwise
// before the body, where only the final one is of interest.
func (o *output) responseHead(resp *httpmsg.Response, interim bool) {
	status := strings.TrimRight(fmt.Sprintf("HTTP/1.%d %d %s", resp.Minor, resp.Status, resp.Reason), " ")
	switch {
	case o.opts.Verbose:
		o.head(o.opts.Stderr, "< ", status, resp.Fields)
	case o.opts.Output == "" && !interim:
		o.head(o.opts.Stdout, "", status, resp.Fields)
	}
	if location := resp.Fields.Get("Location"); resp.Status/100 == 3 && location != "" {
		fmt.Fprintf(o.opts.Stderr, "the server points to %s (redirects are not followed)\n", printable(location))
	}
}

func (o *output) head(w io.Writer, prefix, start string, fields httpmsg.Fields) {
	var b strings.Builder
	line := func(s string) {
		// Stderr may be a terminal as well.
		if o.opts.Terminal || w == o.opts.Stderr {
			s = printable(s)
		}
		b.WriteString(strings.TrimRight(prefix+s, " ") + "\n")
	}
	line(start)
	for _, field := range fields {
		line(field.Name + ": " + field.Value)
	}
	line("")
	fmt.Fprint(w, b.String())
}

// printable returns s with everything that could command a terminal escaped.
func printable(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := rune(s[i]), 1
		if r >= 0x80 {
			r, size = utf8.DecodeRuneInString(s[i:])
		}
		if unicode.IsPrint(r) && (r != '\ufffd' || size > 1) || r == '\t' {
			b.WriteString(s[i : i+size])
		} else {
			for _, c := range []byte(s[i : i+size]) {
				fmt.Fprintf(&b, `\x%02x`, c)
			}
		}
		i += size
	}
	return b.String()
}

// body copies the body to where it belongs.
func (o *output) body(body io.Reader, resp *httpmsg.Response) error {
	switch path := o.opts.Output; {
	case path == "" && o.opts.Terminal:
		_, err := io.Copy(&terminal{w: o.opts.Stdout}, body)
		return saveError(err)
	case path == "" || path == "-":
		_, err := io.Copy(o.opts.Stdout, body)
		return saveError(err)
	case resp.Status/100 != 2:
		// A page that says why there is no such file is not the file.
		_, err := io.Copy(io.Discard, body)
		fmt.Fprintf(o.opts.Stderr, "%d %s: %s is not written\n", resp.Status, printable(resp.Reason), path)
		return err
	default:
		n, err := save(path, body)
		if err == nil {
			fmt.Fprintf(o.opts.Stderr, "%d %s: %d bytes written to %s\n", resp.Status, printable(resp.Reason), n, path)
		}
		return saveError(err)
	}
}

func saveError(err error) error {
	if _, ok := errors.AsType[*Error](err); err == nil || ok {
		return err
	}
	return &Error{Step: "save", Err: err}
}

// save writes all of r to path, or leaves what is there as it is.
func save(path string, r io.Reader) (n int64, err error) {
	// A link stays a link; its target is replaced.
	if target, linkErr := filepath.EvalSymlinks(path); linkErr == nil {
		path = target
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		// A device or a pipe can only be written to.
		return saveInPlace(path, r)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	temp := filepath.Join(filepath.Dir(path), ".get-"+rand.Text()+".tmp")
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return 0, err
	}
	n, err = io.Copy(file, r)
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return n, errors.Join(err, os.Remove(temp))
	}
	return n, nil
}

func saveInPlace(path string, r io.Reader) (int64, error) {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(file, r)
	return n, errors.Join(err, file.Close())
}

// terminal passes text on and stops at what a terminal would obey.
type terminal struct {
	w    io.Writer
	last byte
}

func (t *terminal) Write(p []byte) (int, error) {
	for i, c := range p {
		control := c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0x7f
		// U+0080 to U+009F, in UTF-8, are controls as well.
		if control || t.last == 0xc2 && c >= 0x80 && c <= 0x9f {
			w := bufio.NewWriter(t.w)
			w.Write(p[:i]) //nolint:errcheck // Flush returns the error
			return i, errors.Join(&Error{
				Step: "save", Err: errors.New("the body is binary and is not shown on a terminal"),
				Hint: "save it with -o FILE, or force it with -o -",
			}, w.Flush())
		}
		t.last = c
	}
	return t.w.Write(p)
}
