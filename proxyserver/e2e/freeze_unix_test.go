//go:build unix

package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// freeze stops the proxy where it is until thaw is called, so that its directory
// can be looked at as it is at one moment.
func (r *running) freeze(t *testing.T) (thaw func()) {
	t.Helper()
	r.cmd.Process.Signal(syscall.SIGSTOP)
	deadline := time.Now().Add(patience)
	for !r.stopped() && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	return func() { r.cmd.Process.Signal(syscall.SIGCONT) }
}

// stopped reports whether all threads are.
func (r *running) stopped() bool {
	states, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(r.cmd.Process.Pid), "task", "*", "stat"))
	for _, path := range states {
		text, err := os.ReadFile(path)
		if _, rest, ok := strings.Cut(string(text), ") "); err == nil && ok && !strings.HasPrefix(rest, "T") {
			return false
		}
	}
	return err == nil
}
