package main

import "strings"

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
			words := letters(arg, settings)
			flags = append(flags, words...)
			last := find(strings.TrimLeft(words[len(words)-1], "-"), settings)
			if last != nil && last.arg != "" && len(rest) > 1 {
				rest = rest[1:]
				flags = append(flags, rest[0])
			}
		}
	}
	return flags, others
}

// letters takes letters apart that are written as one word, the last perhaps with
// its value, as in -qc or -qc3. Any other word stays as it is.
func letters(word string, settings []*setting) (flags []string) {
	name, _, _ := strings.Cut(word[1:], "=")
	if len(name) < 2 || name[0] == '-' || find(name, settings) != nil {
		return []string{word} // one letter, or a long name, with one dash or two
	}
	for i, letter := range word[1:] {
		s := find(string(letter), settings)
		if s == nil {
			return []string{word}
		}
		flag := "-" + string(letter)
		if value := word[i+2:]; s.arg != "" && value != "" {
			return append(flags, flag+"="+strings.TrimPrefix(value, "="))
		}
		flags = append(flags, flag)
	}
	return flags
}

// find returns the setting with a name or a letter, nil if there is none.
func find(name string, settings []*setting) *setting {
	for _, s := range settings {
		if s.name == name || s.short == name && name != "" {
			return s
		}
	}
	return nil
}
