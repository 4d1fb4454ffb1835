package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"topdown/udppinger/internal/ping"
	"topdown/udppinger/internal/socket"
	"topdown/udppinger/internal/wire"

	"github.com/urfave/cli/v2"
)

// name is the program's, in its messages and in the names of its variables.
const name = "udppinger"

// config is what the command line and the environment ask for. Each command uses
// its part of it.
type config struct {
	command string
	targets []string // as named on the command line
	list    string   // a file that names more
	network string   // to look names up in: ip, ip4 or ip6

	schedule ping.Schedule
	count    *setting // whether it was given matters
	size     int
	options  socket.Options
	tcp      bool
	four     bool
	six      bool

	format      string
	quiet       bool
	explain     bool
	graph       bool
	plot        string
	traceFile   string
	window      time.Duration // 0: none
	metricsAddr string
	version     bool

	watch watchLimits
	phase time.Duration // of load
}

const formats = "lab, ping, fping, json, ndjson, csv"

// groups returns the flags bound to the fields of c, as --help of a command
// shows them.
func (c *config) groups(command string) []group {
	switch command {
	case "doctor":
		return c.doctorGroups()
	case "heartbeat":
		return c.heartbeatGroups()
	case "watch":
		return c.watchGroups()
	case "load":
		return c.loadGroups()
	}
	c.count = newSetting("count", "N", "10", "send N pings; 0: no end, as with --duration and --flood", number(&c.schedule.Count, 0, math.MaxUint64)).alias("c")
	return []group{
		{"Most used", []*setting{
			c.count,
			newSetting("interval", "TIME", "", "from ping to ping, whether replies come or not; 0: the next follows the reply or the timeout", duration(&c.schedule.Interval)).alias("i"),
			c.timeoutSetting(),
			newSetting("size", "BYTES", "", fmt.Sprintf("length of each message, %d to %d (default: as long as it is; under %d there is no room to ask the server about losses)", wire.MinSize, wire.MaxSize, wire.FullSize), number(&c.size, wire.MinSize, wire.MaxSize)).alias("s"),
			newSwitch("quiet", "print the summary only", &c.quiet).alias("q"),
			newSwitch("graph", "draw RTT over time, with losses marked: on a terminal while it runs, else at the end", &c.graph),
			newSetting("format", "FORMAT", "lab", "print in this form: "+formats, oneOf(&c.format, formats)),
			newSetting("targets", "FILE", "", "ping the hosts in this file too, one a line; -: standard input", text(&c.list)).alias("f"),
		}},
		{"When and how to send", append([]*setting{
			newSwitch("flood", "send the next ping at the reply, or 10 ms after the last; print the summary only", &c.schedule.Flood),
			newSetting("duration", "TIME", "", "send for this time; 0: no limit", duration(&c.schedule.Duration)),
			newSwitch("spin", "never sleep while waiting for replies, for one core of this machine (Linux)", &c.options.Spin),
			newSwitch("tcp", "ping over a TCP connection, line by line", &c.tcp),
			newSetting("tos", "N", "", "IPv4 type of service or IPv6 traffic class, 0 to 255", number(&c.options.TOS, 0, 255)),
			newSetting("ttl", "N", "", "IPv4 time to live or IPv6 hop limit, 1 to 255", number(&c.options.TTL, 1, 255)),
		}, c.wayGroup()...)},
		{"What it tells", []*setting{
			newSwitch("explain", "say for each ping where the time went", &c.explain),
			newSetting("plot", "FILE", "", "draw RTT over time and a histogram to this file, a .svg or .png", picture(&c.plot)),
			newSetting("trace-file", "FILE", "", "write each message and verdict to this file, which trace.html of the web server draws", text(&c.traceFile)),
			c.windowSetting(""),
			c.metricsSetting(),
			newSwitch("version", "print the version", &c.version),
		}},
	}
}

// The flags that several commands have.

func (c *config) timeoutSetting() *setting {
	return newSetting("timeout", "TIME", "1s", "wait so long for each reply", duration(&c.schedule.Timeout)).alias("W")
}

func (c *config) windowSetting(def string) *setting {
	return newSetting("window", "TIME", def, "tell loss and RTT over the last so much time too: in the line of progress, ndjson and metrics", duration(&c.window))
}

func (c *config) metricsSetting() *setting {
	return newSetting("metrics-addr", "ADDRESS", "", "serve figures for Prometheus at http://ADDRESS/metrics, for example 127.0.0.1:9101", text(&c.metricsAddr))
}

// wayGroup are the flags about the addresses to use.
func (c *config) wayGroup() []*setting {
	return []*setting{
		newSwitch("4", "IPv4 only", &c.four),
		newSwitch("6", "IPv6 only", &c.six),
		newSetting("source", "ADDRESS[:PORT]", "", "send from this address", address(&c.options.Source)),
	}
}

// command is a command of the program. The one without a name pings.
type command struct {
	name string
	help string // before the flags
	more string // after them
	run  func(context.Context, *config, stdio) error
}

// runCommand reads the command line and does what it asks for.
func runCommand(ctx context.Context, args []string, std stdio) error {
	var names []string
	for _, known := range commands {
		if known.name != "" {
			names = append(names, known.name)
		}
	}
	c := &config{}
	groups := map[string][]group{}
	for _, known := range commands {
		groups[known.name] = (&config{}).groups(known.name)
	}
	settings := func(command string) []*setting { return all(groups[command]) }
	rest := args[1:]
	if isHelp(args) {
		rest = append(append([]string{}, args[2:]...), "--help")
	}
	var flags, others []string
	c.command, flags, others = split(rest, names, settings)
	groups[c.command] = c.groups(c.command) // bound to the config that counts
	fromEnvironment(settings(c.command))
	app := &cli.App{
		Name: name, Writer: std.out, ErrWriter: std.err,
		HideHelpCommand: true,
		ExitErrHandler:  func(*cli.Context, error) {}, // run does that
		OnUsageError: func(_ *cli.Context, err error, _ bool) error {
			return usageError{badFlag(err, settings(c.command)), c.command}
		},
	}
	var chosen command
	for _, known := range commands {
		if known.name == c.command {
			chosen = known
		}
	}
	app.CustomAppHelpTemplate = chosen.help + help(groups[c.command]) + chosen.more
	app.Action = func(ctx *cli.Context) error {
		if c.version {
			return printVersion(std.out)
		}
		err := check(settings(c.command))
		if err == nil {
			err = c.validate(others)
		}
		if err != nil {
			return usageError{err, c.command}
		}
		return chosen.run(ctx.Context, c, std)
	}
	for _, s := range settings(c.command) {
		app.Flags = append(app.Flags, &cli.GenericFlag{Name: s.name, Value: s})
		if s.short != "" { // no alias: either may be given, the last one counts
			app.Flags = append(app.Flags, &cli.GenericFlag{Name: s.short, Value: s})
		}
	}
	return app.RunContext(ctx, append(args[:1:1], flags...))
}
