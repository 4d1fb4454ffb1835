package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strconv"
	"strings"
	"time"

	"topdown/pkg/logging"
	"topdown/udppingserver/internal/echo"
	"topdown/udppingserver/internal/impair"

	"github.com/urfave/cli/v2"
)

// name is the program's, in its messages and in the names of its variables.
const name = "udppingserver"

// config is what the command line and the environment ask for.
type config struct {
	addr    string        // where to listen, host:port
	network impair.Config // what is done to packets
	seed    *setting      // whether it was given matters

	tcp     bool
	silence time.Duration
	rate    int // answers a second to one network; 0 is no limit
	sockets int // 0 is one a core
	spin    bool
	load    bool

	truth       string
	traceFile   string
	metricsAddr string
	logLevel    string
	logFormat   string
	version     bool
}

// groups returns the flags bound to the fields of c, as --help shows them.
func (c *config) groups() []group {
	c.seed = newSetting("seed", "NUMBER", "", "the same number gives every client the same network each time (default: a new one, and each client its own)", number(&c.network.Seed, 0, math.MaxUint64))
	return []group{
		{"Most used", []*setting{
			newSetting("loss", "SHARE", "lab", "lose this share of the packets; lab is the textbook's 4 in 11", share(&c.network.Loss)),
			c.seed,
			newSetting("delay", "TIME", "0s", "hold each reply for this time", duration(&c.network.Delay)),
			newSetting("jitter", "TIME", "0s", "vary the delay by up to this time, up and down", duration(&c.network.Jitter)),
			newSetting("tcp", "", "true", "answer TCP connections on the same port number, line by line; --tcp=false: do not", onOff(&c.tcp)),
		}},
		{"Simulated network", []*setting{
			newSetting("burst", "N", "", "lose packets in bursts of N on average (Gilbert-Elliott; default: each loss for itself)", real(&c.network.Burst)),
			newSetting("duplicate", "SHARE", "0", "send this share of the replies twice", share(&c.network.Duplicate)),
			newSetting("reorder", "SHARE", "0", "hold this share of the replies 50 ms longer, for others to overtake", share(&c.network.Reorder)),
			newSetting("corrupt", "SHARE", "0", "turn over one bit in this share of the replies", share(&c.network.Corrupt)),
		}},
		{"Server", []*setting{
			newSetting("silence", "TIME", echo.DefaultSilence.String(), "a client whose heartbeat stays away for this time has stopped", duration(&c.silence)),
			newSetting("rate", "N", strconv.Itoa(echo.DefaultRate), "send at most N answers a second to one network (IPv4 /24, IPv6 /56; loopback is free); 0: no limit", number(&c.rate, 0, 1<<31-1)),
			newSetting("sockets", "N", "", "share the port among N UDP sockets (Linux; default: one a core, at most 16)", number(&c.sockets, 0, 64)),
			newSwitch("load", "take part in 'udppinger load': let TCP clients fill the line for 30 seconds each, at most four at a time, one a host", &c.load),
			newSwitch("spin", "never sleep: RTTs without wake-ups, for one core of this machine (Linux)", &c.spin),
		}},
		{"What it tells", []*setting{
			newSetting("truth", "FILE", "", "write what was done to each packet to this file, one JSON object a line", text(&c.truth)),
			newSetting("trace-file", "FILE", "", "write each packet, decision and reply to this file, which trace.html of the web server draws", text(&c.traceFile)),
			newSetting("metrics-addr", "ADDRESS", "", "serve counters for Prometheus at http://ADDRESS/metrics, for example 127.0.0.1:9100", text(&c.metricsAddr)),
			newSetting("log-level", "LEVEL", "info", "log this level and above: "+logging.Levels, oneOf(&c.logLevel, logging.Levels)),
			newSetting("log-format", "FORMAT", "console", "form of the log: "+logging.Formats, oneOf(&c.logFormat, logging.Formats)),
			newSwitch("version", "print the version", &c.version),
		}},
	}
}

