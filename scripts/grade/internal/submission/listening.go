package submission

import (
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"

	"topdown/scripts/grade/internal/sandbox"
)

func cpus() int { return runtime.NumCPU() }

// Listening lists the ports on which something listens in the box, to tell a
// student that the program listens elsewhere: kind is tcp or udp. It knows nothing
// where the network is not the box's own.
func Listening(b *sandbox.Box, kind string) []int {
	if !b.Isolated {
		return nil
	}
	state := "0A"
	if kind == "udp" {
		state = "07"
	}
	seen := map[int]bool{}
	for _, file := range []string{"/proc/net/" + kind, "/proc/net/" + kind + "6"} {
		text, _ := os.ReadFile(file)
		for line := range strings.SplitSeq(string(text), "\n") {
			f := strings.Fields(line)
			if len(f) < 4 || f[3] != state {
				continue
			}
			_, hex, _ := strings.Cut(f[1], ":")
			if port, err := strconv.ParseUint(hex, 16, 16); err == nil {
				seen[int(port)] = true
			}
		}
	}
	var ports []int
	for port := range seen {
		ports = append(ports, port)
	}
	sort.Ints(ports)
	return ports
}
