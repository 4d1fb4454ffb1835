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
	// For the folders of single files.
	replaceAccess = ll.AccessFSReadFile
	rotateAccess  = ll.AccessFSWriteFile | ll.AccessFSMakeReg

	netABI = 4 // the first that knows TCP
)

// available reports whether the kernel has Landlock.
func available() bool {
	abi, err := ll.LandlockGetABIVersion()
	return err == nil && abi >= 1
}

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

	replaced, rotated := folders(rules.ReadFiles), folders(rules.WriteFiles)
	config := landlock.V11.BestEffort()
	// The scopes (abstract sockets, signals) are used where the kernel lets the
	// threads of one process signal each other all the same, as the Go runtime
	// does; the library knows which.
	if rules.AllowConnect {
		config.HandledAccessNet = ll.AccessNetBindTCP
	}
	var opts []landlock.Rule
	for _, opened := range []struct {
		access landlock.AccessFSSet
		paths  []string
	}{{readAccess, rules.ReadDirs}, {replaceAccess, replaced}, {writeAccess, rules.WriteDirs}, {rotateAccess, rotated}} {
		if len(opened.paths) > 0 {
			opts = append(opts, landlock.PathAccess(opened.access, opened.paths...))
		}
	}
	if len(rules.Files) > 0 {
		opts = append(opts, landlock.ROFiles(rules.Files...).IgnoreIfMissing())
	}
	if err := config.Restrict(opts...); err != nil {
		return "", err
	}

	status := fmt.Sprintf("Landlock ABI %d: reading kept to %s", abi, list(join(rules.ReadDirs, replaced)))
	status += "; writing to " + list(join(rules.WriteDirs, rotated))
	switch {
	case abi < netABI:
	case rules.AllowConnect:
		status += "; no new TCP listeners"
	default:
		status += "; no new TCP listeners or connections"
	}
	return status, nil
}

// join returns all of them once, in order.
func join(a, b []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(a, b))))
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
