package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// setting is one flag, with its twin in the environment, bound to a field of
// config. It implements flag.Value.
type setting struct {
	name  string             // without dashes
	arg   string             // what stands for its value in the help; "" for a switch
	text  string             // what it does
	store func(string) error // puts a value into the field; its error says what is expected

	clear func() // of a list, which may be given several times: empties it

	def   string // the default, as a user would write it; "" if text tells
	raw   string // the value as given last
	given string // what gave it, --name or the variable; "" if nobody did
	err   error  // what is wrong with it
}

// newSetting binds a flag to a field, whose default it sets.
func newSetting(name, arg, def, text string, store func(string) error) *setting {
	s := &setting{name: name, arg: arg, def: def, text: text, store: store}
	if def != "" {
		s.err = store(def)
	}
	return s
}

// newSwitch is newSetting for a flag that is on or off, by default off.
func newSwitch(name, text string, to *bool) *setting {
	return newSetting(name, "", "", text, onOff(to))
}

// Set implements flag.Value. A value that is wrong is told by check, which
// words it alike for flags and variables; a later right one makes up for it.
func (s *setting) Set(value string) error {
	s.set("--"+s.name, value)
	return nil
}

func (s *setting) set(given, value string) {
	if s.clear != nil && s.given != given {
		s.clear() // a flag does not add to the variable, but replaces it
		s.err = nil
	}
	s.given = given
	if s.clear == nil {
		s.raw, s.err = value, s.store(value)
		return
	}
	for member := range strings.SplitSeq(value, ",") {
		if s.err == nil {
			s.raw, s.err = member, s.store(strings.TrimSpace(member))
		}
	}
}

// String implements flag.Value.
func (s *setting) String() string { return s.raw }

// IsBoolFlag lets a switch stand without a value, as the flag package asks.
func (s *setting) IsBoolFlag() bool { return s.arg == "" }

// variable returns the name of the twin in the environment.
func (s *setting) variable() string {
	return strings.ToUpper(strings.NewReplacer("-", "_").Replace(name + "_" + s.name))
}

// fromEnvironment sets what the environment has; flags come later and win.
func fromEnvironment(settings []*setting) {
	for _, s := range settings {
		if value := os.Getenv(s.variable()); value != "" {
			s.set(s.variable(), value)
		}
	}
}

// check returns what is wrong with the first value that is.
func check(settings []*setting) error {
	for _, s := range settings {
		if flag := s.flagAsValue(settings); flag != "" {
			return usageError{fmt.Errorf("%s needs a value (%s), got the flag %s", s.given, s.arg, flag)}
		}
		if s.err != nil {
			return usageError{s.wrong(s.err.Error())}
		}
	}
	return nil
}

// wrong says what is expected instead of the value given.
func (s *setting) wrong(expected string) error {
	given := s.given
	if given == "" {
		given = "--" + s.name
	}
	return fmt.Errorf("%s %q: %s", given, s.raw, expected)
}

// newList binds a flag that may be given several times to a field.
func newList[T any](name, arg, text string, to *[]T, parse func(string) (T, error)) *setting {
	return &setting{
		name: name, arg: arg, text: text + "; repeatable",
		store: func(value string) error {
			parsed, err := parse(value)
			if err == nil {
				*to = append(*to, parsed)
			}
			return err
		},
		clear: func() { *to = nil },
	}
}

// arrange puts flags before the other arguments, where the flag package looks
// for them, and makes of the word help the flag. What follows -- is no flag.
func arrange(args []string, settings []*setting) []string {
	if len(args) > 1 && args[1] == "help" {
		return []string{args[0], "--help"}
	}
	var flags, others []string
	for rest := args; len(rest) > 0; rest = rest[1:] {
		switch arg := rest[0]; {
		case arg == "--":
			others = append(others, rest[1:]...)
			rest = rest[:1]
		case len(arg) < 2 || arg[0] != '-':
			others = append(others, arg)
		case arg == "--help" || arg == "-h":
			return []string{args[0], "--help"}
		default:
			flags = append(flags, arg)
			takesNext := func(s *setting) bool { return s.arg != "" && s.name == strings.TrimLeft(arg, "-") }
			if slices.ContainsFunc(settings, takesNext) {
				if len(rest) == 1 { // the flag package says that its value is missing
					return []string{args[0], arg}
				}
				rest = rest[1:]
				flags = append(flags, rest[0])
			}
		}
	}
	program, others := others[:1], others[1:]
	return slices.Concat(program, flags, []string{"--"}, others)
}
