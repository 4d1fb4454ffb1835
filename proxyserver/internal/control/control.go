// Package control lets the commands of the program ask the proxy that is
// running: over a socket in the directory of its cache, which nobody can reach
// but the user that it belongs to. No web page, no client of the proxy and no
// other user of the machine has a way to it.
//
// A question is one line of words, an answer begins with the line "ok" or with
// one that tells an error; text may follow either.
package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ErrNobody is what Ask returns where no proxy listens.
var ErrNobody = errors.New("no proxy answers there")

const (
	socketName = "control"
	okLine     = "ok\n"
	maxLine    = 64 << 10         // bytes of a question
	maxTold    = 64 << 10         // bytes of an answer that an error can still be told before
	patience   = 30 * time.Second // for a question, and between two pieces of an answer
)

// Handler answers a question. What it writes goes to the asker; an error is told
// before that, and so only as long as not much has been written.
type Handler func(ctx context.Context, w io.Writer, words []string) error

// Listen opens the socket in dir. Only one process may have dir open, so a
// socket that is there already is a dead one's.
func Listen(dir string) (net.Listener, error) {
	path, done, err := socketPath(dir)
	if err != nil {
		return nil, err
	}
	defer done()
	if info, failed := os.Lstat(path); failed == nil && info.Mode()&os.ModeSocket != 0 { // nobody else's file
		if err = os.Remove(path); err != nil {
			return nil, err
		}
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if socket, ok := ln.(*net.UnixListener); ok {
		socket.SetUnlinkOnClose(false) // the short path may not lead there any more
	}
	// The directory may be the user's own, and open to others.
	if err = os.Chmod(path, 0o600); err != nil && runtime.GOOS != "windows" {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}

// Serve answers questions on ln until ctx is done.
func Serve(ctx context.Context, ln net.Listener, handle Handler) {
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := ln.Accept()
		switch {
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			time.Sleep(100 * time.Millisecond) // out of descriptors, most likely
			continue
		}
		wg.Go(func() {
			defer conn.Close()
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			answer(ctx, conn, handle)
		})
	}
}

func answer(ctx context.Context, conn net.Conn, handle Handler) {
	conn.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // the read fails as well
	line, err := bufio.NewReader(io.LimitReader(conn, maxLine)).ReadString('\n')
	if err != nil {
		return
	}
	w := &writer{conn: conn, first: okLine}
	out := bufio.NewWriterSize(w, maxTold)
	if err = handle(ctx, out, strings.Fields(line)); err != nil && w.first != "" {
		w.first = "error: " + strings.ReplaceAll(err.Error(), "\n", " ") + "\n"
	}
	if err = out.Flush(); err == nil {
		w.Write(nil) //nolint:errcheck // the asker has gone
	}
}

// writer puts a line in front of what is written: how it went.
type writer struct {
	conn  net.Conn
	first string // "" once it is sent
}

func (w *writer) Write(p []byte) (int, error) {
	if err := w.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(w.conn, w.first); err != nil {
		return 0, err
	}
	w.first = ""
	return w.conn.Write(p)
}

// Ask puts a question to the proxy that has dir open and writes its answer to w.
// The words hold no spaces.
func Ask(ctx context.Context, dir string, w io.Writer, words ...string) error {
	path, done, err := socketPath(dir)
	if err != nil {
		return err
	}
	defer done()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return ErrNobody
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if _, err = io.WriteString(conn, strings.Join(words, " ")+"\n"); err != nil {
		return fmt.Errorf("ask the proxy: %w", err)
	}
	in := bufio.NewReader(conn)
	first, err := in.ReadString('\n')
	if err != nil {
		return fmt.Errorf("read the proxy's answer: %w", err)
	}
	if _, err = io.Copy(w, in); err != nil {
		return fmt.Errorf("read the proxy's answer: %w", err)
	}
	if first != okLine {
		return errors.New(strings.TrimPrefix(strings.TrimSpace(first), "error: "))
	}
	return nil
}

// maxPath is how long the path of a socket may be everywhere.
const maxPath = 100

// socketPath returns a path to the socket in dir that is short enough for a
// socket's address; done releases what it needs.
func socketPath(dir string) (path string, done func(), err error) {
	path = filepath.Join(dir, socketName)
	if len(path) <= maxPath {
		return path, func() {}, nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	path = filepath.Join("/proc/self/fd", strconv.Itoa(int(d.Fd())), socketName)
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		d.Close()
		return "", nil, errors.New("the path of the directory is too long for a socket")
	}
	return path, func() { d.Close() }, nil
}
