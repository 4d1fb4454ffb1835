package pop3

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"topdown/smtpclient/internal/session"
)

// A Body is the content of a multi-line reply, dots undone.
type Body struct {
	s     *Session
	rest  []byte // read and not yet returned
	start bool   // the next byte begins a line
	done  bool
	err   error
	size  int64 // bytes returned
	limit int64
	since int64
}

// body prepares to read a message of the announced size. Servers count line
// ends in different ways, so twice the size is let pass.
func (s *Session) body(announced int64) *Body {
	s.conn.Extend(blockTimeout)
	return &Body{s: s, start: true, limit: 2*announced + 64<<10}
}

// Size is the number of bytes read so far.
func (b *Body) Size() int64 { return b.size }

// Discard reads what is left.
func (b *Body) Discard() error {
	_, err := io.Copy(io.Discard, b)
	return err
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	for len(b.rest) == 0 {
		if b.done {
			return 0, io.EOF
		}
		if b.err != nil {
			return 0, b.err
		}
		b.fill()
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	// As many lines as there are and fit, but no waiting for more.
	for len(b.rest) == 0 && n < len(p) && !b.done && b.err == nil && b.s.conn.Buffered() > session.MaxLine {
		b.fill()
		m := copy(p[n:], b.rest)
		b.rest = b.rest[m:]
		n += m
	}
	b.size += int64(n)
	return n, nil
}

// fill reads the next line, or a piece of a long one.
func (b *Body) fill() {
	line, err := b.s.conn.Raw().ReadSlice('\n')
	whole := err == nil
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
		b.fail(b.s.conn.Failure(err))
		return
	}
	b.s.conn.Received(line)
	if b.since += int64(len(line)); b.since >= session.BufferSize {
		b.since = 0
		b.s.conn.Extend(blockTimeout)
	}
	if b.size > b.limit {
		b.fail(fmt.Errorf("%w: it sends more than twice the announced size", ErrProtocol))
		return
	}
	if b.start && line[0] == '.' {
		if bytes.Equal(bytes.TrimRight(line, "\r\n"), []byte{'.'}) && whole {
			b.done = true
			return
		}
		line = line[1:]
	}
	b.start = whole
	b.rest = line
}

func (b *Body) fail(err error) { b.err = b.s.conn.Lost("message", err) }
