package sandbox

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	Hook()
	os.Exit(m.Run())
}

func TestLimitsEndAProgram(t *testing.T) {
	for name, c := range map[string]struct {
		line   string
		change func(*Limits)
		ending string
	}{
		"processor time": {"while :; do :; done", func(l *Limits) { l.CPU = time.Second }, "processor time"},
		"memory":         {"tail /dev/zero", func(l *Limits) { l.Memory = 32 << 20 }, "exit code"},
		"file size":      {"exec yes > big", func(l *Limits) { l.FileSize = 1 << 20 }, "larger file"},
		"output":         {"yes", func(l *Limits) { l.Output = 1 << 20 }, "printed more than 1 MiB"},
		"its own end":    {"echo hello; exit 7", func(*Limits) {}, "exit code 7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &Box{Scratch: t.TempDir()}
			limits := DefaultLimits
			c.change(&limits)
			p, err := b.Start(Command{Line: c.line, Dir: b.Scratch, Env: []string{"PATH=" + os.Getenv("PATH")}, Limits: limits})
			if err != nil {
				t.Fatal(err)
			}
			if !p.Wait(time.Minute) {
				p.Stop()
				t.Fatal("it was not ended")
			}
			if !strings.Contains(p.Ending(), c.ending) {
				t.Errorf("%s; %q is expected", p.Ending(), c.ending)
			}
			if name == "memory" && p.ExitCode() == 0 || len(p.Output()) > kept {
				t.Errorf("exit code %d, %d bytes kept", p.ExitCode(), len(p.Output()))
			}
		})
	}
}

func TestStopEndsTheWholeGroup(t *testing.T) {
	b := &Box{Scratch: t.TempDir()}
	p, err := b.Start(Command{
		Line: "trap '' TERM INT HUP; sleep 1000 & echo started; wait; sleep 1000",
		Dir:  b.Scratch, Env: []string{"PATH=" + os.Getenv("PATH")}, Limits: DefaultLimits,
	})
	if err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); !strings.Contains(p.Output(), "started") && time.Since(begin) < time.Minute; time.Sleep(time.Millisecond) {
	}
	pid := p.cmd.Process.Pid
	p.Stop()
	for begin := time.Now(); time.Since(begin) < 10*time.Second; time.Sleep(5 * time.Millisecond) {
		if len(descendants(pid)) == 0 {
			return
		}
	}
	t.Error("a child is left")
}
