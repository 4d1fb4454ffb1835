// Udppinger is the UDP pinger of the lab: it sends pings to a UDP echo server
// and says for each what became of it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"topdown/udppinger/internal/ping"
	"topdown/udppinger/internal/report"
	"topdown/udppinger/internal/wire"

	"github.com/urfave/cli/v2"
)

// Exit codes, those of ping.
const (
	exitNoReply = 1 // a target did not reply at all
	exitError   = 2 // wrong usage, unknown host, no socket
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args, os.Stdout, os.Stderr))
}

// errNoReply ends a run that is over and reported, but in which a target did not
// reply.
var errNoReply = errors.New("no reply")

// run is the program: it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := newApp(stdout, stderr).RunContext(ctx, args)
	switch usage := (usageError{}); {
	case err == nil:
		return 0
	case errors.Is(err, errNoReply):
		return exitNoReply
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "udppinger: %v\nTry 'udppinger --help'.\n", err)
	default:
		fmt.Fprintf(stderr, "udppinger: %v\n", err)
	}
	return exitError
}

// usageError is a mistake on the command line.
type usageError struct{ error }

func newApp(stdout, stderr io.Writer) *cli.App {
	onUsageError := func(_ *cli.Context, err error, _ bool) error { return usageError{err} }
	return &cli.App{
		Name:      "udppinger",
		Usage:     "ping a UDP echo server and say what became of each ping",
		ArgsUsage: "[HOST[:PORT]]...",
		Description: "Pings 127.0.0.1:8080 if no target is given, and port 8080 of a target that names none.\n" +
			"TIME is a number of seconds (0.5) or has a unit (500ms). Flags go before targets.\n" +
			"SIGQUIT (Ctrl-\\) or SIGUSR1 prints the figures so far, Ctrl-C ends with the summary.\n" +
			"Exit code: 0 all targets replied, 1 one did not at all, 2 error.",
		Writer:                 stdout,
		ErrWriter:              stderr,
		HideHelpCommand:        true,
		UseShortOptionHandling: true,
		Flags:                  append(probeFlags(), outputFlags()...),
		Action:                 pingTargets,
		Commands: []*cli.Command{
			{
				Name:         "doctor",
				Usage:        "find out why a UDP port does not answer",
				ArgsUsage:    "HOST[:PORT]",
				Description:  "Exit code: 0 the port is open, 1 it is not, or for some sizes only, 2 error.",
				Flags:        []cli.Flag{timeoutFlag(), familyFlag4(), familyFlag6(), sourceFlag()},
				Action:       examine,
				OnUsageError: onUsageError,
			},
			{
				Name:      "heartbeat",
				Usage:     "send a sequence number and the time every interval, as in the optional exercise",
				ArgsUsage: "[HOST[:PORT]]",
				Flags: []cli.Flag{
					&cli.Uint64Flag{Name: "count", Aliases: []string{"c"}, Usage: "send `N` heartbeats; 0: no end", EnvVars: []string{"UDPPINGER_HEARTBEAT_COUNT"}},
					&cli.GenericFlag{Name: "interval", Aliases: []string{"i"}, Value: newSeconds(time.Second), Usage: "`TIME` from one to the next", EnvVars: []string{"UDPPINGER_HEARTBEAT_INTERVAL"}},
					familyFlag4(), familyFlag6(), sourceFlag(),
				},
				Action:       heartbeat,
				OnUsageError: onUsageError,
			},
		},
		OnUsageError:   onUsageError,
		ExitErrHandler: func(*cli.Context, error) {}, // run does that
	}
}

func timeoutFlag() cli.Flag {
	return &cli.GenericFlag{Name: "timeout", Aliases: []string{"W"}, Value: newSeconds(time.Second), Usage: "wait this `TIME` for each reply", EnvVars: []string{"UDPPINGER_TIMEOUT"}}
}

func familyFlag4() cli.Flag {
	return &cli.BoolFlag{Name: "4", Usage: "IPv4 only", EnvVars: []string{"UDPPINGER_4"}}
}

func familyFlag6() cli.Flag {
	return &cli.BoolFlag{Name: "6", Usage: "IPv6 only", EnvVars: []string{"UDPPINGER_6"}}
}

func sourceFlag() cli.Flag {
	return &cli.StringFlag{Name: "source", Usage: "send from this `ADDRESS[:PORT]`", EnvVars: []string{"UDPPINGER_SOURCE"}}
}

