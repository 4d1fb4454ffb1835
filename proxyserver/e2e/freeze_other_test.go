//go:build !unix

package e2e

import "testing"

// freeze does nothing: there is no signal for it.
func (r *running) freeze(*testing.T) (thaw func()) { return func() {} }
