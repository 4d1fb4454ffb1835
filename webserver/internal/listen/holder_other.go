//go:build !linux

package listen

// holderOf finds nothing out here.
func holderOf(int) string { return nobody }

// privilegeHint tells how a program may use a port below 1024.
const privilegeHint = ", or start it as an administrator"
