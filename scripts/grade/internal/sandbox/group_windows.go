package sandbox

import (
	"os"
	"os/exec"
	"strconv"
)

func confine(*exec.Cmd) {}

func killTree(p *os.Process) {
	_ = exec.Command("taskkill", "/t", "/f", "/pid", strconv.Itoa(p.Pid)).Run()
}
