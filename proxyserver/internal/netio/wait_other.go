//go:build !unix

package netio

import "syscall"

const canWaitBare = false

func (c *Conn) readFirst(uintptr) bool { return true }

func peekAlive(syscall.RawConn) bool { return true }
