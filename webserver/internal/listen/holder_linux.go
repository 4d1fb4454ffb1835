package listen

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// holderOf names the process that listens on a TCP port, as "nginx (pid 123)",
// or returns nobody if that cannot be found out: other users' processes do not
// show their sockets.
func holderOf(ctx context.Context, port int) string {
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		file, err := os.Open(table)
		if err != nil {
			continue
		}
		listeners(file, port, inodes)
		file.Close()
	}
	if len(inodes) == 0 {
		return nobody
	}
	fds, err := filepath.Glob("/proc/[0-9]*/fd")
	if err != nil {
		return nobody
	}
	for _, dir := range fds {
		entries, err := os.ReadDir(dir)
		if ctx.Err() != nil {
			return nobody
		}
		if err != nil {
			continue
		}
		for _, entry := range entries {
			target, err := os.Readlink(filepath.Join(dir, entry.Name()))
			if err == nil && inodes[target] {
				return processName(filepath.Base(filepath.Dir(dir)))
			}
		}
	}
	return nobody
}

func processName(pid string) string {
	name, err := os.ReadFile("/proc/" + pid + "/comm")
	if err != nil {
		return "pid " + pid
	}
	// A process gives itself its name, and may put anything into it.
	return fmt.Sprintf("%s (pid %s)", strings.Trim(strconv.Quote(strings.TrimSpace(string(name))), `"`), pid)
}

// listeners adds to inodes, in the form "socket:[123]", the sockets of a table
// in the format of /proc/net/tcp that listen on port.
func listeners(table io.Reader, port int, inodes map[string]bool) {
	const listening = "0A"
	for lines := bufio.NewScanner(table); lines.Scan(); {
		// sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[3] != listening {
			continue
		}
		_, hex, ok := strings.Cut(fields[1], ":")
		local, err := strconv.ParseUint(hex, 16, 16)
		if ok && err == nil && int(local) == port {
			inodes["socket:["+fields[9]+"]"] = true
		}
	}
}

// privilegeHint tells how a program may use a port below 1024.
const privilegeHint = ", or run: sudo setcap cap_net_bind_service=+ep webserver"
