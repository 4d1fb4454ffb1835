package netio

import (
	"io"
	"os"
	"time"
)

// filePiece is how much of a file is sent under one timeout: a client must take
// that much within it.
const filePiece = 1 << 20

// SendFile sends n octets of f from its offset off on. Each piece of up to 1 MiB
// has to get away within timeout.
func (c *Conn) SendFile(f *os.File, off, n int64, timeout time.Duration) (sent int64, err error) {
	for sent < n {
		c.Timeout(timeout)
		k, err := c.sendPiece(f, off+sent, min(n-sent, filePiece))
		sent += k
		c.Sent.Add(k)
		if err == nil && k == 0 {
			err = io.ErrUnexpectedEOF // the file has shrunk
		}
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// sendCopied sends a piece of a file through a buffer.
func (c *Conn) sendCopied(f *os.File, off, n int64) (int64, error) {
	return io.Copy(c.Conn, io.NewSectionReader(f, off, n))
}
