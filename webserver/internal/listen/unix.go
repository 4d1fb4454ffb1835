package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// listenUnix opens a socket at path, removes one there that nobody listens on
// any more, and removes its own when closed.
//
// The socket gets mode 0666: it can be reached by every user of the machine,
// just like a port on the loopback address. To let fewer in, put it into a
// folder that fewer may enter.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	addr := "unix:" + path
	switch {
	case path == "":
		return nil, &Error{Addr: addr, Reason: "there is no path", Hint: "write unix:/path/to/socket"}
	case len(path) > 100:
		// The path must fit into sockaddr_un: 108 bytes on Linux, 104 elsewhere.
		return nil, &Error{Addr: addr, Reason: fmt.Sprintf("the path has %d bytes, a socket's may have 100", len(path)), Hint: "choose a shorter path"}
	case strings.HasPrefix(path, "@"):
		path = "./" + path // a file of that name, not an abstract socket
	}
	if err := removeStale(ctx, addr, path); err != nil {
		return nil, err
	}
	var config net.ListenConfig
	ln, err := config.Listen(ctx, "unix", path)
	if err != nil {
		e := &Error{Addr: addr, Reason: err.Error(), Err: err}
		if errno, ok := errors.AsType[syscall.Errno](err); ok {
			e.Reason = errno.Error()
			e.Hint = "the folder of the socket must exist, and this user must be able to write to it"
		}
		return nil, e
	}
	if err = os.Chmod(path, 0o666); err != nil {
		ln.Close()
		return nil, &Error{Addr: addr, Reason: err.Error(), Err: err}
	}
	return ln, nil
}

// removeStale removes the socket at path if it is one and nobody answers on it:
// the system leaves it behind when a server is killed.
func removeStale(ctx context.Context, addr, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &Error{Addr: addr, Reason: err.Error(), Err: err}
	}
	if info.Mode().Type() != fs.ModeSocket {
		return &Error{Addr: addr, Reason: "there is something else than a socket at that path", Hint: "remove it, or choose another path", Err: fs.ErrExist}
	}
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		conn.Close()
		return &Error{Addr: addr, Reason: "another server is listening there", Hint: "stop it, or choose another path", Err: errInUse}
	case !errors.Is(err, errRefused):
		return &Error{Addr: addr, Reason: "there is a socket that may be in use: " + err.Error(), Hint: "remove it if it is not", Err: err}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &Error{Addr: addr, Reason: "the socket that an earlier server left cannot be removed: " + err.Error(), Err: err}
	}
	return nil
}
