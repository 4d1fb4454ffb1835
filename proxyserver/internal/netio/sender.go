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
// (io.LimitedReader of *os.File) goes from the page cache to the socket without
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
	if part, ok := r.(*io.LimitedReader); ok && s.Conn.tcp != nil {
		if file, ok := part.R.(*os.File); ok {
			return s.sendFile(file, &part.N)
		}
	}
	buf, _ := copyBuffers.Get().(*[copyBuffer]byte)
	defer copyBuffers.Put(buf)
	return io.CopyBuffer(writerOnly{s}, r, buf[:])
}

// writerOnly hides ReadFrom from io.CopyBuffer.
type writerOnly struct{ io.Writer }

// sendFile sends the next *left bytes of f, and counts them off.
func (s *Sender) sendFile(f *os.File, left *int64) (n int64, err error) {
	if *left > s.Left {
		return 0, ErrTooLong
	}
	if s.head != nil {
		s.Conn.Timeout(s.Timeout)
		if err = s.Conn.writeMore(s.head); err != nil {
			return 0, err
		}
		s.head = nil
	}
	for *left > 0 {
		s.Conn.Timeout(s.Timeout)
		k, err := s.Conn.tcp.ReadFrom(&io.LimitedReader{R: f, N: min(*left, SendPiece)})
		s.Conn.Sent.Add(k)
		s.count(k)
		*left -= k
		n += k
		if err != nil {
			return n, err
		}
		if k == 0 {
			return n, nil // the file is shorter than that
		}
	}
	return n, nil
}
