package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"topdown/udppinger/internal/report"
)

// watch is the command watch.
func watch(ctx context.Context, c *config, std stdio) error {
	targets, missing, err := c.resolve(ctx, std)
	if err != nil {
		return err
	}
	view := &report.Watch{W: std.out, Fails: c.watch.fails, MaxLoss: c.watch.loss, MaxRTT: c.watch.rtt, Now: time.Now}
	v := &views{all: []report.View{view}}
	jobs, bad := c.openAll(ctx, std, targets, v)
	missing = missing || bad
	defer closeAll(jobs)
	if len(jobs) == 0 {
		return errReported
	}
	for _, j := range jobs {
		j.summary.Endless()
	}
	stopMetrics, err := serveMetrics(c, v, jobs)
	if err != nil {
		return err
	}
	defer stopMetrics()
	stop := onStatisticsSignal(func() {
		for _, j := range jobs {
			fmt.Fprintln(std.err, j.status())
		}
	})
	defer stop()
	failed := runAll(ctx, jobs)
	well := true
	for _, j := range jobs {
		failed = errors.Join(failed, j.end())
		well = well && view.Well(j.summary)
	}
	switch {
	case failed != nil:
		return failed
	case missing:
		return errReported
	case !well:
		return errNoReply
	}
	return nil
}
