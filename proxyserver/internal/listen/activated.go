package listen

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
)

const (
	firstActivated = 3  // SD_LISTEN_FDS_START
	maxActivated   = 64 // more than that is a mistake
)

// Activated returns the listeners that systemd has opened for this process
// (socket activation, sd_listen_fds(3)), given the values of LISTEN_PID and
// LISTEN_FDS. There are none, and no error, if either is empty or the process
// meant is another. The caller should then take both out of the environment.
func Activated(pid, fds string) ([]net.Listener, error) {
	if pid == "" || fds == "" || pid != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(fds)
	if err != nil || n < 1 || n > maxActivated {
		return nil, fmt.Errorf("socket activation: LISTEN_FDS is %q, not a number from 1 to %d", fds, maxActivated)
	}
	return fromFiles(firstActivated, n)
}

func fromFiles(first, n int) ([]net.Listener, error) {
	var lns []net.Listener
	for fd := first; fd < first+n; fd++ {
		file := os.NewFile(uintptr(fd), "LISTEN_FD_"+strconv.Itoa(fd))
		if file == nil {
			return nil, closeAll(lns, fmt.Errorf("socket activation: there is no file descriptor %d", fd))
		}
		ln, err := net.FileListener(file)
		file.Close() // ln has a duplicate that children do not inherit
		if err != nil {
			return nil, closeAll(lns, fmt.Errorf("socket activation: file descriptor %d is not a listening stream socket: %w", fd, err))
		}
		lns = append(lns, ln)
	}
	return lns, nil
}

func closeAll(lns []net.Listener, err error) error {
	for _, ln := range lns {
		err = errors.Join(err, ln.Close())
	}
	return err
}
