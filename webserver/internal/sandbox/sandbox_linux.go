package sandbox

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

const (
	readAccess  = ll.AccessFSReadFile | ll.AccessFSReadDir
	writeAccess = readAccess | ll.AccessFSWriteFile | ll.AccessFSTruncate | ll.AccessFSMakeReg | ll.AccessFSRemoveFile

	netABI = 4 // the first that knows TCP
)

func restrict(rules Rules) (string, error) {
	// The time zone is read at the first use, which may come too late.
	_, _ = time.Now().Local().Zone()

	if err := ll.AllThreadsPrctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return "", fmt.Errorf("no_new_privs: %w", err)
	}
	abi, err := ll.LandlockGetABIVersion()
	if err != nil || abi < 1 {
		return "Landlock is not available on this kernel; no new privileges", nil
	}

	read := append(slices.Clone(rules.ReadDirs), folders(rules.ReadFiles)...)
	write := append(slices.Clone(rules.WriteDirs), folders(rules.WriteFiles)...)
	slices.Sort(read)
	slices.Sort(write)
	read, write = slices.Compact(read), slices.Compact(write)

	config := landlock.V11.BestEffort()
	// The scopes (abstract sockets, signals) are used where the kernel lets the
	// threads of one process signal each other all the same, as the Go runtime
	// does; the library knows which.
	if rules.AllowConnect {
		config.HandledAccessNet = ll.AccessNetBindTCP
	}
	var opts []landlock.Rule
	if len(read) > 0 {
		opts = append(opts, landlock.PathAccess(readAccess, read...))
	}
	if len(rules.Files) > 0 {
		opts = append(opts, landlock.ROFiles(rules.Files...).IgnoreIfMissing())
	}
	if len(write) > 0 {
		opts = append(opts, landlock.PathAccess(writeAccess, write...))
	}
	if err := config.Restrict(opts...); err != nil {
		return "", err
	}

	status := fmt.Sprintf("Landlock ABI %d: reading kept to %s", abi, list(read))
	status += "; writing to " + list(write)
	switch {
	case abi < netABI:
	case rules.AllowConnect:
		status += "; no new TCP listeners"
	default:
		status += "; no new TCP listeners or connections"
	}
	return status, nil
}

// folders returns the folders of files and of what they link to.
func folders(files []string) []string {
	var dirs []string
	for _, file := range files {
		dirs = append(dirs, filepath.Dir(file))
		if target, err := filepath.EvalSymlinks(file); err == nil {
			dirs = append(dirs, filepath.Dir(target))
		}
	}
	return dirs
}
