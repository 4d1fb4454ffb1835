//go:build !linux

package netio

// writeMore writes b.
func (c *Conn) writeMore(b []byte) error {
	_, err := c.Write(b)
	return err
}
