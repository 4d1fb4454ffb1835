package smtp

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"topdown/smtpclient/internal/crlf"
	"topdown/smtpclient/internal/session"
)

// A Message is what DATA carries. WriteTo may be called more than once and
// writes the same bytes each time.
type Message interface {
	io.WriterTo
	// Size is the number of bytes that WriteTo writes, line ends as CRLF.
	Size() int64
	// EightBit tells that the body has bytes above 127 (RFC 6152).
	EightBit() bool
	// UTF8 tells that the header has (RFC 6532).
	UTF8() bool
}

// blockSize is how much content may pass before the timeout starts anew.
const blockSize = 64 << 10

// blocks sends content and renews the timeout with every block. While a message
// of more than one block is on its way it listens: a server that refuses early
// (RFC 5321 section 4.2.5 allows it) is heard at once.
type blocks struct {
	s        *Session
	sent     int64
	block    int
	err      error      // of the connection, not of the message's source
	listener chan error // gets one value when the server has spoken
	spoke    atomic.Bool
}

var errEarly = errors.New("the server answered before the message was complete")

// Write implements io.Writer.
func (b *blocks) Write(p []byte) (int, error) {
	if b.spoke.Load() {
		b.err = errEarly
		return 0, b.err
	}
	n, err := b.s.conn.Write(p)
	b.sent += int64(n)
	if err != nil {
		b.err = err
		return n, err
	}
	if b.block += n; b.block >= blockSize {
		b.block = 0
		b.s.conn.Extend(blockTimeout)
		if b.listener == nil {
			b.listener = make(chan error, 1)
			go func() {
				err := b.s.conn.Await()
				b.spoke.Store(true)
				b.listener <- err
			}()
		}
	}
	return n, nil
}

// last sends the end mark and everything before it, unless the server has
// already spoken.
func (b *blocks) last(mark string) error {
	if _, err := b.Write([]byte(mark)); err != nil {
		return err
	}
	b.err = b.s.conn.Flush()
	return b.err
}

// await returns when the server has spoken after the end mark.
func (b *blocks) await() error {
	if b.listener == nil {
		return nil
	}
	return <-b.listener
}

// stopped explains why the content did not get out in full. The end mark has
// not been sent, so the server has no mail; the only way to leave it is to
// close the connection.
func (b *blocks) stopped(cause error) (Reply, error) {
	s := b.s
	s.conn.Break()
	if b.err == nil {
		s.conn.Close()
		_ = b.await() // the listener ends with the connection
		return Reply{}, &SourceError{cause}
	}
	// The server's last words say more than "broken pipe".
	s.conn.Extend(5 * time.Second)
	err := b.await()
	if err == nil {
		var reply Reply
		if reply, err = s.readReply(asItIs); err == nil {
			if reply.Positive() {
				return reply, fmt.Errorf("%w: %q before the end of the message", ErrProtocol, clip(s.conn.Mask.Hide(reply.String())))
			}
			return reply, s.wrong("message content", 250, reply)
		}
	}
	if errors.Is(b.err, errEarly) {
		b.err = err
	}
	return Reply{}, fmt.Errorf("message content: after %d bytes: %w", b.sent, b.err)
}

// A SourceError says that the message could not be read to its end, for example
// because an attachment's file was cut meanwhile. Nothing was delivered.
type SourceError struct{ Err error }

func (e *SourceError) Error() string {
	return fmt.Sprintf("the message could not be read to its end, nothing was delivered: %v", e.Err)
}

func (e *SourceError) Unwrap() error { return e.Err }

// chunk is DATA's successor: BDAT says how many bytes follow, so that they need
// neither dots nor an end mark (RFC 3030 section 2).
func (s *Session) chunk(m Message) (Reply, error) {
	s.conn.Begin("BDAT", blockTimeout)
	if err := s.put(fmt.Sprintf("BDAT %d LAST", m.Size())); err != nil {
		return Reply{}, err
	}
	s.conn.Emit(session.Note, fmt.Sprintf("%d bytes of message", m.Size()))
	out := &blocks{s: s}
	body := crlf.NewWriter(&exactly{w: out, left: m.Size()})
	_, err := m.WriteTo(body)
	if err == nil {
		err = body.Close()
	}
	if err == nil && out.sent != m.Size() {
		err = fmt.Errorf("it has %d bytes instead of %d", out.sent, m.Size())
	}
	if err == nil {
		err = out.last("")
	}
	if err != nil {
		return out.stopped(err)
	}
	return s.finalReply(out)
}

// exactly lets a known number of bytes pass and objects to more.
type exactly struct {
	w    io.Writer
	left int64
}

// Write implements io.Writer.
func (e *exactly) Write(p []byte) (int, error) {
	if int64(len(p)) >= e.left+1 {
		return 0, errors.New("it is longer than announced")
	}
	e.left -= int64(len(p))
	return e.w.Write(p)
}