// probeFlags are the flags about what is sent, and when.
func probeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.Uint64Flag{Name: "count", Aliases: []string{"c"}, Value: 10, Usage: "send `N` pings; 0: no end (the default with --duration and --flood)", EnvVars: []string{"UDPPINGER_COUNT"}},
		timeoutFlag(),
		&cli.GenericFlag{Name: "interval", Aliases: []string{"i"}, Value: newSeconds(0), Usage: "`TIME` from ping to ping, whether replies come or not; 0: the next follows the reply or the timeout", EnvVars: []string{"UDPPINGER_INTERVAL"}},
		&cli.IntFlag{Name: "size", Aliases: []string{"s"}, Usage: fmt.Sprintf("make each message `BYTES` long, %d to %d (default: as long as it is; under %d there is no room to ask the server about losses)", wire.MinSize, wire.MaxSize, wire.FullSize), EnvVars: []string{"UDPPINGER_SIZE"}},
		&cli.BoolFlag{Name: "flood", Usage: "send the next ping at the reply, or 10 ms after the last; print the summary only", EnvVars: []string{"UDPPINGER_FLOOD"}},
		&cli.GenericFlag{Name: "duration", Value: newSeconds(0), Usage: "send for this `TIME`", EnvVars: []string{"UDPPINGER_DURATION"}},
		&cli.IntFlag{Name: "tos", Usage: "set the IPv4 type of service or IPv6 traffic class to `N`, 0 to 255", EnvVars: []string{"UDPPINGER_TOS"}},
		&cli.IntFlag{Name: "ttl", Usage: "set the IPv4 time to live or IPv6 hop limit to `N`, 1 to 255", EnvVars: []string{"UDPPINGER_TTL"}},
		familyFlag4(), familyFlag6(), sourceFlag(),
		&cli.BoolFlag{Name: "tcp", Usage: "ping over a TCP connection, line by line", EnvVars: []string{"UDPPINGER_TCP"}},
	}
}

// outputFlags are the flags about what is shown.
func outputFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "format", Value: "lab", Usage: "print in this `FORMAT`: " + formats, EnvVars: []string{"UDPPINGER_FORMAT"}},
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print the summary only", EnvVars: []string{"UDPPINGER_QUIET"}},
		&cli.BoolFlag{Name: "explain", Usage: "say for each ping where the time went", EnvVars: []string{"UDPPINGER_EXPLAIN"}},
		&cli.BoolFlag{Name: "graph", Usage: "draw RTT over time at the end, with losses marked", EnvVars: []string{"UDPPINGER_GRAPH"}},
		&cli.StringFlag{Name: "plot", Usage: "draw the same with a histogram to `FILE`, a .svg or .png", EnvVars: []string{"UDPPINGER_PLOT"}},
	}
}

const formats = "lab, ping, fping, json, ndjson, csv"

// pingTargets pings what the command line names.
func pingTargets(c *cli.Context) error {
	plan, err := readPlan(c)
	if err != nil {
		return usageError{err}
	}
	targets, err := resolveAll(c, c.Args().Slice())
	if err != nil {
		return err
	}
	if len(targets) > 1 && plan.alone() != "" {
		return usageError{fmt.Errorf("%s is for one target: here are %d", plan.alone(), len(targets))}
	}
	views := newViews(c.App.Writer, c.App.ErrWriter, plan)
	var runs []*job
	defer func() {
		for _, r := range runs {
			r.close()
		}
	}()
	for _, target := range targets {
		r, err := plan.open(c.Context, target, len(targets) > 1, views)
		if err != nil {
			return err
		}
		runs = append(runs, r)
	}
	stop := onStatisticsSignal(func() {
		for _, r := range runs {
			fmt.Fprintln(c.App.ErrWriter, r.status())
		}
	})
	defer stop()
	return finish(c, plan, runs, runAll(c.Context, runs))
}

// finish reports on runs that are over.
func finish(c *cli.Context, plan *plan, runs []*job, failed error) error {
	var summaries []*report.Summary
	silent := false
	for _, r := range runs {
		summaries = append(summaries, r.summary)
		failed = errors.Join(failed, r.end())
		silent = silent || r.summary.Counts.Received() == 0
	}
	if len(runs) > 1 && (plan.format == "lab" || plan.format == "ping") {
		failed = errors.Join(failed, report.Table(c.App.Writer, summaries))
	}
	switch {
	case failed != nil:
		return failed
	case silent:
		return errNoReply
	}
	return nil
}

// named is a target with its address found.
type named struct {
	name string
	addr addrPort
}

func resolveAll(c *cli.Context, args []string) (targets []named, err error) {
	if len(args) == 0 {
		args = []string{"127.0.0.1"}
	}
	network, err := family(c)
	if err != nil {
		return nil, err
	}
	for _, arg := range args {
		if strings.HasPrefix(arg, "-") {
			return nil, usageError{fmt.Errorf("%s comes after a target: flags go before targets", arg)}
		}
		if _, _, err := ping.SplitTarget(arg); err != nil {
			return nil, usageError{err}
		}
		name, addr, err := ping.Resolve(c.Context, network, arg)
		if err != nil {
			return nil, err
		}
		targets = append(targets, named{name, addr})
	}
	return targets, nil
}
