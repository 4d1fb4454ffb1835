//go:build unix && !linux

package sandbox

import (
	"os"
	"os/exec"
	"syscall"
)

func confine(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func killTree(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }
