package submission

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"syscall"
	"time"

	"topdown/scripts/grade/internal/rubric"
	"topdown/scripts/grade/internal/sandbox"
)

// StartTCP starts a command and waits until it takes a connection on the port. The
// process is returned with a failure, too, if there is one.
func (s *Submission) StartTCP(t *rubric.T, command string, port int, vars map[string]string) (*sandbox.Process, *rubric.Failure) {
	p, err := s.Start(command, vars)
	if err != nil {
		return nil, rubric.Failf("the program starts", "%v", err)
	}
	t.Log.Notef("started: %s", p.Line)
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	patience := Patience()
	for begin := time.Now(); time.Since(begin) < patience && p.Running(); time.Sleep(20 * time.Millisecond) {
		if s.Box.Isolated {
			// Seen without a connection, for programs that serve only one.
			if slices.Contains(Listening(s.Box, "tcp"), port) {
				return p, nil
			}
			continue
		}
		if conn, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
			conn.Close()
			return p, nil
		}
	}
	want := fmt.Sprintf("within %v it listens on TCP port %d", patience.Round(time.Second), port)
	if !p.Running() {
		return p, rubric.Failf(want, "%s%s", p.Ending(), Printed(p.Output()))
	}
	f := rubric.Failf(want, "nothing listens on port %d%s", port, Printed(p.Output()))
	if ports := Listening(s.Box, "tcp"); len(ports) > 0 {
		f.Hint = fmt.Sprintf("It listens on port %v instead. Take the port from the command line ({port} in --cmd), or grade with --fixed-port %d.", ports, ports[0])
	}
	p.Stop()
	return p, f
}

// Reason says in words why a connection failed.
func Reason(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused: nothing listens on the port"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the connection was reset"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "time was up"
	}
	return err.Error()
}

// State says that the program has ended, if it has, and how. It is asked when a
// connection went wrong: one that dies of it is given the time to, or the next check
// would find it running still.
func State(p *sandbox.Process) string {
	if p != nil && p.Wait(Patience()/2) {
		return "; the program is not running any more: " + p.Ending() + Printed(p.Output())
	}
	return ""
}
