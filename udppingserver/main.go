// Udppingserver is the UDP ping server of the lab: it upper-cases what it
// receives, loses some of it on purpose, and sends the rest back.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"topdown/pkg/logging"
	"topdown/udppingserver/internal/echo"
	"topdown/udppingserver/internal/impair"
	"topdown/udppingserver/internal/metrics"

	"github.com/urfave/cli/v2"
	"go.uber.org/zap"
)

// Exit codes.
const (
	exitFault = 1 // it could not listen, or stopped with a fault
	exitUsage = 2 // it was called wrongly
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args, os.Stdout, os.Stderr))
}

// run is the program: it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := newApp(stdout, stderr).RunContext(ctx, args)
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "udppingserver: %v\n", err)
	if usage := (usageError{}); errors.As(err, &usage) {
		fmt.Fprintln(stderr, "Try 'udppingserver --help'.")
		return exitUsage
	}
	return exitFault
}

// usageError is a mistake on the command line.
type usageError struct{ error }

func newApp(stdout, stderr io.Writer) *cli.App {
	return &cli.App{
		Name:      "udppingserver",
		Usage:     "upper-case UDP messages and send them back, losing some on purpose",
		ArgsUsage: "[[ADDRESS:]PORT]",
		Description: "Answers pings on UDP port 8080, or on the port given, until it is interrupted.\n" +
			"A SHARE is written 0.3, 30%, 3/10, or lab for the textbook's 4/11.",
		Writer:          stdout,
		ErrWriter:       stderr,
		HideHelpCommand: true,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "loss", Value: "lab", Usage: "lose this `SHARE` of the packets", EnvVars: []string{"UDPPINGSERVER_LOSS"}},
			&cli.Float64Flag{Name: "burst", Usage: "lose packets in bursts of `N` on average (Gilbert-Elliott); 0: each loss for itself", EnvVars: []string{"UDPPINGSERVER_BURST"}},
			&cli.DurationFlag{Name: "delay", Usage: "hold each reply for this `TIME`", EnvVars: []string{"UDPPINGSERVER_DELAY"}},
			&cli.DurationFlag{Name: "jitter", Usage: "vary the delay by up to this `TIME`, up and down", EnvVars: []string{"UDPPINGSERVER_JITTER"}},
			&cli.StringFlag{Name: "duplicate", Value: "0", Usage: "send this `SHARE` of the replies twice", EnvVars: []string{"UDPPINGSERVER_DUPLICATE"}},
			&cli.StringFlag{Name: "reorder", Value: "0", Usage: "hold this `SHARE` of the replies 50 ms longer, for others to overtake", EnvVars: []string{"UDPPINGSERVER_REORDER"}},
			&cli.StringFlag{Name: "corrupt", Value: "0", Usage: "turn over one bit in this `SHARE` of the replies", EnvVars: []string{"UDPPINGSERVER_CORRUPT"}},
			&cli.Uint64Flag{Name: "seed", Usage: "the same `NUMBER` gives every client the same network each time (default: a new one, and each client its own)", EnvVars: []string{"UDPPINGSERVER_SEED"}},
			&cli.BoolFlag{Name: "tcp", Value: true, Usage: "answer TCP connections on the same port number, line by line", EnvVars: []string{"UDPPINGSERVER_TCP"}},
			&cli.DurationFlag{Name: "silence", Value: echo.DefaultSilence, Usage: "a client whose heartbeat stays away for this `TIME` has stopped", EnvVars: []string{"UDPPINGSERVER_SILENCE"}},
			&cli.IntFlag{Name: "rate", Value: echo.DefaultRate, Usage: "send at most `N` answers a second to one network (IPv4 /24, IPv6 /56; loopback is free); 0: no limit", EnvVars: []string{"UDPPINGSERVER_RATE"}},
			&cli.IntFlag{Name: "sockets", Usage: "share the port among `N` UDP sockets (Linux; default: one a core, at most 16)", EnvVars: []string{"UDPPINGSERVER_SOCKETS"}},
			&cli.StringFlag{Name: "truth", Usage: "write what was done to each packet to `FILE`, one JSON object a line", EnvVars: []string{"UDPPINGSERVER_TRUTH"}},
			&cli.StringFlag{Name: "metrics-addr", Usage: "serve counters for Prometheus at http://`ADDRESS`/metrics, for example 127.0.0.1:9100", EnvVars: []string{"UDPPINGSERVER_METRICS_ADDR"}},
			&cli.StringFlag{Name: "log-level", Value: "info", Usage: "log this `LEVEL` and above: " + logging.Levels, EnvVars: []string{"UDPPINGSERVER_LOG_LEVEL"}},
			&cli.StringFlag{Name: "log-format", Value: "console", Usage: "log in this `FORMAT`: " + logging.Formats, EnvVars: []string{"UDPPINGSERVER_LOG_FORMAT"}},
		},
		Action: serve,
		OnUsageError: func(_ *cli.Context, err error, _ bool) error {
			return usageError{err}
		},
		ExitErrHandler: func(*cli.Context, error) {}, // run does that
	}
}

