package main

import (
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
)

// group is a part of the help: flags that belong together.
type group struct {
	title    string
	settings []*setting
}

// all returns the settings of all groups.
func all(groups []group) (settings []*setting) {
	for _, g := range groups {
		settings = append(settings, g.settings...)
	}
	return settings
}

// width is how long a line of help may be.
const width = 80

// help returns the text of --help about the flags.
func help(groups []group) string {
	var b strings.Builder
	for _, g := range groups {
		fmt.Fprintf(&b, "\n%s:\n", g.title)
		for _, s := range g.settings {
			about := s.text
			if s.def != "" && s.arg != "" {
				about += " (default " + s.def + ")"
			}
			const indent = 24
			head := strings.TrimRight("  --"+s.name+" "+s.arg, " ")
			if len(head) > indent-2 {
				b.WriteString(head + "\n")
				head = ""
			}
			for _, line := range wrap(about, width-indent) {
				fmt.Fprintf(&b, "%-*s%s\n", indent, head, line)
				head = ""
			}
		}
	}
	return b.String()
}

// wrap breaks text into lines of at most so many characters, between words.
func wrap(text string, width int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) > width:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

// badFlag words what the flag package says against a flag.
func badFlag(err error, settings []*setting) error {
	if flag, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); ok {
		return usageError{fmt.Errorf("unknown flag %s%s", dashed(flag), near(flag, settings))}
	}
	if flag, ok := strings.CutPrefix(err.Error(), "flag needs an argument: -"); ok {
		return usageError{fmt.Errorf("%s needs a value", dashed(flag))}
	}
	return usageError{err}
}

// flagAsValue returns the flag that stands where a value has been left out, "" if
// there is a value. One that looks like a flag can be given by the environment.
func (s *setting) flagAsValue(settings []*setting) string {
	flag, _, _ := strings.Cut(s.raw, "=")
	known := func(other *setting) bool { return flag == "--"+other.name }
	if strings.HasPrefix(s.given, "-") && (flag == "--help" || slices.ContainsFunc(settings, known)) {
		return flag
	}
	return ""
}

// dashed returns a flag as it is written.
func dashed(flag string) string {
	flag = strings.TrimLeft(flag, "-")
	if len(flag) == 1 {
		return "-" + flag
	}
	return "--" + flag
}

// near proposes the flag that may have been meant: one that begins alike.
func near(flag string, settings []*setting) string {
	for n := len(flag); n >= 3; n-- {
		for _, s := range settings {
			if strings.HasPrefix(s.name, flag[:n]) {
				return " (did you mean --" + s.name + "?)"
			}
		}
	}
	return ""
}

// version is the release's, set by the linker (scripts/build).
var version string

// printVersion prints the program's name and version: the release's, else that
// of the source it was built from.
func printVersion(w io.Writer) error {
	v := version
	info, ok := debug.ReadBuildInfo()
	if v == "" && ok {
		v = info.Main.Version
	}
	if v == "" || v == "(devel)" {
		v = "unreleased"
	}
	_, err := fmt.Fprintln(w, name, v)
	return err
}
