// Package sandbox has the kernel keep this process to the files that it was
// told of, and from opening new network connections, whatever happens to it.
//
// It is a second line of defence, and best effort: where the kernel cannot do
// it, or not all of it, the server runs all the same and says so.
package sandbox

import "strings"

// Rules say what stays allowed. What is open already stays open: listeners,
// the log, standard output.
type Rules struct {
	ReadDirs []string // folders with all that is in them
	// ReadFiles may be replaced by new ones, as a renewed certificate is. That
	// takes the right to read the folders in which they, and the files that they
	// link to, lie: keep them in folders of their own.
	ReadFiles []string
	// Files may be read as long as they stay the same files; those that are missing
	// are passed over.
	Files []string
	// WriteDirs are folders in which files may be made, written, renamed,
	// removed, and read.
	WriteDirs []string
	// WriteFiles may be opened anew after a rotation, which takes the right to
	// make files in their folders.
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

// list joins names for the status.
func list(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}
