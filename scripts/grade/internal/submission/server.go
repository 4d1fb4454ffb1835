package submission

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"topdown/scripts/grade/internal/rubric"
	"topdown/scripts/grade/internal/sandbox"
)

// A Server is a submission that is a server: it is started on a port, again if need
// be, or runs elsewhere already.
type Server struct {
	*Submission

	Host string
	Port int
	Vars map[string]string // of its command line, beside host, port and dir
	Proc *sandbox.Process

	kind string
}

// NewServer returns a submission's server; kind is tcp or udp. Without a submission
// it is for reading checks only.
func NewServer(s *Submission, kind string) (*Server, error) {
	v := &Server{Submission: s, Host: "127.0.0.1", kind: kind}
	if s == nil || s.Addr == "" {
		return v, nil
	}
	host, port, err := net.SplitHostPort(s.Addr)
	if err == nil {
		v.Host = host
		v.Port, err = strconv.Atoi(port)
	}
	return v, err
}

// End ends the program.
func (v *Server) End() {
	if v.Proc != nil {
		v.Proc.Stop()
	}
}

// Address is where the server is.
func (v *Server) Address() string { return net.JoinHostPort(v.Host, strconv.Itoa(v.Port)) }

// State says that the program has ended, if it has, and how.
func (v *Server) State() string { return State(v.Proc) }

// Ensure starts the program if it does not run.
func (v *Server) Ensure(t *rubric.T) *rubric.Failure {
	if v.Addr != "" || v.Proc != nil && v.Proc.Running() {
		return nil
	}
	if v.Proc != nil {
		t.Log.Notef("the program had ended (%s) and is started again", v.Proc.Ending())
	}
	v.Port = v.FreePort()
	return v.Launch(t, v.Command, v.Vars)
}

// Launch starts a command on the port and waits until it listens there.
func (v *Server) Launch(t *rubric.T, command string, vars map[string]string) *rubric.Failure {
	all := map[string]string{"host": v.Host, "port": strconv.Itoa(v.Port), "dir": v.Work}
	maps.Copy(all, vars)
	before, _ := listening(v.kind) // the grader's own
	p, err := v.Start(command, all)
	if err != nil {
		return rubric.Failf("the program starts", "%v", err)
	}
	v.Proc = p
	t.Log.Notef("started: %s", p.Line)
	patience := Patience()
	for begin := time.Now(); p.Running() && time.Since(begin) < patience; time.Sleep(20 * time.Millisecond) {
		if v.listens(time.Since(begin)) {
			return nil
		}
	}
	want := fmt.Sprintf("within %v it listens on %s port %d", patience.Round(time.Second), strings.ToUpper(v.kind), v.Port)
	if !p.Running() {
		return rubric.Failf(want, "%s%s", p.Ending(), Printed(p.Output()))
	}
	f := rubric.Failf(want, "nothing listens on port %d%s", v.Port, Printed(p.Output()))
	ports, _ := listening(v.kind)
	ports = slices.DeleteFunc(ports, func(port int) bool { return slices.Contains(before, port) })
	if v.Box.Isolated && len(ports) > 0 {
		f.Hint = fmt.Sprintf("It listens on port %v instead. Take the port from the command line ({port} in --cmd), or grade with --fixed-port %d.", ports, ports[0])
	}
	p.Stop()
	return f
}

// listens reports whether something listens on the port: seen without a connection,
// for programs that serve only one. Where that cannot be seen, a connection tells, and
// of UDP the time that has passed.
func (v *Server) listens(passed time.Duration) bool {
	if ports, known := listening(v.kind); known {
		return slices.Contains(ports, v.Port)
	}
	if v.kind == "udp" {
		return passed > time.Second
	}
	conn, err := net.DialTimeout("tcp", v.Address(), time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
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
