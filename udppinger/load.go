package main

import (
	"context"
	"fmt"
	"time"

	"topdown/udppinger/internal/load"
	"topdown/udppinger/internal/ping"
	"topdown/udppinger/internal/report"
)

// measureLoad is the command load.
func measureLoad(ctx context.Context, c *config, std stdio) error {
	target, err := c.first(ctx)
	if err != nil {
		return err
	}
	about := report.Target{
		Name: target.name, Address: target.addr.Addr().String(), Port: target.addr.Port(), V6: target.addr.Addr().Is6(),
	}
	course := report.NewSummary(about, time.Now(), 0)
	began := time.Now()
	phase := time.Duration(0) // when the current one began
	t := load.Test{
		Target: target.addr, Options: c.options, Phase: c.phase, Nonce: nonce(),
		Print: func(format string, args ...any) {
			phase = time.Since(began)
			fmt.Fprintf(std.out, format+"\n", args...)
		},
		Emit: func(e ping.Event) {
			e.Probe.Begun += phase
			course.Observe(e)
		},
	}
	idle, up, down, err := t.Run(ctx)
	if err != nil {
		return err
	}
	course.Elapsed = time.Since(began)
	graph, width := report.Graph{W: std.out, Width: 80}, 0
	if size, ok := terminal(std.out); ok {
		width, _ = size()
		graph.Width = width
	}
	if err := graph.End(course); err != nil {
		return err
	}
	fmt.Fprintln(std.out)
	for _, p := range []*load.Phase{idle, up, down} {
		fmt.Fprintln(std.out, report.Fold(p.Line(), width))
	}
	fmt.Fprintln(std.out)
	for _, busy := range []*load.Phase{up, down} {
		fmt.Fprintln(std.out, report.Fold(load.Verdict(idle, busy), width))
	}
	if idle.RTT.N == 0 {
		return errNoReply
	}
	return nil
}
