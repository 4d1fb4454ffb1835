//go:build !linux

package netio

import "os"

func (c *Conn) sendPiece(f *os.File, off, n int64) (int64, error) { return c.sendCopied(f, off, n) }
