package listen

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
)

// holderOf names the process that listens on a TCP port, as "nginx (pid 123)",
// or returns nobody if that cannot be found out: other users' processes do not
// show their sockets.
func holderOf(port int) string {
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return nobody
	}
	const listening = 0x0a
	var sockets []string
	four, _ := proc.NetTCP() //nolint:staticcheck // netlink scales better, but for one error message this table does
	six, _ := proc.NetTCP6() //nolint:staticcheck // as above
	for _, line := range append(four, six...) {
		if int(line.LocalPort) == port && line.St == listening {
			sockets = append(sockets, fmt.Sprintf("socket:[%d]", line.Inode))
		}
	}
	processes, _ := proc.AllProcs()
	for _, process := range processes {
		targets, _ := process.FileDescriptorTargets()
		if !slices.ContainsFunc(targets, func(target string) bool { return slices.Contains(sockets, target) }) {
			continue
		}
		comm, _ := process.Comm()
		// A process gives itself its name, and may put anything into it.
		return fmt.Sprintf("%s (pid %d)", strings.Trim(strconv.QuoteToASCII(comm), `"`), process.PID)
	}
	return nobody
}

// privilegeHint tells how a program may use a port below 1024.
const privilegeHint = ", or run: sudo setcap cap_net_bind_service=+ep webserver"
