package main

import (
	"slices"
	"strings"
)

// isHelp reports whether the first argument asks for help in a word.
func isHelp(args []string) bool { return len(args) > 1 && args[1] == "help" }

// split takes a command line apart into the command (one of commands, or ""),
// its flags, and the other arguments, so that flags may stand anywhere. What
// follows -- is no flag. settings are those of a command.
func split(args []string, commands []string, settings func(command string) []*setting) (command string, flags, others []string) {
	// The command is the first argument that is no flag and no flag's value.
	for _, known := range append([]string{""}, commands...) {
		flags, others = apart(args, settings(known))
		if known != "" && len(others) > 0 && others[0] == known {
			return known, flags, others[1:]
		}
	}
	flags, others = apart(args, settings(""))
	return "", flags, others
}

// apart tells flags from other arguments.
func apart(args []string, settings []*setting) (flags, others []string) {
	for rest := args; len(rest) > 0; rest = rest[1:] {
		switch arg := rest[0]; {
		case arg == "--":
			return flags, append(others, rest[1:]...)
		case len(arg) < 2 || arg[0] != '-':
			others = append(others, arg)
		default:
			if letter, value, ok := glued(arg, settings); ok {
				flags = append(flags, letter, value)
				continue
			}
			flags = append(flags, arg)
			if len(rest) > 1 && takesNext(arg, settings) {
				rest = rest[1:]
				flags = append(flags, rest[0])
			}
		}
	}
	return flags, others
}

// glued takes a letter and its value apart that are written as one, as in -c3.
func glued(arg string, settings []*setting) (letter, value string, ok bool) {
	if len(arg) < 3 || arg[1] == '-' || arg[2] == '=' {
		return "", "", false
	}
	for _, s := range settings {
		if s.name == arg[1:] {
			return "", "", false // a long name with one dash
		}
		ok = ok || s.short == arg[1:2] && s.arg != ""
	}
	return arg[:2], arg[2:], ok
}

// takesNext reports whether the value of a flag is the next argument. Of letters
// in one word, as in -qc 3, the last may take one.
func takesNext(arg string, settings []*setting) bool {
	flag := strings.TrimLeft(arg, "-")
	named := func(name string) bool {
		return slices.ContainsFunc(settings, func(s *setting) bool { return s.arg != "" && (s.name == name || s.short == name) })
	}
	return named(flag) || !strings.HasPrefix(arg, "--") && !strings.Contains(arg, "=") && named(flag[len(flag)-1:])
}
