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

// withoutHelp takes the word help in front, and the flag, away. The flag library
// would show a help of its own.
func withoutHelp(args []string) (others []string, wanted bool) {
	for i, arg := range args {
		switch {
		case arg == "--":
			return append(others, args[i:]...), wanted
		case arg == "--help", arg == "-help", arg == "-h", arg == "help" && i == 0:
			wanted = true
		default:
			others = append(others, arg)
		}
	}
	return others, wanted
}

// helpText returns the help of a command.
func (c *command) helpText() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s.\n\nUsage:\n  %s", c.name, c.purpose, c.name)
	if len(c.commands) > 0 {
		b.WriteString(" COMMAND [flags] [arguments]\n")
	} else {
		b.WriteString(strings.TrimRight(" [flags] "+c.arguments, " ") + "\n")
	}
	if c.about != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.Join(wrap(c.about, width), "\n"))
	}
	if len(c.commands) > 0 {
		b.WriteString("\nCommands:\n")
		for _, sub := range c.commands {
			fmt.Fprintf(&b, "  %-12s %s\n", sub.word(), sub.purpose)
		}
		fmt.Fprintf(&b, "\n'%s COMMAND --help' tells more of each.\n", c.name)
	}
	b.WriteString(help(c.groups))
	if len(c.groups) > 0 {
		b.WriteString("\nA TIME is written 0.5 (seconds), 30s or 5m. Each flag that cannot be repeated can\nbe given by the environment as well: --timeout as SMTPCLIENT_TIMEOUT.\n")
	}
	if c.examples != "" {
		fmt.Fprintf(&b, "\nExamples:\n%s\n", c.examples)
	}
	return b.String() + exitCodes
}

const exitCodes = `
Exit codes: 0 done; 1 roundtrip or doctor found a fault; 64 wrong usage; 65 bad
message or list; 66 no such file or message; 68 unknown host; 69 refused for
good; 70 a fault of the program; 73 cannot write; 75 try again later; 76 protocol
or TLS failure; 77 authentication; 78 accounts file or key; 79 some recipients
refused, the others have the mail; 80 may have been delivered: do not send again
blindly; 130 interrupted.
`

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
			head := "  --" + s.name
			switch {
			case len(s.alias) == 1:
				head = "  -" + s.alias + ", --" + s.name
			case s.alias != "":
				head += ", --" + s.alias
			}
			head = strings.TrimRight(head+" "+s.arg, " ")
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
		return usage("unknown flag --%s%s", flag, near(flag, settings))
	}
	if flag, ok := strings.CutPrefix(err.Error(), "flag needs an argument: -"); ok {
		return usage("--%s needs a value", flag)
	}
	return usage("%w", err)
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
