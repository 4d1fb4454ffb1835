package netio

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// SendPiece is how many bytes of content are handed to the kernel at a time: each
// piece has to get away within the sender's timeout.
const SendPiece = 512 << 10

// copyBuffer fits into the processor's second-level cache.
const copyBuffer = 128 << 10

var copyBuffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// ErrTooLong is what a Sender returns for content beyond its length.
var ErrTooLong = errors.New("more content than was announced")

// Sender writes a message to a connection, its head in one piece with the first
// of its content. It is what a body's WriteTo is given: a part of a file
// (io.SectionReader of *os.File) goes from the page cache to the socket without
// being copied here.
type Sender struct {
	Conn    *Conn
	Timeout time.Duration // for each piece to get away
	Left    int64         // bytes of content still to come
	Sent    int64         // bytes of content written

	head []byte
}

// NewSender returns a sender for a head and length bytes of content.
func NewSender(conn *Conn, head []byte, length int64, timeout time.Duration) *Sender {
	return &Sender{Conn: conn, Timeout: timeout, Left: length, head: head}
}

// Write implements io.Writer.
func (s *Sender) Write(p []byte) (n int, err error) {
	if int64(len(p)) > s.Left {
		return 0, ErrTooLong
	}
	for err == nil && (n < len(p) || s.head != nil) {
		s.Conn.Timeout(s.Timeout)
		piece := p[n:min(len(p), n+SendPiece)]
		var k int
		if s.head == nil {
			k, err = s.Conn.Write(piece)
		} else {
			head := len(s.head)
			var both int64
			both, err = s.Conn.WriteBuffers(net.Buffers{s.head, piece})
			k = max(int(both)-head, 0)
			s.head = nil
		}
		n += k
		s.count(int64(k))
	}
	return n, err
}

func (s *Sender) count(n int64) {
	s.Sent += n
	s.Left -= n
}

// ReadFrom implements io.ReaderFrom.
func (s *Sender) ReadFrom(r io.Reader) (n int64, err error) {
	if part, ok := r.(*io.SectionReader); ok {
		if n, err = s.sendFile(part); !errors.Is(err, errors.ErrUnsupported) {
			return n, err
		}
	}
	buf, _ := copyBuffers.Get().(*[copyBuffer]byte)
	defer copyBuffers.Put(buf)
	rest, err := io.CopyBuffer(writerOnly{s}, r, buf[:])
	return n + rest, err
}

// writerOnly hides ReadFrom from io.CopyBuffer.
type writerOnly struct{ io.Writer }

// sendFile sends what is left of a part of a file, as far as the kernel does it.
func (s *Sender) sendFile(part *io.SectionReader) (n int64, err error) {
	outer, off, length := part.Outer()
	file, ok := outer.(*os.File)
	if !ok || !canSendFile || s.Conn.tcp == nil {
		return 0, errors.ErrUnsupported
	}
	done, _ := part.Seek(0, io.SeekCurrent)
	if off, length = off+done, length-done; length > s.Left {
		return 0, ErrTooLong
	}
	if s.head != nil {
		s.Conn.Timeout(s.Timeout)
		if err = s.Conn.writeMore(s.head); err != nil {
			return 0, err
		}
		s.head = nil
	}
	for n < length && err == nil {
		s.Conn.Timeout(s.Timeout)
		var k int64
		k, err = s.Conn.sendFile(file, off+n, min(length-n, SendPiece))
		s.count(k)
		n += k
	}
	if errors.Is(err, io.EOF) {
		return n, nil // the file is shorter than that
	}
	part.Seek(n, io.SeekCurrent) //nolint:errcheck // fails only on a bad offset
	return n, err
}
