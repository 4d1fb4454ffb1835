//go:build !linux

package listen

import "context"

// holderOf finds nothing out here.
func holderOf(context.Context, int) string { return "" }

// privilegeHint tells how a program may use a port below 1024.
func privilegeHint(port int) string {
	if port >= 1024 {
		return ""
	}
	return "; or start it as an administrator"
}
