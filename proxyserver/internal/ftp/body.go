package ftp

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"topdown/proxyserver/internal/netio"
)

// body is a file on its way. The last bytes are held back until the server has
// confirmed that the transfer is complete.
type body struct {
	session *session
	data    *netio.Conn
	left    int64 // bytes to come, -1 if unknown
	cut     bool  // the file goes on after what was asked for
	err     error
	closed  bool
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil || b.closed {
		return 0, b.err
	}
	if b.left == 0 {
		b.err = b.confirm()
		return 0, b.err
	}
	if b.left > 0 && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	b.data.Timeout(b.session.timeout)
	n, err := b.data.Read(p)
	if b.left > 0 {
		b.left -= int64(n)
	}
	switch {
	case b.left == 0:
		if b.err = b.confirm(); !errors.Is(b.err, io.EOF) {
			n = 0
		}
		return n, b.err
	case errors.Is(err, io.EOF) && b.left > 0:
		b.err = io.ErrUnexpectedEOF
	case errors.Is(err, io.EOF):
		b.err = b.confirm()
	default:
		b.err = err
	}
	return n, b.err
}

// confirm returns io.EOF if the transfer is complete.
func (b *body) confirm() error {
	if b.cut {
		return io.EOF
	}
	if b.left == 0 {
		var more [1]byte
		b.data.Timeout(b.session.timeout)
		if n, err := b.data.Read(more[:]); n > 0 || err != nil && !errors.Is(err, io.EOF) {
			return errors.New("the file is longer than the server said")
		}
	}
	b.data.Shut()
	r, err := b.session.reply()
	if err = expect(r, err, 226, 250); err != nil {
		return fmt.Errorf("the transfer was not confirmed: %w", err)
	}
	return io.EOF
}

// Close implements io.Closer.
func (b *body) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	if b.err == nil {
		b.err = errors.New("read after close")
	}
	b.data.Shut()
	b.data.Release()
	b.session.quit()
	return nil
}

func inMemory(content []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(content)) }
