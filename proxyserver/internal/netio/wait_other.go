//go:build !unix

package netio

const canWaitBare = false

func (c *Conn) readFirst(uintptr) bool { return true }

func (c *Conn) peekAlive(uintptr) {}
