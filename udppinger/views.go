package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"topdown/udppinger/internal/listen"
	"topdown/udppinger/internal/metrics"
	"topdown/udppinger/internal/report"

	"golang.org/x/term"
)

// views are all views of a program's jobs, which share them.
type views struct {
	mu  sync.Mutex
	all []report.View
}

// newViews returns the views that the flags ask for, of a run with so many
// targets.
func newViews(c *config, std stdio, targets int) (*views, error) {
	v := &views{}
	screen, shown := terminal(std.out)
	width := 0
	if shown {
		width, _ = screen()
	}
	live := c.graph && shown
	quiet := c.quiet || live // a graph that is drawn in place leaves no room for lines
	switch c.format {
	case "lab":
		v.all = append(v.all, &report.Lab{W: std.out, Quiet: quiet, Explain: c.explain, Width: width})
	case "ping":
		v.all = append(v.all, &report.Ping{W: std.out, Quiet: quiet})
	case "fping":
		v.all = append(v.all, &report.Fping{W: std.out, Err: std.err, Quiet: quiet})
	case "json":
		v.all = append(v.all, &report.JSON{W: std.out, Targets: targets})
	case "ndjson":
		v.all = append(v.all, &report.NDJSON{W: std.out})
	case "csv":
		v.all = append(v.all, &report.CSV{W: std.out})
	}
	// The graph and progress are drawn before the summary, which ends them.
	var before report.View
	progress, ok := terminal(std.err)
	switch {
	case live:
		before = &report.LiveGraph{W: std.out, Screen: screen, Now: time.Now, Color: os.Getenv("NO_COLOR") == ""}
	case ok && (c.quiet || !shown): // for eyes that see nothing else move
		before = &report.Live{W: std.err, Now: time.Now, Screen: progress}
	}
	if before != nil {
		v.all = append([]report.View{before}, v.all...)
	}
	if c.graph && !live {
		v.all = append(v.all, &report.Graph{W: std.out, Width: 80})
	}
	if c.plot != "" {
		plot, err := report.NewPlot(c.plot)
		if err != nil {
			return nil, fileError("--plot", c.plot, err)
		}
		v.all = append(v.all, plot)
	}
	return v, nil
}

// terminal reports whether w is a terminal, and returns what tells its size.
func terminal(w io.Writer) (size func() (columns, rows int), ok bool) {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return nil, false
	}
	return func() (int, int) {
		columns, rows, err := term.GetSize(int(file.Fd()))
		if err != nil || columns <= 0 || rows <= 0 {
			return 80, 24
		}
		return columns, rows
	}, true
}

// serveMetrics serves the figures of jobs until stop is called.
func serveMetrics(c *config, v *views, jobs []*job) (stop func(), err error) {
	if c.metricsAddr == "" {
		return func() {}, nil
	}
	ln, err := net.Listen("tcp", c.metricsAddr)
	if err != nil {
		return nil, fmt.Errorf("--metrics-addr: %w", listen.Explain(err, "--metrics-addr", c.metricsAddr))
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		metrics.Serve(ctx, ln, func(w io.Writer) {
			for _, j := range jobs {
				counts := j.pinger.Counts() // before the lock of the views: see Emit
				v.mu.Lock()
				j.summary.Counts = counts
				metrics.Write(w, j.summary)
				v.mu.Unlock()
			}
			metrics.WriteProcess(w)
		})
	})
	return func() { cancel(); wg.Wait() }, nil
}

// fileError names the flag and the file that could not be opened, once.
func fileError(flag, file string, err error) error {
	if failed, ok := errors.AsType[*os.PathError](err); ok {
		err = failed.Err
	}
	return fmt.Errorf("%s %s: %w", flag, file, err)
}
