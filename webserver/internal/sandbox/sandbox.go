// Package sandbox has the kernel keep this process to the files that it was
// told of, and from opening new network connections, whatever happens to it.
//
// It is a second line of defence, and best effort: where the kernel cannot do
// it, or not all of it, the server runs all the same and says so.
package sandbox

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Rules say what stays allowed. What is open already stays open: listeners,
// the log, standard output.
type Rules struct {
	ReadDirs []string // folders with all that is in them
	// ReadFiles may be replaced by new ones, as a renewed certificate is. That
	// takes the right to read all files in the folders in which they, and the files
	// that they link to, lie: keep them in folders of their own.
	ReadFiles []string
	// Files may be read as long as they stay the same files; those that are missing
	// are passed over.
	Files []string
	// WriteDirs are folders in which files may be made, written, renamed,
	// removed, and read.
	WriteDirs []string
	// WriteFiles may be opened anew after a rotation, which takes the right to make
	// files in their folders, and to write to those there, but not to read, cut or
	// remove them.
	WriteFiles []string
	// AllowConnect leaves new TCP connections, and what UDP they need, allowed.
	AllowConnect bool
}

// Restrict applies the rules to the whole process, for good, and returns a line
// that says what is in force. It must come after the last listener has been
// opened. An error means that a rule names something that does not exist, or
// that the kernel refused; then nothing may be in force.
func Restrict(rules Rules) (status string, err error) {
	return restrict(rules)
}

// Shared says what else the rules open besides what they are for: a file that may be
// replaced by a new one opens the folder that it is in, with all that is there. It is
// for before Restrict, and empty where there is no sandbox.
func (r Rules) Shared() []string {
	if !available() {
		return nil
	}
	said := shared(r.ReadFiles, "all of %s stays readable, since %s may be replaced")
	return append(said, shared(r.WriteFiles, "files can be made and written to in %s, since %s may be rotated")...)
}

// shared says it of each folder in which there are others than those files, and
// what a rotation makes of them.
func shared(files []string, format string) (said []string) {
	own := map[string][]string{} // names by folder
	for _, file := range files {
		own[filepath.Dir(file)] = append(own[filepath.Dir(file)], filepath.Base(file))
		if target, err := filepath.EvalSymlinks(file); err == nil && filepath.Dir(target) != filepath.Dir(file) {
			own[filepath.Dir(target)] = append(own[filepath.Dir(target)], filepath.Base(target))
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(own)) {
		entries, err := os.ReadDir(dir)
		other := func(e os.DirEntry) bool {
			return !slices.ContainsFunc(own[dir], func(name string) bool { return strings.HasPrefix(e.Name(), name) })
		}
		if err != nil || slices.ContainsFunc(entries, other) {
			said = append(said, fmt.Sprintf(format, dir, strings.Join(own[dir], ", ")))
		}
	}
	return said
}

// list joins names for the status.
func list(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}
