//go:build !unix

package server

// temporary reports whether accept may succeed when tried again; a listener
// that is closed is told apart before.
func temporary(error) bool { return true }
