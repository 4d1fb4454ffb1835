package netio

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// fileBuffer fits into the processor's second-level cache.
const fileBuffer = 128 << 10

var fileBuffers = sync.Pool{New: func() any { return new([fileBuffer]byte) }}

// mappedPiece is how much of a mapped file is handed over at a time.
const mappedPiece = 512 << 10

// SendMapped sends a head and the octets of a mapped file; each piece of up to
// 512 KiB has to get away within timeout. Only the kernel reads them, and copies
// them once. sendfile would lend its pages: that costs less here and over
// loopback twice as much at the receiver, which gets single pages.
func (c *Conn) SendMapped(head, mapped []byte, timeout time.Duration) (sent int64, err error) {
	c.Timeout(timeout)
	first := min(len(mapped), mappedPiece)
	if sent, err = c.WriteBuffers(net.Buffers{head, mapped[:first]}); err != nil {
		return sent, err
	}
	for mapped = mapped[first:]; len(mapped) > 0; {
		c.Timeout(timeout)
		w, err := c.Write(mapped[:min(len(mapped), mappedPiece)])
		sent += int64(w)
		if err != nil {
			return sent, err
		}
		mapped = mapped[w:]
	}
	return sent, nil
}

// SendFile sends n octets of f from its offset off on by copying them; each
// piece of up to 128 KiB has to get away within timeout.
func (c *Conn) SendFile(f *os.File, off, n int64, timeout time.Duration) (sent int64, err error) {
	buf, _ := fileBuffers.Get().(*[fileBuffer]byte)
	defer fileBuffers.Put(buf)
	for sent < n {
		k, err := f.ReadAt(buf[:min(n-sent, fileBuffer)], off+sent)
		if k == 0 {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF // the file has shrunk
			}
			return sent, err
		}
		c.Timeout(timeout)
		w, err := c.Write(buf[:k])
		sent += int64(w)
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}
