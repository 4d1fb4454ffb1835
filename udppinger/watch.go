package main

import (
	"context"
	"errors"
	"time"

	"topdown/udppinger/internal/report"
)

// watch is the command watch.
func watch(ctx context.Context, c *config, std stdio) error {
	view := &report.Watch{W: std.out, Fails: c.watch.fails, MaxLoss: c.watch.loss, MaxRTT: c.watch.rtt, Now: time.Now}
	show := func(int) (*views, error) { return &views{all: []report.View{view}}, nil }
	return c.pingAll(ctx, std, show, func(jobs []*job, failed error) error {
		well := true
		for _, j := range jobs {
			failed = errors.Join(failed, j.end())
			well = well && view.Well(j.summary)
		}
		if failed == nil && !well {
			return errNoReply
		}
		return failed
	})
}
