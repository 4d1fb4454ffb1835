package sandbox

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func self() string { return "/proc/self/exe" }

// Hook must be called first in main: in a process that Start began it sets the
// limits and becomes the program, and does not return.
func Hook() {
	if len(os.Args) != 3 || os.Args[1] != launcherArg {
		return
	}
	var l launch
	if err := json.Unmarshal([]byte(os.Args[2]), &l); err != nil {
		fail(err)
	}
	limit := func(resource int, soft, hard uint64) {
		// A lower limit that is there already stays.
		var old unix.Rlimit
		if unix.Getrlimit(resource, &old) == nil && old.Max < hard {
			soft, hard = min(soft, old.Max), old.Max
		}
		_ = unix.Setrlimit(resource, &unix.Rlimit{Cur: soft, Max: hard})
	}
	set := func(resource int, n uint64) { limit(resource, n, n) }
	// A signal that says why, and a little later the end.
	cpu := uint64(l.Limits.CPU.Seconds())
	limit(unix.RLIMIT_CPU, cpu, cpu+2)
	set(unix.RLIMIT_DATA, uint64(l.Limits.Memory))
	set(unix.RLIMIT_FSIZE, uint64(l.Limits.FileSize))
	set(unix.RLIMIT_CORE, 0)
	set(unix.RLIMIT_NOFILE, 4096)
	set(unix.RLIMIT_NPROC, uint64(tasks(os.Getuid())+l.Limits.Processes))
	_ = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	// Should the machine run out of memory, this program goes first.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0o600)
	fail(syscall.Exec("/bin/sh", []string{"sh", "-c", l.Line}, os.Environ()))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "grade: cannot start the program:", err)
	os.Exit(126)
}

// tasks counts the processes and threads of a user.
func tasks(uid int) (n int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		var st unix.Stat_t
		if unix.Stat(dir, &st) != nil || int(st.Uid) != uid {
			continue
		}
		threads, _ := os.ReadDir(dir + "/task")
		n += len(threads)
	}
	return n
}

// Isolation is how far a worker is cut off.
type Isolation string

// The degrees.
const (
	Full Isolation = "full" // namespaces and an unprivileged user: started as root
	User Isolation = "user" // namespaces in a user namespace
	None Isolation = "none" // limits and a process group only
)

