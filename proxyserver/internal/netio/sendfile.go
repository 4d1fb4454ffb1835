package netio

import (
	"io"
	"os"
	"time"
)

// filePiece is how much of a file is sent under one timeout: a client must take
// that much within it.
const filePiece = 512 << 10

// SendFile sends n octets of f from its offset off on, without copying them
// through the process where the system can do so. Each piece has to get away
// within timeout.
func (c *Conn) SendFile(f *os.File, off, n int64, timeout time.Duration) (sent int64, err error) {
	if _, err = f.Seek(off, io.SeekStart); err != nil {
		return 0, err
	}
	for sent < n {
		c.Timeout(timeout)
		piece := io.LimitedReader{R: f, N: min(n-sent, filePiece)}
		var k int64
		if c.tcp != nil {
			k, err = c.tcp.ReadFrom(&piece)
		} else {
			k, err = io.Copy(c.Conn, &piece)
		}
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
