package listen

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
)

// holder names the process that has a port, as "nginx (pid 123)". Other users'
// processes do not show their sockets to all.
func holder(port int) string {
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return nobody
	}
	var sockets []string
	add := func(inode uint64) { sockets = append(sockets, fmt.Sprintf("socket:[%d]", inode)) }
	const listening = 0x0a
	four, _ := proc.NetTCP() //nolint:staticcheck // netlink scales better, but for one error message this table does
	six, _ := proc.NetTCP6() //nolint:staticcheck // as above
	for _, line := range append(four, six...) {
		if int(line.LocalPort) == port && line.St == listening {
			add(line.Inode)
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
