package main

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// commands are all there are; the first is what the program does without one.
var commands = []command{
	{
		help: `udppinger pings UDP echo servers and says what became of each ping.

Usage:
  udppinger [flags] [HOST[:PORT]]...
  udppinger watch [flags] [HOST[:PORT]]...
  udppinger doctor [flags] HOST[:PORT]
  udppinger load [flags] HOST[:PORT]
  udppinger heartbeat [flags] [HOST[:PORT]]

It pings 127.0.0.1 if no target is given, and port 8080 of a target that names
none. Flags may stand before or after the targets.
`,
		more: `
Commands:
  watch        run until stopped, and print a line when something changes
  doctor       find out why a UDP port does not answer
  load         measure what a full line does to the delay
  heartbeat    send a sequence number and the time every interval

A TIME is written 0.5 (seconds), 500ms or 1m30s.
Each flag can be given by the environment as well: --count as UDPPINGER_COUNT.
Ctrl-C ends with the summary; SIGQUIT (Ctrl-\) or SIGUSR1 prints the figures so
far.

Examples:
  udppinger                               the lab: ten pings to 127.0.0.1:8080
  udppinger -c 100 -i 20ms example.org    on schedule, replies or not
  udppinger -i 0.2 --duration 60 --graph example.org
  udppinger -c 3 -i 1 host1 host2 [2001:db8::1]:8080
  udppinger doctor example.org:8080       is UDP open at all?

Exit codes: 0 all targets replied, 1 one did not at all, 2 an error: wrong
usage, an unknown host, no socket.
`,
		run: pingTargets,
	},
	{
		name: "watch",
		help: `udppinger watch pings until it is stopped and prints a line when something
changes: down, up, loss or RTT over a limit.

Usage:
  udppinger watch [flags] [HOST[:PORT]]...
`,
		more: `
A line has the time, the target, and what is so from now on:
  2026-11-21T13:05:12Z example.org:8080 down: 3 pings in a row without a reply

Exit codes: 0 all was well at the end, 1 it was not, 2 an error.
`,
		run: watch,
	},
	{
		name: "doctor",
		help: `udppinger doctor finds out why a UDP port does not answer.

Usage:
  udppinger doctor [flags] HOST[:PORT]
`,
		more: `
Exit codes: 0 the port is open, 1 it is not, or for some sizes only, 2 an error.
`,
		run: examine,
	},
	{
		name: "load",
		help: `udppinger load pings while a TCP stream fills the way to the server, then the
way back, and says what the queues do to the delay. The server takes part if it
is udppingserver, started with --load.

Usage:
  udppinger load [flags] HOST[:PORT]
`,
		more: `
Exit codes: 0 measured, 1 no ping was replied to, 2 an error.
`,
		run: measureLoad,
	},
	{
		name: "heartbeat",
		help: `udppinger heartbeat sends a sequence number and the time every interval, as in
the lab's optional exercise. Nobody answers a heartbeat.

Usage:
  udppinger heartbeat [flags] [HOST[:PORT]]
`,
		more: `
Exit codes: 0 sent, 1 refused by an ICMP error, 2 an error.
`,
		run: heartbeat,
	},
}

func (c *config) doctorGroups() []group {
	return []group{{"Flags", append([]*setting{c.timeoutSetting()}, c.wayGroup()...)}}
}

func (c *config) heartbeatGroups() []group {
	return []group{{"Flags", append([]*setting{
		newSetting("count", "N", "", "send N heartbeats; 0: no end", number(&c.schedule.Count, 0, math.MaxUint64)).alias("c").as("UDPPINGER_HEARTBEAT_COUNT"),
		newSetting("interval", "TIME", "1s", "from one to the next", duration(&c.schedule.Interval)).alias("i").as("UDPPINGER_HEARTBEAT_INTERVAL"),
	}, c.wayGroup()...)}}
}

// watchLimits say when a watched target is not well.
type watchLimits struct {
	fails int           // pings in a row without a reply: down
	loss  float64       // share over the window; 0: no limit
	rtt   time.Duration // mean over the window; 0: no limit
}

func (c *config) watchGroups() []group {
	return []group{
		{"Most used", []*setting{
			newSetting("interval", "TIME", "1s", "from ping to ping", duration(&c.schedule.Interval)).alias("i").as("UDPPINGER_WATCH_INTERVAL"),
			c.timeoutSetting(),
			newSetting("fails", "N", "3", "so many pings in a row without a reply mean down", number(&c.watch.fails, 1, 1<<20)),
			newSetting("max-loss", "SHARE", "", "tell when more than this share of the window's pings is lost", share(&c.watch.loss)),
			newSetting("max-rtt", "TIME", "", "tell when the window's mean RTT is above this", duration(&c.watch.rtt)),
			c.windowSetting("60s"),
			newSetting("targets", "FILE", "", "watch the hosts in this file too, one a line; -: standard input", text(&c.list)).alias("f"),
		}},
		{"More", append([]*setting{
			newSetting("duration", "TIME", "", "end after this time; 0: no end", duration(&c.schedule.Duration)).as("UDPPINGER_WATCH_DURATION"),
			c.metricsSetting(),
		}, c.wayGroup()...)},
	}
}

func (w *watchLimits) validate(c *config) error {
	if c.window < time.Second {
		return errors.New("--window: 1s or more is expected")
	}
	if c.schedule.Interval > c.window {
		return fmt.Errorf("--window: a time above --interval (%v) is expected", c.schedule.Interval)
	}
	return nil
}

func (c *config) loadGroups() []group {
	return []group{{"Flags", append([]*setting{
		newSetting("phase", "TIME", "10s", "how long to measure idle, with the way there filled, and with the way back filled, 2 to 25 seconds each", duration(&c.phase)),
	}, c.wayGroup()...)}}
}

func (c *config) validateLoad() error {
	if len(c.targets) == 0 {
		return errors.New("name a target, as in 'udppinger load HOST:PORT'")
	}
	if len(c.targets) > 1 {
		return fmt.Errorf("unexpected argument %q", c.targets[1])
	}
	if c.phase < 2*time.Second || c.phase > 25*time.Second {
		return errors.New("--phase: a time from 2s to 25s is expected")
	}
	return nil
}
