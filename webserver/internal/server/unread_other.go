//go:build !linux

package server

// lending has nothing to keep where nothing is lent.
type lending struct{}
