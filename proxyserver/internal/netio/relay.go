package netio

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
)

const relaySize = 32 << 10

var relayBuffers = sync.Pool{New: func() any { return new([relaySize]byte) }}

// Relay sends what src gives to dst until src ends, then ends dst's stream as
// well. Each piece is added to moved, and renew is called for it. It returns
// nil when src came to its end.
//
// Two bare TCP connections are joined within the kernel where it can do that.
// Nothing is held while src is silent.
func Relay(dst, src *Conn, moved *atomic.Int64, renew func()) error {
	// What has been read ahead goes first.
	if n := src.Buffered(); n > 0 {
		window, err := src.Peek(n)
		if err != nil {
			return err
		}
		if _, err = dst.Write(window); err != nil {
			return err
		}
		if _, err = src.Discard(n); err != nil {
			return err
		}
		moved.Add(int64(n))
		renew()
	}
	src.Release()
	err := splice(dst, src, moved, renew)
	if errors.Is(err, errors.ErrUnsupported) {
		err = relay(dst, src, moved, renew)
	}
	if err == nil {
		err = dst.CloseWrite()
	}
	return err
}

func relay(dst, src *Conn, moved *atomic.Int64, renew func()) error {
	for {
		if err := src.Wait(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		buf, _ := relayBuffers.Get().(*[relaySize]byte)
		n, err := src.Read(buf[:])
		if err == nil {
			_, err = dst.Write(buf[:n])
		}
		relayBuffers.Put(buf)
		src.Release()
		moved.Add(int64(n))
		if err != nil {
			return err
		}
		renew()
	}
}
