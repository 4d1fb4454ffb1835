//go:build !linux

package site

// newMemory returns nil: there is no vmsplice here.
func newMemory(int64) []byte { return nil }

func protect([]byte, bool) error { return nil }

func unmap([]byte) {}
