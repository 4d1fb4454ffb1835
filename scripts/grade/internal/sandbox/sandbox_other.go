//go:build !linux

package sandbox

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
)

func self() string {
	name, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return name
}

// Hook must be called first in main: in a process that Start began it runs the
// program, and does not return.
func Hook() {
	if len(os.Args) != 3 || os.Args[1] != launcherArg {
		return
	}
	var l launch
	if err := json.Unmarshal([]byte(os.Args[2]), &l); err != nil {
		fmt.Fprintln(os.Stderr, "grade:", err)
		os.Exit(126)
	}
	shell := []string{"/bin/sh", "-c", l.Line}
	if runtime.GOOS == "windows" {
		shell = []string{"cmd", "/c", l.Line}
	}
	cmd := exec.Command(shell[0], shell[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, "grade: cannot start the program:", err)
		os.Exit(126)
	}
	os.Exit(cmd.ProcessState.ExitCode())
}

// Isolation is how far a worker is cut off.
type Isolation string

// The degrees. Only Linux has more than none.
const (
	Full Isolation = "full"
	User Isolation = "user"
	None Isolation = "none"
)

// Worker returns a command for a worker: this program.
func Worker(degree Isolation, args ...string) *exec.Cmd {
	return exec.Command(self(), append([]string{WorkerArg, string(degree)}, args...)...)
}

// Best returns the highest degree that works here.
func Best() Isolation { return None }

// Enter returns the box for a worker's programs.
func Enter(_ Isolation, scratch string) (*Box, error) { return &Box{Scratch: scratch}, nil }

// Own gives the path to the user that the programs run as.
func (b *Box) Own(string) error { return nil }

func (b *Box) confine(cmd *exec.Cmd) { confine(cmd) }

func (b *Box) killGroup(p *os.Process) {
	if p != nil {
		killTree(p)
	}
}

func (b *Box) killRest() {}

func exitCode(s *os.ProcessState) int { return s.ExitCode() }

func describe(s *os.ProcessState) string {
	return fmt.Sprintf("it ended with exit code %d", s.ExitCode())
}
