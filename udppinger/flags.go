package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"topdown/udppinger/internal/ping"
	"topdown/udppinger/internal/report"
	"topdown/udppinger/internal/socket"
	"topdown/udppinger/internal/wire"

	"github.com/urfave/cli/v2"
)

type addrPort = netip.AddrPort

// seconds is a time on the command line: "1.5" or "1500ms".
type seconds time.Duration

func newSeconds(d time.Duration) *seconds { return (*seconds)(&d) }

// Set implements cli.Generic.
func (s *seconds) Set(text string) error {
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		if !(n >= 0 && n <= 1e9) {
			return errors.New("a time from 0 to 1e9 seconds is wanted")
		}
		*s = seconds(n * float64(time.Second))
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return errors.New("a time is wanted, as in 0.5 or 500ms")
	}
	*s = seconds(d)
	return nil
}

// String implements cli.Generic.
func (s *seconds) String() string { return time.Duration(*s).String() }

func timeOf(c *cli.Context, name string) time.Duration {
	return time.Duration(*c.Generic(name).(*seconds))
}

// plan is what the flags ask for.
type plan struct {
	schedule ping.Schedule
	size     int
	options  socket.Options
	tcp      bool

	format                string
	quiet, explain, graph bool
	plot                  string
}

func readPlan(c *cli.Context) (*plan, error) {
	p := &plan{
		schedule: ping.Schedule{
			Count: c.Uint64("count"), Timeout: timeOf(c, "timeout"), Interval: timeOf(c, "interval"),
			Flood: c.Bool("flood"), Duration: timeOf(c, "duration"),
		},
		size: c.Int("size"), tcp: c.Bool("tcp"),
		format: c.String("format"), explain: c.Bool("explain"), graph: c.Bool("graph"), plot: c.String("plot"),
		quiet: c.Bool("quiet") || c.Bool("flood"),
	}
	if !c.IsSet("count") && (p.schedule.Duration > 0 || p.schedule.Flood) {
		p.schedule.Count = 0
	}
	var err error
	if p.options, err = socketOptions(c); err != nil {
		return nil, err
	}
	return p, p.validate()
}

func (p *plan) validate() error {
	switch s := p.schedule; {
	case s.Timeout < time.Millisecond:
		return errors.New("timeout: choose 1 ms or more")
	case s.Interval > 0 && s.Interval < 10*time.Microsecond:
		return errors.New("interval: choose 10 µs or more, or 0 to wait for replies")
	case s.Interval > 0 && s.Flood:
		return errors.New("flood and interval exclude each other")
	case p.size != 0 && (p.size < wire.MinSize || p.size > wire.MaxSize):
		return fmt.Errorf("size: a message can have %d to %d bytes", wire.MinSize, wire.MaxSize)
	case p.format == "fping" && (s.Count == 0 || s.Count > report.MaxFping):
		return fmt.Errorf("format fping lists every time at the end: give a -c from 1 to %d", report.MaxFping)
	case p.explain && p.format != "lab":
		return errors.New("explain goes with --format lab (csv has the same times)")
	case p.graph && p.format != "lab" && p.format != "ping":
		return errors.New("graph goes with --format lab or ping")
	}
	switch p.format {
	case "lab", "ping", "fping", "json", "ndjson", "csv":
	default:
		return fmt.Errorf("format %q is unknown: choose one of %s", p.format, formats)
	}
	if p.plot != "" {
		return report.PlotName(p.plot)
	}
	return nil
}

// alone names what this plan has that is for one target only, if anything.
func (p *plan) alone() string {
	switch {
	case p.format == "json":
		return "--format json (ndjson is for several)"
	case p.plot != "":
		return "--plot"
	case p.options.Source.Port() != 0:
		return "a --source with a port"
	}
	return ""
}

func socketOptions(c *cli.Context) (socket.Options, error) {
	o := socket.Options{TOS: c.Int("tos"), TTL: c.Int("ttl")}
	if o.TOS < 0 || o.TOS > 255 {
		return o, errors.New("tos: choose a number from 0 to 255")
	}
	if c.IsSet("ttl") && (o.TTL < 1 || o.TTL > 255) {
		return o, errors.New("ttl: choose a number from 1 to 255")
	}
	text := c.String("source")
	if text == "" {
		return o, nil
	}
	if addr, err := netip.ParseAddr(text); err == nil {
		o.Source = netip.AddrPortFrom(addr, 0)
		return o, nil
	}
	source, err := netip.ParseAddrPort(text)
	if err != nil {
		return o, fmt.Errorf("source %q is not a numeric ADDRESS[:PORT]", text)
	}
	o.Source = source
	return o, nil
}

// family returns the network to look names up in.
func family(c *cli.Context) (string, error) {
	four, six := c.Bool("4"), c.Bool("6")
	switch {
	case four && six:
		return "", usageError{errors.New("-4 and -6 exclude each other")}
	case four:
		return "ip4", nil
	case six:
		return "ip6", nil
	}
	return "ip", nil
}

// matches reports whether a source address can send to a target.
func matches(source socket.Options, target addrPort) error {
	if s := source.Source; s.IsValid() && s.Addr().Unmap().Is4() != target.Addr().Is4() {
		return usageError{fmt.Errorf("source %s and target %s are not of the same family", s.Addr(), target.Addr())}
	}
	return nil
}