// serve builds the server from the flags and runs it.
func serve(c *cli.Context) error {
	stdout, stderr := c.App.Writer, c.App.ErrWriter
	log, err := logging.New(stderr, c.String("log-level"), c.String("log-format"))
	if err != nil {
		return usageError{err}
	}
	addr, err := address(c.Args().Slice())
	if err != nil {
		return usageError{err}
	}
	network, err := impairment(c)
	if err != nil {
		return usageError{err}
	}
	if c.Int("sockets") < 0 || c.Int("sockets") > 64 {
		return usageError{errors.New("sockets: choose from 1 to 64, or 0 for one a core")}
	}
	if c.Int("rate") < 0 {
		return usageError{errors.New("rate: choose a number of answers a second, or 0 for no limit")}
	}
	if c.Duration("silence") <= 0 {
		return usageError{errors.New("silence: choose a time above 0")}
	}
	server := &echo.Server{
		Impair:    network,
		PerClient: !c.IsSet("seed"),
		TCP:       c.Bool("tcp"),
		Rate:      c.Int("rate"),
		Sockets:   c.Int("sockets"),
		Silence:   c.Duration("silence"),
		Out:       stdout,
		Log:       log,
	}
	if server.Rate == 0 {
		server.Rate = -1
	}
	flush := func() error { return nil }
	if name := c.String("truth"); name != "" {
		file, failed := os.Create(name)
		if failed != nil {
			return fmt.Errorf("truth file: %w", failed)
		}
		server.Truth = echo.NewTruth(file)
		flush = func() error { return errors.Join(server.Truth.Flush(), file.Close()) }
	}
	if err = server.Listen(addr); err != nil {
		return fmt.Errorf("%w%s", err, hint(err))
	}
	ctx, cancel := context.WithCancel(c.Context)
	defer cancel()
	if at := c.String("metrics-addr"); at != "" {
		ln, failed := net.Listen("tcp", at)
		if failed != nil {
			server.Close()
			return fmt.Errorf("listen for metrics: %w", failed)
		}
		log.Info("metrics", zap.String("url", fmt.Sprintf("http://%s/metrics", ln.Addr())))
		go metrics.Serve(ctx, ln, func(w io.Writer) { metrics.Write(w, server.Counters()) })
	}
	onStatisticsSignal(ctx, func() {
		if server.Truth != nil {
			if failed := server.Truth.Flush(); failed != nil {
				log.Error("truth file", zap.Error(failed))
			}
		}
		_ = server.WriteStatistics(stdout)
	})
	ready(stdout, server, c)
	err = server.Serve(ctx)
	fmt.Fprintln(stdout)
	return errors.Join(err, server.WriteStatistics(stdout), flush())
}

// address returns the address to listen on from the positional arguments.
func address(args []string) (string, error) {
	if len(args) == 0 {
		return ":8080", nil
	}
	if len(args) > 1 {
		return "", fmt.Errorf("one port is enough, but here is %q too (flags go before the port)", args[1])
	}
	addr := args[0]
	if !strings.Contains(addr, ":") {
		addr = ":" + addr
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("%q is not [ADDRESS:]PORT: %w", args[0], err)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 && port != "0" {
		return "", fmt.Errorf("%q is not a port: choose a number from 1 to 65535", port)
	}
	return addr, nil
}

// impairment reads the flags about the simulated network.
func impairment(c *cli.Context) (impair.Config, error) {
	network := impair.Config{
		Seed:   c.Uint64("seed"),
		Burst:  c.Float64("burst"),
		Delay:  c.Duration("delay"),
		Jitter: c.Duration("jitter"),
	}
	if !c.IsSet("seed") {
		network.Seed = uint64(time.Now().UnixNano())
	}
	for _, share := range []struct {
		flag string
		to   *float64
	}{{"loss", &network.Loss}, {"duplicate", &network.Duplicate}, {"reorder", &network.Reorder}, {"corrupt", &network.Corrupt}} {
		value, err := impair.ParseShare(c.String(share.flag))
		if err != nil {
			return network, fmt.Errorf("%s: %w", share.flag, err)
		}
		*share.to = value
	}
	return network, network.Validate()
}

// ready says where the server listens and what it does to packets.
func ready(w io.Writer, server *echo.Server, c *cli.Context) {
	also := ""
	if server.TCP {
		also = " and TCP"
	}
	fmt.Fprintf(w, "Ready to serve: UDP%s on %s, dropping %.1f%% of the packets on purpose", also, server.Addr(), 100*server.Impair.Loss)
	if c.IsSet("seed") {
		fmt.Fprintf(w, ", seed %d", server.Impair.Seed)
	}
	fmt.Fprintln(w)
}

// hint returns what to do about an error of listening.
func hint(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return " (another program has this port: give another, as in 'udppingserver 12000')"
	case errors.Is(err, syscall.EACCES):
		return " (ports below 1024 are for root: give a higher one, as in 'udppingserver 8080')"
	}
	return ""
}