// share takes a share of packets.
func share(to *float64) func(string) error {
	return func(value string) (err error) {
		if *to, err = impair.ParseShare(value); err != nil {
			expected := "a share is expected, as in 0.3, 30%, 3/10 or lab"
			if n, failed := strconv.ParseFloat(value, 64); failed == nil && n > 1 && n <= 100 {
				expected += "; for " + value + " percent write " + value + "%"
			}
			return errors.New(expected)
		}
		return nil
	}
}

func real(to *float64) func(string) error {
	return func(value string) (err error) {
		if *to, err = strconv.ParseFloat(value, 64); err != nil {
			return errors.New("a number is expected")
		}
		return nil
	}
}

const usageText = `udppingserver upper-cases UDP messages and sends them back, losing some on purpose.

Usage:
  udppingserver [flags] [[ADDRESS:]PORT]

It answers on UDP port 8080, or on the port given, until it is interrupted.
`

const moreText = `
A SHARE is written 0.3, 30%, 3/10 or lab; a TIME 0.5 (seconds), 30s or 5m.
Each flag can be given by the environment as well: --loss as UDPPINGSERVER_LOSS.

Examples:
  udppingserver --loss 0 12000            the handout's port, an honest network
  udppingserver --loss 30% --seed 7       the same network for every student
  udppingserver --delay 50ms --jitter 20ms --reorder 5%

Exit codes: 0 ended by a signal, 1 it could not listen or stopped with a fault,
2 it was called wrongly.
`

// runCommand reads the command line and does what it asks for.
func runCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c := &config{}
	groups := c.groups()
	settings := all(groups)
	fromEnvironment(settings)
	app := &cli.App{
		Name:                  name,
		Writer:                stdout,
		ErrWriter:             stderr,
		HideHelpCommand:       true,
		CustomAppHelpTemplate: usageText + help(groups) + moreText,
		OnUsageError:          func(_ *cli.Context, err error, _ bool) error { return badFlag(err, settings) },
		ExitErrHandler:        func(*cli.Context, error) {}, // run does that
		Action: func(ctx *cli.Context) error {
			if c.version {
				return printVersion(stdout)
			}
			if err := check(settings); err != nil {
				return err
			}
			if err := c.validate(ctx.Args().Slice()); err != nil {
				return usageError{err}
			}
			return serve(ctx.Context, c, stdout, stderr)
		},
	}
	for _, s := range settings {
		app.Flags = append(app.Flags, &cli.GenericFlag{Name: s.name, Value: s})
	}
	return app.RunContext(ctx, arrange(args, settings))
}

// validate reads the arguments, and checks what no flag can by itself.
func (c *config) validate(args []string) (err error) {
	if c.addr, err = listenAddress(args); err != nil {
		return err
	}
	if !c.seeded() {
		c.network.Seed = uint64(time.Now().UnixNano())
	}
	if c.silence <= 0 {
		return errors.New("--silence: a time above 0 is expected")
	}
	if c.load && !c.tcp {
		return errors.New("--load needs --tcp")
	}
	if err = c.network.Validate(); err != nil {
		return fmt.Errorf("--%w", err)
	}
	return nil
}

// seeded reports whether every client is to get the same network.
func (c *config) seeded() bool { return c.seed.given != "" }

// listenAddress returns the address to listen on from the arguments.
func listenAddress(args []string) (string, error) {
	if len(args) == 0 {
		return ":8080", nil
	}
	if len(args) > 1 {
		return "", fmt.Errorf("unexpected argument %q", args[1])
	}
	addr := args[0]
	if !strings.Contains(addr, ":") {
		addr = ":" + addr
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("argument %q: [ADDRESS:]PORT is expected", args[0])
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("argument %q: a port from 1 to 65535 is expected, or 0 for any", port)
	}
	return addr, nil
}
