package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"topdown/pkg/logging"
	"topdown/udppingserver/internal/echo"
	"topdown/udppingserver/internal/listen"
	"topdown/udppingserver/internal/metrics"
	"topdown/udppingserver/internal/tracefile"

	"go.uber.org/zap"
)

// serve puts the server together and runs it until ctx ends.
func serve(ctx context.Context, c *config, stdout, stderr io.Writer) (err error) {
	log, err := logging.New(stderr, c.logLevel, c.logFormat)
	if err != nil {
		return err
	}
	server := &echo.Server{
		Impair: c.network, PerClient: !c.seeded(),
		TCP: c.tcp, Rate: c.rate, Sockets: c.sockets, Spin: c.spin, Load: c.load, Silence: c.silence,
		Out: stdout, Log: log,
	}
	if server.Rate == 0 {
		server.Rate = -1 // its zero value is the default
	}
	if c.truth != "" {
		file, failed := os.Create(c.truth)
		if failed != nil {
			return fileError("--truth", c.truth, failed)
		}
		server.Truth = echo.NewTruth(file)
		defer func() { err = errors.Join(err, server.Truth.Flush(), file.Close()) }()
	}
	if c.traceFile != "" {
		out, failed := os.Create(c.traceFile)
		if failed != nil {
			return fileError("--trace-file", c.traceFile, failed)
		}
		file := tracefile.New(out, name, "server", time.Now(), echo.TraceHelpers...)
		server.Trace = echo.NewTrace(file)
		defer func() { err = errors.Join(err, file.Err(), out.Close()) }()
	}
	if err = server.Listen(c.addr); err != nil {
		return listen.Explain(err, c.addr, name+" ")
	}
	if server.TCPTaken != nil {
		taken := listen.Explain(server.TCPTaken, c.addr, name+" ")
		fmt.Fprintf(stderr, "%s: warning: over TCP: %v; UDP is served (--tcp=false: no warning)\n", name, taken)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err = serveMetrics(ctx, c.metricsAddr, server, log); err != nil {
		server.Close()
		return err
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
	return errors.Join(err, server.WriteStatistics(stdout))
}

// serveMetrics serves counters at addr until ctx ends; "" is nowhere.
func serveMetrics(ctx context.Context, addr string, server *echo.Server, log *zap.Logger) error {
	if addr == "" {
		return nil
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		host, _, _ := net.SplitHostPort(addr)
		return fmt.Errorf("--metrics-addr: %w", listen.Explain(err, addr, fmt.Sprintf("%s --metrics-addr %s", name, net.JoinHostPort(host, ""))))
	}
	log.Info("metrics", zap.String("url", fmt.Sprintf("http://%s/metrics", ln.Addr())))
	go metrics.Serve(ctx, ln, func(w io.Writer) { metrics.Write(w, server.Counters()) })
	return nil
}

// ready says where the server listens and what it does to packets.
func ready(w io.Writer, server *echo.Server, c *config) {
	also := ""
	if server.TCP {
		also = " and TCP"
	}
	fmt.Fprintf(w, "Ready to serve: UDP%s on %s, dropping %.1f%% of the packets on purpose", also, server.Addr(), 100*server.Impair.Loss)
	if c.seeded() {
		fmt.Fprintf(w, ", seed %d", server.Impair.Seed)
	}
	fmt.Fprintln(w)
}

// fileError names the flag and the file that could not be opened, once.
func fileError(flag, file string, err error) error {
	if failed, ok := errors.AsType[*os.PathError](err); ok {
		err = failed.Err
	}
	return fmt.Errorf("%s %s: %w", flag, file, err)
}
