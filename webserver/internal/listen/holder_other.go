//go:build !linux

package listen

import "context"

// holderOf finds nothing out here.
func holderOf(context.Context, int) string { return nobody }

// privilegeHint tells how a program may use a port below 1024.
const privilegeHint = ", or start it as an administrator"
