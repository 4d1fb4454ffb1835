package main

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// setting is one flag, with its twin in the environment, bound to a field of
// config. It implements flag.Value.
type setting struct {
	name  string             // without dashes
	arg   string             // what stands for its value in the help; "" for a switch
	text  string             // what it does
	store func(string) error // puts a value into the field; its error says what is expected

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

func (s *setting) set(given, value string) { s.given, s.raw, s.err = given, value, s.store(value) }

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

// What a value is, by the field that it goes to.

func text(to *string) func(string) error {
	return func(value string) error { *to = value; return nil }
}

func onOff(to *bool) func(string) error {
	return func(value string) (err error) {
		if *to, err = strconv.ParseBool(value); err != nil {
			return errors.New("true or false is expected")
		}
		return nil
	}
}

func oneOf(to *string, choices string) func(string) error {
	return func(value string) error {
		if *to = value; !slices.Contains(strings.Split(choices, ", "), value) {
			return errors.New("one of " + choices + " is expected")
		}
		return nil
	}
}

// number takes a whole number within limits, both included.
func number[N int | int64 | uint64](to *N, low, high N) func(string) error {
	return func(value string) error {
		if _, ok := new(big.Int).SetString(value, 10); !ok {
			return errors.New("a whole number is expected")
		}
		_, err := fmt.Sscanf(value, "%d", to)
		if err != nil || *to < low || *to > high {
			return fmt.Errorf("a number from %d to %d is expected", low, high)
		}
		return nil
	}
}

// duration takes seconds, or a time with units.
func duration(to *time.Duration) func(string) error {
	return func(value string) (err error) {
		if n, failed := strconv.ParseFloat(value, 64); failed == nil && math.Abs(n) < 1e9 {
			*to = time.Duration(n * float64(time.Second))
		} else if *to, err = time.ParseDuration(value); err != nil {
			return errors.New("a time is expected, as in 0.5, 30s or 5m")
		}
		if *to < 0 {
			return errors.New("a time of 0 or more is expected, as in 0.5, 30s or 5m")
		}
		return nil
	}
}

// arrange puts flags before the other arguments, where the flag package looks
// for them. What follows -- is no flag. Who asks for help, in a word or by a flag,
// asks for nothing else.
func arrange(args []string, settings []*setting) []string {
	helpOnly := []string{args[0], "--help"}
	if len(args) > 1 && args[1] == "help" {
		return helpOnly
	}
	var flags, others []string
	for rest := args; len(rest) > 0; rest = rest[1:] {
		switch arg := rest[0]; {
		case arg == "--":
			others = append(others, rest[1:]...)
			rest = rest[:1]
		case len(arg) < 2 || arg[0] != '-':
			others = append(others, arg)
		case arg == "-h" || strings.TrimLeft(arg, "-") == "help":
			return helpOnly
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
