package message

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"topdown/smtpclient/internal/crlf"
)

// Bounds on a header, ours or a stranger's.
const (
	maxHeaderBytes  = 256 << 10
	maxHeaderFields = 1000
)

// A Raw message is one that came ready made, as an .eml file. Its body is read
// again each time that it is written.
type Raw struct {
	Header Header // as found

	src      io.ReadSeeker
	head     []byte // what is sent: canonical, with Date and Message-ID, without Bcc
	bodyAt   int64
	bodySize int64
	eightBit bool
	utf8     bool
	id       string
}

// ErrFormat is wrapped by errors about a message that cannot be sent as it is.
var ErrFormat = errors.New("the message cannot be sent as it is")

// ReadRaw examines the message in src. Line ends are made canonical; Bcc is
// taken out. NUL, a line of more than 998 bytes and a header that is not one are
// errors which wrap ErrFormat and name the line. Before it is sent, the message
// must be completed.
func ReadRaw(src io.ReadSeeker) (*Raw, error) {
	r := bufio.NewReaderSize(src, 64<<10)
	lines := &lineScan{r: r}
	raw := &Raw{src: src}
	var all, keep bytes.Buffer // of the header: what is found, what is sent
	dropping := false
	for {
		line, err := lines.next()
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		end := errors.Is(err, io.EOF)
		if len(line) == 0 {
			break
		}
		if lines.n == 1 && mboxMark(line) {
			continue
		}
		if all.Len() > maxHeaderBytes {
			return nil, fmt.Errorf("%w: its header has more than %d bytes", ErrFormat, maxHeaderBytes)
		}
		if !isSpace(line[0]) {
			name, _, ok := strings.Cut(string(line), ":")
			name = strings.TrimRight(name, " \t")
			if err := (Field{Name: name}).Check(); !ok || err != nil {
				return nil, fmt.Errorf("%w: line %d is no header field (an empty line must separate header and body)", ErrFormat, lines.n)
			}
			dropping = strings.EqualFold(name, "Bcc") || strings.EqualFold(name, "Resent-Bcc")
		} else if all.Len() == 0 {
			return nil, fmt.Errorf("%w: line %d continues a header field that has not begun", ErrFormat, lines.n)
		}
		raw.utf8 = raw.utf8 || lines.high && !dropping
		lines.high = false
		line = append(line, "\r\n"...)
		all.Write(line)
		if !dropping {
			keep.Write(line)
		}
		if end {
			break
		}
	}
	var err error
	if raw.Header, err = ReadHeader(&all); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	raw.bodyAt = lines.read
	keep.WriteString("\r\n")
	raw.head = keep.Bytes()
	lines.high = false
	if err := raw.measure(lines); err != nil {
		return nil, err
	}
	return raw, nil
}

// Complete adds the Date and the Message-ID (given without < and >) that a
// message must have, if it has none.
func (raw *Raw) Complete(date time.Time, messageID string) {
	var b bytes.Buffer
	if raw.Header.Get("Date") == "" {
		writeRaw(&b, "Date", date.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	}
	if raw.id = strings.Trim(raw.Header.Get("Message-ID"), "<> "); raw.id == "" {
		raw.id = messageID
		writeRaw(&b, "Message-ID", "<"+messageID+">")
	}
	b.Write(raw.head)
	raw.head = b.Bytes()
}

// measure reads the body once to learn its size and whether it is 8-bit.
func (raw *Raw) measure(lines *lineScan) error {
	for {
		line, err := lines.next()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err == nil || len(line) > 0 {
			raw.bodySize += int64(len(line)) + 2
		}
		if err != nil {
			raw.eightBit = lines.high
			return nil
		}
	}
}

// MessageID is the message's identifier, without < and >.
func (raw *Raw) MessageID() string { return raw.id }

// Size implements smtp.Message.
func (raw *Raw) Size() int64 { return int64(len(raw.head)) + raw.bodySize }

// EightBit implements smtp.Message.
func (raw *Raw) EightBit() bool { return raw.eightBit }

// UTF8 implements smtp.Message.
func (raw *Raw) UTF8() bool { return raw.utf8 }

// WriteTo implements io.WriterTo.
func (raw *Raw) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(raw.head)
	if err != nil {
		return int64(n), err
	}
	if _, err := raw.src.Seek(raw.bodyAt, io.SeekStart); err != nil {
		return int64(n), err
	}
	count := &counter{w: w}
	body := crlf.NewWriter(count)
	if _, err := io.Copy(body, raw.src); err != nil {
		return int64(n) + count.n, err
	}
	if err := body.Close(); err != nil {
		return int64(n) + count.n, err
	}
	if count.n != raw.bodySize {
		return int64(n) + count.n, errors.New("the file changed while it was sent")
	}
	return int64(n) + count.n, nil
}

type counter struct {
	w io.Writer
	n int64
}

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// lineScan reads lines that end in CR, LF or CRLF and checks each.
type lineScan struct {
	r    *bufio.Reader
	n    int   // lines so far
	read int64 // bytes so far
	high bool  // a byte above 127 was seen
	buf  [longestLine + 2]byte
}

// next returns a line without its end, valid until the following call. At the
// end of the input it returns io.EOF together with what is left.
func (l *lineScan) next() ([]byte, error) {
	l.n++
	line := l.buf[:0]
	for {
		b, err := l.r.ReadByte()
		if err != nil {
			return line, err
		}
		l.read++
		switch {
		case b == '\n':
			return line, nil
		case b == '\r':
			if following, err := l.r.Peek(1); err == nil && following[0] == '\n' {
				l.read++
				_, _ = l.r.Discard(1) // what was peeked at can be discarded
			}
			return line, nil
		case b == 0:
			return nil, fmt.Errorf("%w: line %d contains a NUL byte", ErrFormat, l.n)
		case len(line) == longestLine:
			return nil, fmt.Errorf("%w: line %d is longer than the %d characters that RFC 5322 section 2.1.1 allows: encode that part as quoted-printable or base64", ErrFormat, l.n, longestLine)
		case b >= 0x80:
			l.high = true
		}
		line = append(line, b)
	}
}
