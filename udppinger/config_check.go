package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"topdown/udppinger/internal/ping"
	"topdown/udppinger/internal/report"
)

// validate reads the arguments, and checks what no flag can by itself.
func (c *config) validate(args []string) (err error) {
	c.targets = args
	for _, target := range args {
		if _, _, err = ping.SplitTarget(target); err != nil {
			return err
		}
	}
	if c.count != nil && c.count.given == "" && (c.schedule.Duration > 0 || c.schedule.Flood) {
		c.schedule.Count = 0
	}
	c.quiet = c.quiet || c.schedule.Flood
	if c.network, err = c.family(); err != nil {
		return err
	}
	switch s := c.schedule; {
	case c.command == "load":
		return c.validateLoad()
	case c.command != "heartbeat" && s.Timeout < time.Millisecond:
		return errors.New("--timeout: 1ms or more is expected")
	case s.Interval > 0 && s.Interval < 10*time.Microsecond:
		return errors.New("--interval: 10us or more is expected, or 0 to wait for replies")
	case (c.command == "heartbeat" || c.command == "watch") && s.Interval < time.Millisecond:
		return errors.New("--interval: 1ms or more is expected")
	case (c.command == "heartbeat" || c.command == "doctor") && len(args) > 1:
		return fmt.Errorf("unexpected argument %q", args[1])
	case c.command == "doctor" && len(args) == 0:
		return errors.New("name a target, as in 'udppinger doctor HOST:PORT'")
	case c.command == "watch":
		return c.watch.validate(c)
	case s.Interval > 0 && s.Flood:
		return errors.New("--flood and --interval exclude each other")
	case c.format == "fping" && (s.Count == 0 || s.Count > report.MaxFping):
		return fmt.Errorf("--format fping lists every time at the end: give a --count from 1 to %d", report.MaxFping)
	case c.explain && c.format != "lab":
		return errors.New("--explain goes with --format lab (csv has the same times)")
	case c.graph && c.format != "lab" && c.format != "ping":
		return errors.New("--graph goes with --format lab or ping")
	case c.window > 0 && c.window < time.Second:
		return errors.New("--window: 1s or more is expected")
	}
	return nil
}

// family returns the network to look names up in.
func (c *config) family() (string, error) {
	switch {
	case c.four && c.six:
		return "", errors.New("-4 and -6 exclude each other")
	case c.four:
		return "ip4", nil
	case c.six:
		return "ip6", nil
	}
	return "ip", nil
}

// alone names what this config has that is for one target only, if anything.
func (c *config) alone() string {
	switch {
	case c.plot != "":
		return "--plot"
	case c.options.Source.Port() != 0:
		return "a --source with a port"
	}
	return ""
}

// joined joins words with spaces, without empty ones.
func joined(words ...string) string {
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}
