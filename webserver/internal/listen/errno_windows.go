package listen

import "syscall"

// Windows Sockets has numbers of its own.
const (
	errInUse   = syscall.Errno(10048) // WSAEADDRINUSE
	errNotHere = syscall.Errno(10049) // WSAEADDRNOTAVAIL
	errRefused = syscall.Errno(10061) // WSAECONNREFUSED
	errDenied  = syscall.Errno(10013) // WSAEACCES
)
