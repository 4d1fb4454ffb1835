package server

import (
	"bufio"
	"bytes"
	"io"
)

// bufferSize is the size of a connection's read buffer. A longer head is read
// in pieces.
const bufferSize = 8 << 10

// reader reads from a connection through a buffer that it has only while there
// is something in it: ten thousand silent clients hold none. It implements
// httpmsg.Source.
type reader struct {
	from interface{ receive(p []byte) (int, error) } // the connection
	buf  []byte                                      // of c.work; nil while the connection is idle
	r, w int                                         // what is unread is buf[r:w]
}

// Buffered returns how many bytes can be read without waiting.
func (in *reader) Buffered() int { return in.w - in.r }

// Peek returns the next n bytes without reading them.
func (in *reader) Peek(n int) ([]byte, error) {
	for in.w-in.r < n {
		if n > bufferSize {
			return in.buf[in.r:in.w], bufio.ErrBufferFull
		}
		if err := in.fill(); err != nil {
			return in.buf[in.r:in.w], err
		}
	}
	return in.buf[in.r : in.r+n], nil
}

// Discard passes over the next n bytes, which must have been peeked at.
func (in *reader) Discard(n int) (int, error) {
	n = min(n, in.w-in.r)
	in.r += n
	return n, nil
}

// ReadSlice reads up to and with delim.
func (in *reader) ReadSlice(delim byte) ([]byte, error) {
	for seen := 0; ; {
		if i := bytes.IndexByte(in.buf[in.r+seen:in.w], delim); i >= 0 {
			line := in.buf[in.r : in.r+seen+i+1]
			in.r += len(line)
			return line, nil
		}
		seen = in.w - in.r
		if seen == bufferSize {
			in.r = in.w
			return in.buf[:], bufio.ErrBufferFull
		}
		if err := in.fill(); err != nil {
			rest := in.buf[in.r:in.w]
			in.r = in.w
			return rest, err
		}
	}
}

// Read implements io.Reader. Large reads do not pass through the buffer.
func (in *reader) Read(p []byte) (int, error) {
	if in.r == in.w {
		if len(p) >= bufferSize {
			return in.from.receive(p)
		}
		if err := in.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, in.buf[in.r:in.w])
	in.r += n
	return n, nil
}

// fill reads what has arrived into the free part of the buffer, waiting if
// there is nothing.
func (in *reader) fill() error {
	if in.r > 0 {
		copy(in.buf, in.buf[in.r:in.w])
		in.w -= in.r
		in.r = 0
	}
	n, err := in.from.receive(in.buf[in.w:])
	in.w += n
	if n == 0 && err == nil {
		err = io.ErrNoProgress
	}
	return err
}
