//go:build !unix

package server

// waiter would wait without a buffer, which this system has no way to do.
type waiter struct{}

func newWaiter(*conn) *waiter { return nil }

func (*waiter) wait() error { return nil }

func (c *conn) writePiece(t *transfer) (int, error) { return c.writeHeld(t) }

// gone cannot tell here.
func (*conn) gone() bool { return false }
