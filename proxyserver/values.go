package main

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"topdown/proxyserver/internal/access"

	"github.com/docker/go-units"
)

// What a value is, by the field that it goes to: each of these puts one into a
// field, and its error says what is expected.

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