// Worker returns a command for a worker: this program, in new namespaces if the
// degree says so.
func Worker(degree Isolation, args ...string) *exec.Cmd {
	cmd := exec.Command(self(), append([]string{WorkerArg, string(degree)}, args...)...)
	attr := &syscall.SysProcAttr{Setpgid: true}
	const spaces = syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWIPC
	switch degree {
	case Full:
		attr.Cloneflags = spaces
	case User:
		attr.Cloneflags = spaces | syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	cmd.SysProcAttr = attr
	return cmd
}

// Best returns the highest degree that works here, by trying.
func Best() Isolation {
	degrees := []Isolation{Full, User}
	if os.Getuid() != 0 {
		degrees = degrees[1:]
	}
	for _, degree := range degrees {
		if Worker(degree, "probe").Run() == nil {
			return degree
		}
	}
	return None
}

// Enter makes the worker's surroundings, with the scratch folder given, and
// returns the box for its programs.
func Enter(degree Isolation, scratch string) (*Box, error) {
	b := &Box{Scratch: scratch}
	// The programs may run as the same user: they must not look into the worker.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	if degree == None {
		_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
		go b.watch()
		return b, nil
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return nil, fmt.Errorf("mount /proc: %w", err)
	}
	// Nothing of the machine can be written to, where the kernel (5.12) can say so
	// for the whole tree; the scratch folder is memory, with a bound.
	_ = unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	if scratch != "" {
		if err := unix.Mount("tmpfs", scratch, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=512m,mode=0755"); err != nil {
			return nil, fmt.Errorf("mount a scratch folder: %w", err)
		}
	}
	if err := loopbackUp(); err != nil {
		return nil, fmt.Errorf("bring up loopback: %w", err)
	}
	b.Isolated = true
	if degree == Full {
		// A user that nobody else is: its limits and files are its own.
		b.uid = 1_000_000 + rand.IntN(1_000_000_000)
	}
	go b.watch()
	return b, nil
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

func (b *Box) confine(cmd *exec.Cmd) {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if b.uid != 0 {
		attr.Credential = &syscall.Credential{Uid: uint32(b.uid), Gid: uint32(b.uid), Groups: []uint32{}}
	}
	cmd.SysProcAttr = attr
}

// Own gives the path to the user that the programs run as.
func (b *Box) Own(path string) error {
	if b.uid == 0 {
		return nil
	}
	return filepath.WalkDir(path, func(name string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(name, b.uid, b.uid)
	})
}

func (b *Box) killGroup(p *os.Process) {
	if p != nil {
		_ = syscall.Kill(-p.Pid, syscall.SIGKILL)
	}
}

// killRest ends what has left its process group: in a process namespace of its own
// the worker is the first process, and -1 means all others there.
func (b *Box) killRest() {
	if b.Isolated && os.Getpid() == 1 {
		_ = syscall.Kill(-1, syscall.SIGKILL)
		return
	}
	for range 100 {
		children := descendants(os.Getpid())
		if len(children) == 0 {
			return
		}
		for _, pid := range children {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// watch ends programs that take too much memory together, and takes leave of
// orphans that have ended, until the worker ends.
func (b *Box) watch() {
	for range time.Tick(200 * time.Millisecond) {
		own := map[int]bool{}
		var limit int64
		list := b.Processes()
		for _, p := range list {
			own[p.cmd.Process.Pid] = true
			limit = max(limit, DefaultLimits.Memory)
		}
		reap(own)
		if limit == 0 {
			continue
		}
		var used int64
		for _, pid := range descendants(os.Getpid()) {
			used += resident(pid)
		}
		if used > limit {
			for _, p := range list {
				p.setExcess(fmt.Sprintf("it took more than %d MiB of memory and was ended", limit>>20))
				p.stop()
			}
			b.killRest()
		}
	}
}

// reap takes leave of orphans that came to the worker and have ended, so that they
// do not count as processes for ever. Those that os/exec waits for stay.
func reap(own map[int]bool) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if state, parent := stat(pid); state == "Z" && parent == os.Getpid() && !own[pid] {
			var ws unix.WaitStatus
			_, _ = unix.Wait4(pid, &ws, unix.WNOHANG, nil)
		}
	}
}

// stat returns the state and the parent of a process.
func stat(pid int) (state string, parent int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0
	}
	// "pid (name) state ppid": the name may hold anything.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 2 {
		return "", 0
	}
	parent, _ = strconv.Atoi(fields[1])
	return fields[0], parent
}

// descendants lists the processes below pid.
func descendants(pid int) []int {
	parent := map[int]int{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		child, _ := strconv.Atoi(filepath.Base(dir))
		if state, up := stat(child); state != "" && state != "Z" {
			parent[child] = up
		}
	}
	var list []int
	for child := range parent {
		for p := parent[child]; p > 0; p = parent[p] {
			if p == pid {
				list = append(list, child)
				break
			}
		}
	}
	return list
}

// resident returns the memory of a process that it shares with none, in bytes.
func resident(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(text))
	if len(f) < 3 {
		return 0
	}
	pages, _ := strconv.ParseInt(f[1], 10, 64)
	shared, _ := strconv.ParseInt(f[2], 10, 64)
	return (pages - shared) * int64(os.Getpagesize())
}

func exitCode(s *os.ProcessState) int {
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return s.ExitCode()
}

func describe(s *os.ProcessState) string {
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		switch ws.Signal() {
		case syscall.SIGXCPU:
			return "it took more processor time than is allowed and was ended"
		case syscall.SIGXFSZ:
			return "it wrote a larger file than is allowed and was ended"
		}
		return "a signal ended it: " + ws.Signal().String()
	}
	return fmt.Sprintf("it ended with exit code %d", s.ExitCode())
}
