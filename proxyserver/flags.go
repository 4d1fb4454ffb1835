package main

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"topdown/proxyserver/internal/access"

	"github.com/docker/go-units"
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

// What a value is, by the field that it goes to.

// size takes bytes, with units of 1,024: 64k, 64kb and 64KiB are the same.
func size(to *int64, low int64) func(string) error {
	return func(value string) (err error) {
		if *to, err = units.RAMInBytes(value); err != nil || *to < 0 {
			return errors.New("a size is expected, as in 500, 64KiB or 10MiB")
		}
		if *to < low {
			return fmt.Errorf("a size of %s or more is expected", units.BytesSize(float64(low)))
		}
		return nil
	}
}

// positive is duration for a time that must not be 0.
func positive(to *time.Duration) func(string) error {
	take := duration(to)
	return func(value string) error {
		err := take(value)
		if err == nil && *to == 0 {
			return errors.New("a time above 0 is expected, as in 0.5, 30s or 5m")
		}
		return err
	}
}

// parsed takes what a function makes of a value.
func parsed[T any](to *T, parse func(string) (T, error)) func(string) error {
	return func(value string) (err error) {
		*to, err = parse(value)
		return err
	}
}

func network(value string) (netip.Prefix, error) {
	prefix, err := access.ParsePrefix(value)
	if err != nil {
		return prefix, errors.New("a network is expected, as in 192.0.2.0/24 or 2001:db8::/32")
	}
	return prefix, nil
}

func port(value string) (uint16, error) {
	var n int
	if number(&n, 1, 65535)(value) != nil {
		return 0, errors.New("a port from 1 to 65535 is expected")
	}
	if n == 25 {
		return 0, errors.New("port 25 is never connected to, a proxy that does is a relay for spam")
	}
	return uint16(n), nil
}

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
		var n N
		if _, err := fmt.Sscanf(value, "%d", &n); err != nil || fmt.Sprint(n) != value {
			return errors.New("a whole number is expected")
		}
		if *to = n; n < low || n > high {
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
